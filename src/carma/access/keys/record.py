"""What the key store's journal holds, as bytes: one opening record, and the newest state of each key.

    ["keys", 1, when, counted, wrapped store secret]
    [16 bytes of HMAC-SHA-256] ["key", kind, name, id, owner, permissions, state, created, expires,
                                grace_until, successor, used, revision, history, secret]

`secret` is a root key's 43 letters wrapped under the key-encryption key, or a static key's SHA-256: nothing
here makes a key again without the key-encryption key. The journal's own digests find rot; the HMAC under the
store's secret finds a record that was changed on purpose, so that nobody who can write the files gives a key
another owner or more permissions. What it does not find: records that were left out, or the whole folder put
back as it was before (a revoked key works again then). No file can tell that of itself; the audit log can,
which has the leaf of the revocation. `history` is what happened to the key, for the audit log: stored in one
record with what it tells of. Rejected: only the changes in each record (a lost one would leave a state that
never was).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgpack

from carma.access.vault.context import context, derived
from carma.errors import FormatTooNew, KeyStoreDamaged

__all__ = ["KeyEvent", "KeyKind", "KeyState", "Opening", "StoreSecret", "StoredKey", "parse_opening"]

_VERSION = 1
_MAC_BYTES = 16

KeyKind = Literal["root", "static"]
KeyState = Literal["active", "grace", "revoked"]


class KeyEvent(NamedTuple):
    """Something that happened to a key.

    number: counts all events of the store, from 1. event: 32 hexadecimal digits, its name in the audit log.
    when: seconds since the epoch. operation: `keys.create`, `keys.rotate`, `keys.revoke`, `keys.use` (the
    first use of a successor). by: the fingerprint of the key that asked for it, "" for the operator.
    successor: the name of the key that took its place, "" if none did.
    """

    number: int
    event: str
    when: float
    operation: str
    by: str
    successor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """One key as it is stored. Times are seconds since the epoch, UTC.

    name: the eight letters in its text. id: 16 random bytes from which name and mark are made. owner: the
    account. expires: None for never. grace_until: when a key that was rotated ends. successor: the name of
    the key that took its place. used: whether it was ever used, noted for successors only. revision: counts
    its records. history: its events, the old ones only until the audit log has them. secret: wrapped, or a
    digest.
    """

    name: str
    kind: KeyKind
    id: bytes
    owner: str
    permissions: str
    created: float
    state: KeyState = "active"
    expires: float | None = None
    grace_until: float | None = None
    successor: str | None = None
    used: bool = False
    revision: int = 0
    history: tuple[KeyEvent, ...] = ()
    secret: bytes = field(default=b"", repr=False)

    @property
    def wrap_context(self) -> bytes:
        """What the wrapped secret is bound to."""
        return context("root key", self.name, self.id, self.owner, self.permissions)

    def until(self) -> float:
        """The moment from which it is not accepted any more; infinity if there is none."""
        ends = [moment for moment in (self.expires, self.grace_until) if moment is not None]
        return min(ends, default=float("inf"))


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record. counted: the number of the newest event when it was written. wrapped: the store's
    secret, from which name and record keys are made.
    """

    when: float
    counted: int
    wrapped: bytes = field(repr=False)

    @property
    def wrap_context(self) -> bytes:
        """What the wrapped secret is bound to."""
        return context("key store", _VERSION)

    def to_bytes(self) -> bytes:
        return bytes(msgpack.packb(["keys", _VERSION, self.when, self.counted, self.wrapped]))


class StoreSecret:
    """The store's secret, unwrapped. name_key: of the names. Seals and opens records."""

    __slots__ = ("_record_key", "name_key", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.name_key = derived(secret, "key names")
        self._record_key = derived(secret, "key records")

    def to_bytes(self, key: StoredKey) -> bytes:
        """A record for the journal."""
        body = bytes(
            msgpack.packb([
                "key", key.kind, key.name, key.id, key.owner, key.permissions, key.state, key.created,
                key.expires, key.grace_until, key.successor, key.used, key.revision, key.history, key.secret,
            ])
        )  # fmt: skip
        return self._mac(body) + body

    def parse(self, data: bytes) -> StoredKey:
        """A key out of the journal. Raises KeyStoreDamaged, FormatTooNew."""
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise KeyStoreDamaged("A record of the key store was changed by something that is not CARMA.")
        match _unpacked(body):
            case [
                "key", ("root" | "static") as kind, str(name), bytes(id), str(owner), str(permissions),
                ("active" | "grace" | "revoked") as state, float(created), expires, grace_until, successor,
                bool(used), int(revision), list(history), bytes(secret),
            ]:  # fmt: skip
                return StoredKey(
                    name=name, kind=kind, id=id, owner=owner, permissions=permissions, state=state,
                    created=created, expires=expires, grace_until=grace_until, successor=successor,
                    used=used, revision=revision, history=tuple(KeyEvent(*each) for each in history),
                    secret=secret,
                )  # fmt: skip
        raise FormatTooNew("The key store holds a record that this CARMA does not know.")

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._record_key, body, "sha256")[:_MAC_BYTES]

    def __repr__(self) -> str:
        return "StoreSecret()"


def parse_opening(data: bytes) -> Opening:
    """The first record of a key store. Raises KeyStoreDamaged, FormatTooNew."""
    match _unpacked(data):
        case ["keys", int(version), float(when), int(counted), bytes(wrapped)] if version == _VERSION:
            return Opening(when, counted, wrapped)
        case ["keys", int(version), *_]:
            raise FormatTooNew(f"The key store has format {version}; this CARMA knows {_VERSION}.")
    raise KeyStoreDamaged("The record that opens the key store is not what CARMA wrote.")


def _unpacked(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None
