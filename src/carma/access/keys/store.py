"""The key store: who has which key, in a journal of four copies, seen alike by every process.

Creating, revoking and rotating are each one append, and return when every process knows of it: a key that one
process revoked is refused by all others at their next request. Nothing is kept from which a key could be made
again without the key-encryption key; a key's text is given out once.

If a record is gone in all copies, or was changed, nobody can say of which key it spoke: then no key is
accepted, until the folder is put back from a backup or `accept_loss` is called. Rejected: going on with the
rest (a revoked key could be valid again).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hmac import compare_digest
from unicodedata import category

from carma.access.journal import Journal
from carma.access.keys.book import KeyBook
from carma.access.keys.making import fingerprint_of, make_root_keys, make_static_key
from carma.access.keys.permissions import as_permissions
from carma.access.keys.pruning import kept
from carma.access.keys.record import KeyEvent, KeyKind, StoredKey
from carma.access.keys.rotation import GRACE_S, plan_rotation
from carma.access.keys.text import RootKey, StaticKey
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import AuditUnavailable, InvalidInput, KeyNotFound, KeyStoreDamaged
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy

__all__ = ["KeyStore"]

_OWNER_CHARS = 200
_EVENT_BYTES = 16
_HISTORY = 32
"""So many events of a key are kept when the audit log has them."""
_MOST_HISTORY = 1_024
"""With so many events that wait for the audit log a key is not rotated again."""
_LONGEST_GRACE_S = 366 * 86_400.0


class KeyStore:
    """The keys of one data folder. Threads and processes may share it.

    journal: where they lie. kek: wraps the secrets. reload: gives the key-encryption key anew; it is asked
    once when another process has rotated it, and before the first key. Nothing is written before that.

    Every call raises KekWrong if another key-encryption key wrapped what is here, KeyStoreDamaged, and what
    the journal raises. by: the fingerprint of the key that asks for a change, None for the operator.
    """

    def __init__(
        self,
        journal: Journal,
        kek: KeyEncryptionKey,
        *,
        reload: Callable[[], KeyEncryptionKey] | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._book = KeyBook(journal, kek, reload)
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._book.kept = lambda keys: kept(keys, self._clock.now(), self._copied)
        self._copied = 0
        self.close = journal.close
        """Give the files back; the keys may be used again."""
        self.mark = journal.mark
        """A few bytes that differ after every change, by any process. Take it before `keys`."""

    # Asking

    def keys(self) -> Mapping[str, StoredKey]:
        """Every key by its name, revoked ones too until they are pruned (`pruning`)."""
        with self._book.lock:
            self._book.refresh()
            self._book.refuse_damage()
            return dict(self._book.keys)

    def get(self, name: str) -> StoredKey:
        """The key with a name or fingerprint. Raises KeyNotFound."""
        self.keys()
        with self._book.lock:
            return self._find(name)

    def fingerprint(self, key: StoredKey) -> str:
        """The key's name as screens and logs show it."""
        name_key = self._book.secret.name_key
        return fingerprint_of(key.id, name_key, key.permissions, static=key.kind == "static")

    def unwrap(self, key: StoredKey) -> bytes:
        """The 43 letters of a root key. Raises VaultKeyWrong, KekWrong."""
        return self._book.unwrap(key)

    def is_true(self, key: RootKey | StaticKey) -> bool:
        """Whether this very key was made here, whatever its state."""
        stored = self.keys().get(key.name)
        if isinstance(key, StaticKey):
            return (
                stored is not None and stored.kind == "static" and compare_digest(stored.secret, key.digest)
            )
        return (
            stored is not None and stored.kind == "root" and compare_digest(self.unwrap(stored), key.secret)
        )

    def events(self, after: int = 0) -> list[tuple[KeyEvent, StoredKey]]:
        """What happened to keys, by number from `after` + 1 on, each with its key as it is now."""
        newer = [key for key in self.keys().values() if key.history and key.history[-1].number > after]
        found = [(event, key) for key in newer for event in key.history if event.number > after]
        return sorted(found, key=lambda each: each[0].number)

    def check(self) -> list[str]:
        """Compare the journal's copies, mend them, and say what was found, in sentences."""
        said = self._book.journal.check()
        with self._book.lock:
            self._book.refresh()
            if self._book.damaged:
                said.append(f"{self._book.damaged} records of the key store are not what CARMA wrote.")
            return said

    # Changing

    def create(
        self,
        owner: str,
        permissions: str,
        *,
        kind: KeyKind = "root",
        expires: float | None = None,
        by: str | None = None,
    ) -> tuple[RootKey | StaticKey, StoredKey]:
        """A new key for an account: the key itself, to be shown once, and what is stored of it.

        expires: seconds since the epoch, None for never. Raises InvalidInput.
        """
        permissions = as_permissions(permissions)
        _check_owner(owner)
        if expires is not None and not self._clock.now() < expires < float("inf"):
            raise InvalidInput("The key would have expired already.")
        with self._book.turn():
            key, stored = self._made(owner, permissions, kind, expires)
            stored = self._changed(stored, "keys.create", by)
            self._book.append([stored])
        return key, stored

    def revoke(self, name: str, *, by: str | None = None) -> StoredKey:
        """End a key at once, in every process; again without effect. Raises KeyNotFound."""
        with self._book.turn():
            key = self._find(name)
            if key.state != "revoked":
                key = self._changed(replace(key, state="revoked"), "keys.revoke", by)
                self._book.append([key])
            return key

    def rotate(
        self, name: str, *, grace_s: float = GRACE_S, by: str | None = None
    ) -> tuple[RootKey | StaticKey, StoredKey]:
        """A new key in the place of one, which goes on for `grace_s` seconds. See `rotation`.

        Raises KeyNotFound, RotationRefused, InvalidInput, AuditUnavailable.
        """
        if not 0 <= grace_s <= _LONGEST_GRACE_S:
            raise InvalidInput("The days of grace are between 0 and 366.")
        with self._book.turn():
            old, now = self._find(name), self._clock.now()
            rotation = plan_rotation(self._book.keys, old, now)
            if len(old.history) >= _MOST_HISTORY:
                raise AuditUnavailable(f"{len(old.history):,} events of this key wait for the audit log.")
            key, stored = self._made(old.owner, old.permissions, old.kind, old.expires)
            rotated = replace(old, state="grace", grace_until=now + grace_s, successor=stored.name)
            changes = [(replace(ended, state="revoked"), "keys.revoke") for ended in rotation.ended]
            changes += [(rotated, "keys.rotate"), (stored, "keys.create")]
            written = [
                self._changed(each, operation, by, ahead=at) for at, (each, operation) in enumerate(changes)
            ]
            self._book.append(written)
        return key, written[-1]

    def note_use(self, name: str) -> bool:
        """Note that a successor was used; whether this was the first time."""
        with self._book.turn():
            key = self._find(name)
            if key.used:
                return False
            self._book.append([self._changed(replace(key, used=True), "keys.use", None)])
            return True

    def copied(self, upto: int) -> None:
        """The audit log has every event up to this number: what is old of it may go, as may keys that are
        over.
        """
        self._copied = max(self._copied, upto)
        if not any(len(key.history) > _HISTORY for key in self.keys().values()):
            return
        with self._book.turn():
            shorter = [_shortened(key, upto) for key in self._book.keys.values()]
            changed = [key for key in shorter if key.revision > self._book.keys[key.name].revision]
            if changed:
                self._book.append(changed)

    def forget(self, owner: str) -> int:
        """Remove all keys of an account, with their history, and every byte of them; how many they were.

        Copy the history to the audit log before.
        """
        with self._book.turn():
            kept = [key for key in self._book.keys.values() if key.owner != owner]
            count = len(self._book.keys) - len(kept)
            if count:
                self._book.rewrite(kept)
            return count

    def rewrap(self, kek: KeyEncryptionKey) -> int:
        """Wrap every secret by another key-encryption key, all or nothing; how many they were.

        kek: unwraps what is here and wraps by the new key.
        """
        book = self._book
        with book.journal.turn(), book.lock:
            before, book.kek = book.kek, kek
            try:
                with book.turn():
                    if book.opening is None:
                        return 0
                    wrapped = kek.wrap(book.secret.secret, book.opening.wrap_context)
                    keys = [self._rewrapped(key) for key in book.keys.values()]
                    book.rewrite(keys, wrapped)
                    return 1 + sum(key.kind == "root" for key in keys)
            except BaseException:
                book.kek = before
                raise

    def accept_loss(self) -> int:
        """Go on without the records that are lost or were changed; how many keys are left.

        Keys whose newest record is among the lost ones have the state of the record before: look at all of
        them, and revoke what should not be valid. Raises KeyStoreDamaged if there is nothing to go on with.
        """
        with self._book.turn(damaged=True):
            if self._book.opening is None and self._book.damaged:
                raise KeyStoreDamaged("The record that opens the key store is lost, and all keys with it.")
            if self._book.damaged or self._book.journal.lost:
                self._book.rewrite(list(self._book.keys.values()))
            return len(self._book.keys)

    # Inside

    def _made(
        self, owner: str, permissions: str, kind: KeyKind, expires: float | None
    ) -> tuple[RootKey | StaticKey, StoredKey]:
        """A key whose name nobody has yet, and what is stored of it; nothing of it is written."""
        if self._book.opening is None:
            self._book.begin(self._clock.now(), self._entropy.bytes(32))
        name_key = self._book.secret.name_key
        while True:
            key: RootKey | StaticKey
            if kind == "root":
                id, key = make_root_keys(self._entropy, name_key, permissions)[0]
            else:
                id, key = make_static_key(self._entropy, name_key, permissions)
            if key.name not in self._book.keys:
                break
        stored = StoredKey(
            name=key.name, kind=kind, id=id, owner=owner, permissions=permissions, expires=expires,
            created=self._clock.now(),
        )  # fmt: skip
        if isinstance(key, StaticKey):
            return key, replace(stored, secret=key.digest)
        return key, replace(stored, secret=self._book.kek.wrap(key.secret, stored.wrap_context))

    def _changed(self, key: StoredKey, operation: str, by: str | None, *, ahead: int = 0) -> StoredKey:
        """The next record of a key. ahead: how many events of the same append have lower numbers."""
        event = KeyEvent(
            self._book.counted + 1 + ahead, self._entropy.bytes(_EVENT_BYTES).hex(), self._clock.now(),
            operation, by or "", (key.successor or "") if operation == "keys.rotate" else "",
        )  # fmt: skip
        return replace(key, revision=key.revision + 1, history=(*key.history, event))

    def _rewrapped(self, key: StoredKey) -> StoredKey:
        if key.kind != "root":
            return key
        return replace(key, secret=self._book.kek.wrap(self.unwrap(key), key.wrap_context))

    def _find(self, name: str) -> StoredKey:
        if key := self._book.keys.get(name):
            return key
        for key in self._book.keys.values() if name.startswith("carma_") else ():
            if self.fingerprint(key) == name:
                return key
        raise KeyNotFound("There is no such key.")


def _check_owner(owner: str) -> None:
    """Raises InvalidInput for a name that is empty, too long, or cannot be shown on one line."""
    if not owner.strip() or len(owner) > _OWNER_CHARS:
        raise InvalidInput(f"An owner's name has 1 to {_OWNER_CHARS} characters.")
    if any(category(character) in ("Cc", "Cs", "Zl", "Zp") for character in owner):
        raise InvalidInput("An owner's name has no control characters, and is valid Unicode.")


def _shortened(key: StoredKey, upto: int) -> StoredKey:
    """A key without old events that were copied; the very same if there are none."""
    waiting = sum(event.number > upto for event in key.history)
    kept = key.history[-max(waiting, _HISTORY) :]
    return key if len(kept) == len(key.history) else replace(key, revision=key.revision + 1, history=kept)
