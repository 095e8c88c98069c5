"""The audit key of an owner: what turns ids into tags that only this key can make again.

With a vault it is a subkey of the owner's data key, so it is shredded with the rest. Without one it lies in a
file of its own in the folder of the audit log, twice, and is destroyed by removing both. It is needed for
making leaves and for finding one's own, never for verifying the log.
"""

from __future__ import annotations

import hmac

from blake3 import blake3

from carma.access.audit.twofold import Twofold
from carma.errors import Shredded
from carma.ports.cipher import Cipher
from carma.ports.clock import Entropy
from carma.ports.disk import Disk

__all__ = ["AuditKey", "AuditKeys"]

_KEY_BYTES = 32
_TAG_BYTES = 16
_LABEL = "audit"
_COME_AGAIN = frozenset({"owner", "account", "key"})
_MOST_KNOWN = 64
_GONE = b"shredded"
_OWNER_CONTEXT = "carma 2026 name of an owner's audit key"
_OPERATOR_CONTEXT = "carma 2026 name of the operator's audit key"


class AuditKey:
    """Makes tags: HMAC-SHA-256 over the kind of an id and the id, cut to 128 bits, in hexadecimal.

    Kind and id are length-prefixed, so that no two pairs are the same bytes. secret: 32 bytes.
    """

    __slots__ = ("_known", "_secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise ValueError("an audit key has 32 bytes")
        self._secret = secret
        self._known: dict[tuple[str, str], str] = {}

    @classmethod
    def of(cls, cipher: Cipher) -> AuditKey:
        """The audit key that belongs to an owner's data key."""
        return cls(cipher.subkey(_LABEL))

    def tag(self, kind: str, id: str) -> str:
        """The tag of an id, 32 hexadecimal digits. kind: what it is an id of."""
        # Accounts and keys come again with every change; fragments and requests hardly do.
        found = self._known.get((kind, id))
        if found is not None:
            return found
        name, said = kind.encode(), id.encode()
        data = len(name).to_bytes(4, "big") + name + len(said).to_bytes(4, "big") + said
        made = hmac.digest(self._secret, data, "sha256")[:_TAG_BYTES].hex()
        if kind in _COME_AGAIN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[kind, id] = made
        return made

    def owner(self, account: str) -> str:
        """The tag by which an owner finds the leaves that are theirs."""
        return self.tag("owner", account)

    def __repr__(self) -> str:
        return "AuditKey(…)"


class AuditKeys:
    """The audit keys of owners without a vault, and the operator's own, in a folder.

    Needs the lock of the log where two processes may make the same key.
    """

    def __init__(self, disk: Disk, folder: str, entropy: Entropy) -> None:
        self._files = Twofold(disk, folder)
        self._entropy = entropy

    def operator(self) -> AuditKey:
        """The operator's key, for what belongs to no owner (sources, blocks). Made when first asked for.

        Raises AuditDamaged, StorageError.
        """
        found = self._key(_file_name(_OPERATOR_CONTEXT, ""), create=True)
        assert found is not None
        return found

    def key(self, owner: str, *, create: bool = True) -> AuditKey | None:
        """The key of an owner; None if there is none and none is to be made.

        Raises Shredded, AuditDamaged (both copies are unreadable), StorageError.
        """
        return self._key(_file_name(_OWNER_CONTEXT, owner), create)

    def shred(self, owner: str) -> None:
        """Destroy an owner's key: its files are overwritten, and keep only that they were shredded."""
        self._files.replace_for_good(_file_name(_OWNER_CONTEXT, owner), _GONE)

    def _key(self, name: str, create: bool) -> AuditKey | None:
        secret = self._files.get(name)
        if secret == _GONE:
            raise Shredded("This owner's audit key was destroyed.")
        if secret is None:
            if not create:
                return None
            secret = self._entropy.bytes(_KEY_BYTES)
            self._files.put(name, secret)
        return AuditKey(secret)


def _file_name(context: str, owner: str) -> str:
    return blake3(owner.encode(), derive_key_context=context).hexdigest(16)
