"""Coming and going: what an account is made of, and what is destroyed when it leaves.

Joining: a seat, a data key, a first key. Leaving, in an order in which a crash between any two steps leaves
nothing open: first nobody is admitted, then the account's keys end, its data key is shredded, its folder
erased, and last the seat is free and the name forgotten. `finish` goes on with what was cut off. The next
owner of the seat gets a folder and a data key of their own, so even a file that was missed says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from carma.access.audit.leaf import Leaf
from carma.access.audit.trail import AuditTrail
from carma.access.data import DataFolder
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey, StaticKey
from carma.access.vault.vault import Vault
from carma.compliance.folders import erase_folder
from carma.errors import OwnerNotFound, Shredded, StorageError
from carma.ports.clock import Clock, SystemClock
from carma.serve.accounts import Account, Accounts

__all__ = ["Churn", "Joined"]

_ERASE_TRIES = 20
_ERASE_PAUSE_S = 0.25
"""A server retires the seat of who is gone within a second or two."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody new. key: shown once."""

    account: Account
    key: RootKey | StaticKey


class Churn:
    """Adds and removes accounts of one data directory.

    vault: None where seats are not encrypted. last_words: called with a leaving account before anything of
    it is destroyed.
    """

    def __init__(
        self,
        folder: DataFolder,
        accounts: Accounts,
        keys: KeyStore,
        vault: Vault | None,
        trail: AuditTrail,
        last_words: Callable[[Account], None] = lambda account: None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._folder = folder
        self._accounts = accounts
        self._keys = keys
        self._vault = vault
        self._trail = trail
        self._last_words = last_words

    def join(self, name: str, permissions: str, *, static: bool = False) -> Joined:
        """Give somebody a seat and a key. Raises InvalidInput, AccountExists, BlockFull."""
        account = self._accounts.add(name, above=self._generations_on_disk())
        if self._vault is not None:
            self._vault.cipher(account.id)
        self._note("users.add", account)
        key, _ = self._keys.create(account.id, permissions, kind="static" if static else "root")
        return Joined(account, key)

    def leave(self, name_or_id: str) -> Account:
        """Remove an account and everything it had. Raises AccountNotFound, and what the parts raise: then
        `finish` goes on.
        """
        account = self._accounts.begin_leaving(self._accounts.find(name_or_id).id)
        self._destroy(account)
        return account

    def finish(self) -> int:
        """Go on with removals that were cut off; how many."""
        leaving = [account for account in self._accounts.all() if account.leaving]
        for account in leaving:
            self._destroy(account)
        return len(leaving)

    def _destroy(self, account: Account) -> None:
        self._last_words(account)
        for key in self._keys.keys().values():
            if key.owner == account.id and key.state != "revoked":
                self._keys.revoke(key.name)
        self._trail.follow(KeyEvents(self._keys, self._trail.key_of))
        self._note("users.remove", account)
        self._trail.sequence()
        self._keys.forget(account.id)
        self._shred(account)
        self._erase(Path(self._folder.seat(account.seat, account.generation)))
        self._accounts.end_leaving(account.id)

    def _erase(self, folder: Path) -> None:
        """Erase a seat's folder. A server that had it open may write once more while it closes it.

        Raises StorageError.
        """
        for last in (*[False] * _ERASE_TRIES, True):
            try:
                erase_folder(folder)
                return
            except OSError as error:
                if last:
                    raise StorageError(f"{folder} cannot be erased: {error.strerror or error}.") from error
                self._clock.sleep(_ERASE_PAUSE_S)

    def _shred(self, account: Account) -> None:
        if self._vault is None:
            self._trail.keys.shred(account.id)
            return
        with suppress(Shredded):
            if self._trail.keys.key(account.id, create=False) is not None:
                self._trail.keys.shred(account.id)  # Its seat was a plain one once.
        with suppress(OwnerNotFound):  # It has no data key: nobody opened its seat yet, or it is a plain one.
            self._vault.shred(account.id)

    def _note(self, operation: str, account: Account) -> None:
        """A leaf that says what happened to an account."""
        key = self._trail.key_of(account.id)
        self._trail.note(
            Leaf(
                event=self._trail.new_event(),
                time_ms=self._trail.now_ms(),
                kind="account",
                operation=operation,
                owner=key.owner(account.id) if key is not None else None,
                numbers={"seat": account.seat, "generation": account.generation},
            )
        )

    def _generations_on_disk(self) -> dict[int, int]:
        """The highest generation of each seat that a folder names, whatever the journal says."""
        found: dict[int, int] = {}
        seats = Path(self._folder.seat(0, 1)).parent
        for name in os.listdir(seats) if seats.is_dir() else ():
            seat, _, generation = name.partition("-")
            if seat.isdigit() and generation.isdigit():
                found[int(seat)] = max(found.get(int(seat), 0), int(generation))
        return found
