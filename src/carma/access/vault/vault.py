"""The vault: one data key per owner, wrapped, in four copies; and the only place where one is destroyed.

It lies in a journal of its own (`<data>/vault`), never in a memory: a memory carries the id and the
commitment of its owner's key and nothing that leads to it. `shred` rewrites the journal without the wrapped
key, overwriting its bytes; what that key sealed is then unreadable wherever it is, in snapshots and mirrors
too. What would bring it back is a backup of this journal together with the key-encryption key of its time. So
backups of the vault are kept for 30 days at most, and a rotation of the key-encryption key makes all earlier
ones worthless at once.

A name whose key was shredded gets no new key by itself: `cipher` raises Shredded for ever. Someone who comes
back is let in by name (`readmit`), with a new key; the old data stays unreadable. Rejected: a new key at the
next use (a process that had not heard of the shredding would write on as if nothing had happened).
"""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from carma.access.journal import Journal
from carma.access.vault.datakey import DataKeyCipher, commitment_of, key_id_of, new_data_key
from carma.access.vault.entries import Entry, Opening, Record, Shredding, owner_tag, parse, to_bytes
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.xaes import KEY_BYTES
from carma.errors import InvalidInput, KekWrong, OwnerNotFound, Shredded, VaultKeyWrong
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy

__all__ = ["Vault"]

OWNER_BYTES = 1_024
"""The longest name of an owner, in UTF-8."""
CIPHERS_KEPT = 4_096
"""How many ciphers are kept ready; making one costs about 60 µs."""


class Vault:
    """The data keys of all owners. Threads and processes may share it.

    journal: where the wrapped keys lie. kek: wraps them. reload: gives the key-encryption key anew; it is
    asked once when another process has rotated it, and before the first data key. Nothing is written before
    that.

    Every call raises KekWrong if another key-encryption key wrapped what is here, and what the journal
    raises.
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
        self._journal = journal
        self._kek = kek
        self._reload = reload
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._guard = threading.RLock()
        self.ended = 0
        """Keys that were shredded through this very object."""
        self._mark: bytes | None = None
        self._unread: list[bytes] = []
        self._anew = True
        self._opening: Opening | None = None
        self._secret = b""
        self._entries: dict[bytes, Entry] = {}
        self._shredded: dict[bytes, Shredding] = {}
        self._ciphers: OrderedDict[bytes, DataKeyCipher] = OrderedDict()

    # Using keys

    def cipher(self, owner: str, create: bool = True) -> DataKeyCipher:
        """The cipher of an owner; with `create`, their data key is made if there is none.

        Raises Shredded, OwnerNotFound (no key, and not to be made), VaultKeyWrong (their key is damaged, or
        records are lost and theirs may be among them), InvalidInput (the name).
        """
        _check_name(owner)
        with self._guard:
            self._refresh()
            if found := self._ready(owner):
                return found
            if not create:
                self._refuse_loss()
                raise OwnerNotFound("The vault has no data key of this owner.")
            with self._journal.turn():
                self._refresh()
                return self._ready(owner) or self._made(owner)

    def shredding(self, owner: str) -> Shredding | None:
        """What is left of the owner's key if it was shredded, else None. Costs some microseconds."""
        with self._guard:
            self._refresh()
            tag = self._tag(owner) if self._opening else b""
            return None if tag in self._entries else self._shredded.get(tag)

    def owners(self) -> list[str]:
        """Everyone who has a data key, sorted. Raises VaultKeyWrong."""
        with self._guard:
            self._refresh()
            return sorted(self._unwrapped(entry)[1] for entry in self._entries.values())

    def shreddings(self) -> list[Shredding]:
        """What is left of every key that was shredded and whose owner was not readmitted, oldest first."""
        with self._guard:
            self._refresh()
            gone = (each for tag, each in self._shredded.items() if tag not in self._entries)
            return sorted(gone, key=lambda each: each.when)

    # Changing keys

    def shred(self, owner: str) -> Shredding:
        """Destroy the owner's data key; when it returns, no file of the vault holds a byte of it.

        Again for the same owner it gives what it gave the first time. Ciphers that were handed out before go
        on in the memory of those who hold them: close what uses them. Raises OwnerNotFound.
        """
        with self._guard, self._journal.turn():
            self._refresh()
            self._refuse_loss()
            if self._opening is None:
                raise OwnerNotFound("The vault has no data key of this owner.")
            tag = self._tag(owner)
            entry = self._entries.get(tag)
            if entry is None:
                if tag not in self._shredded:
                    raise OwnerNotFound("The vault has no data key of this owner.")
                return self._shredded[tag]
            done = Shredding(tag, self._clock.now(), entry.key_id, entry.commitment)
            kept = (each for each in self._entries.values() if each is not entry)
            gone = (each for each in self._shredded.values() if each.tag != tag)
            self._rewrite(self._opening, kept, [*gone, done])
            self.ended += 1
            return done

    def readmit(self, owner: str) -> DataKeyCipher:
        """A new data key for an owner whose last one was shredded. Raises OwnerNotFound if it was not."""
        with self._guard, self._journal.turn():
            self._refresh()
            if self.shredding(owner) is None:
                raise OwnerNotFound("No data key of this owner was shredded.")
            return self._made(owner)

    def rotate_kek(self, new: KeyEncryptionKey, *, accept_loss: bool = False) -> int:
        """Wrap every data key by `new`; how many. All of them or, if it raises, none.

        It reads and writes the journal only: no fragment is touched. Repeating it is harmless.
        accept_loss: go on though records are lost or damaged, and drop them. Raises VaultKeyWrong.
        """
        with self._guard, self._journal.turn():
            self._refresh()
            if not accept_loss:
                self._refuse_loss()
            self._kek = new.beside(self._kek)
            if self._opening is None:
                return 0
            entries = list(self._rewrapped(accept_loss))
            opening = Opening(self._opening.when, new.wrap(self._secret, self._opening.context))
            self._rewrite(opening, entries, self._shredded.values())
            return len(entries)

    def check(self) -> list[str]:
        """Compare and mend the copies, open every key, and say in sentences what was found; [] if nothing."""
        with self._guard:
            said = self._journal.check()
            self._refresh()
            for entry in self._entries.values():
                try:
                    self._unwrapped(entry)
                except VaultKeyWrong:
                    said.append(f"The data key {entry.key_id.hex()} is damaged: its owner cannot be read.")
            return said

    def close(self) -> None:
        """Give the files back; the vault may be used again."""
        self._journal.close()

    # Inside

    def _refresh(self) -> None:
        """Know what every process has written. Raises KekWrong, FormatTooNew, what the journal raises."""
        mark = self._journal.mark()
        if mark == self._mark:
            return
        self._mark = None
        news = self._journal.news()
        # What cannot be taken in stays in `_unread`, so that the next call does not go on without it.
        self._unread = news if self._journal.start_over else self._unread + news
        self._anew = self._anew or self._journal.start_over
        records = [parse(data) for data in self._unread]
        if self._anew:
            self._opening, self._secret = None, b""
            for known in (self._entries, self._shredded, self._ciphers):
                known.clear()
        self._unread, self._anew = [], False
        for record in records:
            self._apply(record)
        if self._opening is not None and not self._secret:
            self._secret = self._unlocked(self._opening)
        self._mark = mark

    def _apply(self, record: Record) -> None:
        if isinstance(record, Opening):
            self._opening = record
            return
        self._ciphers.pop(record.tag, None)
        if isinstance(record, Entry):
            self._entries[record.tag] = record
        else:
            self._entries.pop(record.tag, None)
            self._shredded[record.tag] = record

    def _unlocked(self, opening: Opening) -> bytes:
        """The vault's own secret. Asks for the key-encryption key anew if another one wrapped it."""
        try:
            return self._kek.unwrap(opening.wrapped, opening.context)
        except KekWrong:
            if self._reload is None:
                raise
        self._kek = self._reload()
        return self._kek.unwrap(opening.wrapped, opening.context)

    def _tag(self, owner: str) -> bytes:
        return owner_tag(self._secret, owner)

    def _ready(self, owner: str) -> DataKeyCipher | None:
        """The cipher of an owner whose key is here, else None. Raises Shredded, VaultKeyWrong."""
        if self._opening is None:
            return None
        tag = self._tag(owner)
        if found := self._ciphers.get(tag):
            self._ciphers.move_to_end(tag)
            return found
        if entry := self._entries.get(tag):
            return self._kept(tag, DataKeyCipher(self._unwrapped(entry)[0], entropy=self._entropy))
        if tag in self._shredded:
            raise Shredded("The data key of this owner was destroyed.")
        return None

    def _made(self, owner: str) -> DataKeyCipher:
        """A new data key, durable in all copies. Within a turn, after `_refresh`."""
        self._refuse_loss()
        records: list[bytes] = []
        if self._opening is None:
            if self._reload is not None:
                # Nothing here says which key-encryption key is right: another process may have rotated it.
                self._kek = self._reload()
            secret = self._entropy.bytes(KEY_BYTES)
            opening = Opening(self._clock.now(), b"")
            opening = Opening(opening.when, self._kek.wrap(secret, opening.context))
            records.append(to_bytes(opening))
        else:
            secret = self._secret
        key, tag = new_data_key(self._entropy), owner_tag(secret, owner)
        draft = Entry(tag, self._clock.now(), key_id_of(key), commitment_of(key), b"")
        wrapped = self._kek.wrap(key + owner.encode(), draft.context)
        self._mark = None
        self._journal.append([*records, to_bytes(replace(draft, wrapped=wrapped))])
        self._refresh()
        return self._kept(tag, DataKeyCipher(key, draft.commitment, entropy=self._entropy))

    def _kept(self, tag: bytes, cipher: DataKeyCipher) -> DataKeyCipher:
        self._ciphers[tag] = cipher
        if len(self._ciphers) > CIPHERS_KEPT:
            self._ciphers.popitem(last=False)
        return cipher

    def _unwrapped(self, entry: Entry) -> tuple[bytes, str]:
        """An owner's data key, proven by its commitment, and their name. Raises KekWrong, VaultKeyWrong."""
        plain = self._kek.unwrap(entry.wrapped, entry.context)
        key, name = plain[:KEY_BYTES], plain[KEY_BYTES:].decode()
        if not hmac.compare_digest(commitment_of(key), entry.commitment):
            raise VaultKeyWrong("A data key does not match its commitment.")
        return key, name

    def _rewrapped(self, drop_damaged: bool) -> Iterator[Entry]:
        """Every entry, wrapped by the key-encryption key of now; what is in it is not looked at.

        Raises VaultKeyWrong.
        """
        for entry in self._entries.values():
            context = entry.context
            try:
                plain = self._kek.unwrap(entry.wrapped, context)
            except VaultKeyWrong:
                if not drop_damaged:
                    raise
                continue
            wrapped = self._kek.wrap(plain, context)
            yield Entry(entry.tag, entry.when, entry.key_id, entry.commitment, wrapped)

    def _rewrite(self, opening: Opening, entries: Iterable[Entry], shredded: Iterable[Shredding]) -> None:
        """Replace the journal. Shreddings stand before the keys of those who were readmitted."""
        self._mark = None
        records: list[Record] = [opening, *shredded, *entries]
        self._journal.rewrite([to_bytes(record) for record in records])
        self._refresh()

    def _refuse_loss(self) -> None:
        """While records are lost nobody is unknown, nothing is made and nothing rewritten: one of them may be
        this very owner's, and a new key or a journal without gaps would hide that. Raises VaultKeyWrong.
        """
        if self._journal.lost:
            raise VaultKeyWrong(
                f"{len(self._journal.lost)} records of the vault are in no copy any more.",
                hint="Restore a backup of the vault, or drop them with `carma vault rotate --accept-loss`.",
            )


def _check_name(owner: str) -> None:
    """Raises InvalidInput."""
    try:
        length = len(owner.encode())
    except UnicodeEncodeError:
        length = 0
    if not 0 < length <= OWNER_BYTES:
        raise InvalidInput(f"An owner's name has 1 to {OWNER_BYTES:,} bytes of UTF-8.")
