"""Accounts and the seats they have: who is served by this block, kept in a journal of four copies.

A seat is a number below 60 and a generation. A removed account frees the number; whoever gets it next has the
next generation and with it another folder, so that nothing of the former owner lies where the new one reads.
Removing is two records, because the folder is destroyed between them: first nobody is admitted any more, at
once and in every process; a crash in between is finished later. After the second the journal is written anew,
so that the name of who left is in no file.

Rejected: seats by hash of the name (of 60 seats 22 would stay empty while others overflow), names as folders
(a name is personal, and may be anything).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from carma.access.journal import Journal
from carma.errors import AccountExists, AccountNotFound, BlockFull, InvalidInput
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.ports.disk import Disk

__all__ = ["Account", "Accounts", "seat_folder"]

_ID_BYTES = 10
_NAME_MOST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who is served here.

    id: 16 characters, random, never used again. name: for people. seat: the number, from 0; generation: how
    many have had that number, this one counted. created: seconds since the epoch. leaving: being removed.
    """

    id: str
    name: str
    seat: int
    generation: int
    created: float
    leaving: bool = False

    @property
    def folder(self) -> str:
        """The name of the seat's folder."""
        return seat_folder(self.seat, self.generation)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def seat_folder(seat: int, generation: int) -> str:
    """The name of the folder of one seat and generation."""
    return f"{seat:04d}-{generation}"


class Accounts:
    """The accounts of one block. Threads may share it; other processes see a change at their next call.

    folder: of the journal. seats: how many there are.
    """

    def __init__(
        self,
        disk: Disk,
        folder: str,
        *,
        seats: int = 60,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._journal = Journal(disk, folder, clock=self._clock)
        self._lock = threading.RLock()
        self._mark: bytes | None = None
        self._accounts: dict[str, Account] = {}
        self._generations: dict[int, int] = {}
        self.seats = seats

    # Asking

    def get(self, id: str) -> Account:
        """The account with an id. Raises AccountNotFound, also while it is being removed."""
        self._refresh()
        account = self._accounts.get(id)
        if account is None or account.leaving:
            raise AccountNotFound("There is no such account.")
        return account

    def all(self) -> list[Account]:
        """Every account, by seat; those that are being removed too."""
        self._refresh()
        with self._lock:
            return sorted(self._accounts.values(), key=lambda each: each.seat)

    def find(self, name_or_id: str) -> Account:
        """An account by its id, else by its name. Raises AccountNotFound."""
        for account in self.all():
            if account.id == name_or_id:
                return account
        for account in self.all():
            if account.name == name_or_id:
                return account
        raise AccountNotFound(f"There is no account {name_or_id!r}.")

    def had(self, folder: str) -> bool:
        """Whether the folder of this name is, or was, that of an account in this journal."""
        self._refresh()
        seat, _, generation = folder.partition("-")
        if not (seat.isdecimal() and generation.isdecimal()):
            return False
        return 0 < int(generation) <= self._generations.get(int(seat), 0)

    # Changing

    def add(self, name: str, *, above: Mapping[int, int] | None = None) -> Account:
        """Give somebody the lowest free seat.

        above: generations by seat that were seen elsewhere (folders); the new one is above them too.
        Raises InvalidInput, AccountExists, BlockFull.
        """
        name = _checked(name)
        with self._turn():
            if any(each.name == name for each in self._accounts.values()):
                raise AccountExists(f"There is an account named {name!r}.")
            taken = {each.seat for each in self._accounts.values()}
            seat = next((number for number in range(self.seats) if number not in taken), None)
            if seat is None:
                raise BlockFull(f"All {self.seats} seats of this block are taken.")
            account = Account(
                id=self._new_id(),
                name=name,
                seat=seat,
                generation=max(self._generations.get(seat, 0), (above or {}).get(seat, 0)) + 1,
                created=self._clock.now(),
            )
            self._append(_added(account))
            return account

    def begin_leaving(self, id: str) -> Account:
        """From now on the account is not served; what it had is to be destroyed. Raises AccountNotFound."""
        with self._turn():
            account = self._accounts.get(id)
            if account is None:
                raise AccountNotFound("There is no such account.")
            if not account.leaving:
                self._append({"op": "leaving", "id": id})
            return replace(account, leaving=True)

    def end_leaving(self, id: str) -> None:
        """What it had is destroyed: free the seat and forget the name. Nothing happens a second time."""
        with self._turn():
            account = self._accounts.pop(id, None)
            if account is None:
                return
            rest = [_added(each) for each in self._accounts.values()]
            rest += [{"op": "leaving", "id": each.id} for each in self._accounts.values() if each.leaving]
            counts = {str(seat): count for seat, count in self._generations.items()}
            records = [{"op": "generations", "counts": counts}, *rest]
            self._journal.rewrite([_encoded(each) for each in records])
            self._take()

    @property
    def whole(self) -> bool:
        """Whether every account that ever was is known: no record is lost in all copies."""
        self._refresh()
        return not self._journal.lost

    def check(self) -> list[str]:
        """Look at all copies of the journal and mend them; one sentence for each thing that was found."""
        found = self._journal.check()
        self._mark = None
        return found

    def close(self) -> None:
        """Give the files back."""
        self._journal.close()

    # The journal

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # The turn first: whoever waits for another process must not keep readers of this one from the lock.
        with self._journal.turn(), self._lock:
            self._take()
            yield

    def _append(self, record: dict[str, Any]) -> None:
        self._journal.append([_encoded(record)])
        self._take()

    def _refresh(self) -> None:
        """Take in what anybody changed; one short read if nobody did."""
        if self._mark is not None and self._journal.mark() == self._mark:
            return
        with self._lock:
            mark = self._journal.mark()
            self._take()
            self._mark = mark

    def _take(self) -> None:
        records = self._journal.news()
        if self._journal.start_over:
            self._accounts, self._generations = {}, {}
        for record in records:
            value = json.loads(record)
            _TAKERS[value["op"]](self, value)

    def _take_added(self, value: dict[str, Any]) -> None:
        account = Account(**value["account"])
        self._accounts[account.id] = account
        self._generations[account.seat] = max(account.generation, self._generations.get(account.seat, 0))

    def _take_leaving(self, value: dict[str, Any]) -> None:
        account = self._accounts.get(value["id"])
        if account is not None:
            self._accounts[account.id] = replace(account, leaving=True)

    def _take_generations(self, value: dict[str, Any]) -> None:
        self._generations = {int(seat): count for seat, count in value["counts"].items()}

    def _new_id(self) -> str:
        return base64.b32encode(self._entropy.bytes(_ID_BYTES)).decode().lower()


_TAKERS: dict[str, Callable[[Accounts, dict[str, Any]], None]] = {
    "added": Accounts._take_added,
    "leaving": Accounts._take_leaving,
    "generations": Accounts._take_generations,
}


def _added(account: Account) -> dict[str, Any]:
    return {"op": "added", "account": asdict(replace(account, leaving=False))}


def _encoded(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _NAME_MOST or not name.isprintable():
        raise InvalidInput(f"A name has 1 to {_NAME_MOST} printable characters.")
    return name
