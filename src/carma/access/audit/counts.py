"""What is only counted: reads of each owner, forgeries, and denials beyond the first ones of a minute.

Counting costs a dictionary look-up, so a flood of forged requests does not become a flood of leaves; nor do
the requests of a right key that may not do what it asks for, ten thousand times a second. The counts of the
minute that runs are in memory: a process that dies takes them with it, at most a minute's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.events import new_event
from carma.access.audit.leaf import Leaf
from carma.access.audit.leaves import leaf_for_count
from carma.errors import CarmaError
from carma.ports.clock import Clock, Entropy

__all__ = ["DENIALS_TOLD", "Counts"]

DENIALS_TOLD = 20
"""So many denials of an account have a leaf of their own in each minute."""

_MOST_OWNERS = 100_000
_MINUTE_S = 60

KeyOf = Callable[[str], AuditKey | None]
"""The audit key of an account; None if it was shredded."""


class Counts:
    """Counts reads and forgeries. Safe to share between threads.

    key_of: gives an account's audit key when a leaf is made. most_owners: so many are counted apart in one
    minute.
    """

    def __init__(
        self, key_of: KeyOf, clock: Clock, entropy: Entropy, most_owners: int = _MOST_OWNERS
    ) -> None:
        self._most_owners = most_owners
        self._key_of = key_of
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._minute = self._now()
        self._reads: Counter[str] = Counter()
        self._denials: Counter[str] = Counter()
        self._forgeries = 0
        self._done: list[tuple[int, Counter[str], Counter[str], int]] = []
        self._again: list[Leaf] = []

    def read(self, account: str) -> None:
        """Somebody read in the memory of an account."""
        with self._lock:
            self._turn()
            self._count(self._reads, account)

    def denial(self, account: str) -> bool:
        """A right key was refused; whether it should have a leaf of its own. Else it is counted here."""
        with self._lock:
            self._turn()
            return self._count(self._denials, account) <= DENIALS_TOLD

    def _count(self, counter: Counter[str], account: str) -> int:
        # Whoever is one too many in this minute is counted with nobody's name.
        name = account if account in counter or len(counter) < self._most_owners else ""
        counter[name] += 1
        return counter[name]

    def forgery(self) -> None:
        """A request came whose tag is wrong, or whose key nobody has."""
        with self._lock:
            self._turn()
            self._forgeries += 1

    def leaves(self, *, all: bool = False) -> list[Leaf]:
        """The leaves of the minutes that are over, each once. all: also of the one that runs."""
        with self._lock:
            self._turn(force=all)
            done, self._done = self._done, []
            again, self._again = self._again, []
        return again + [leaf for each in done for leaf in self._made(*each)]

    def give_back(self, leaves: Sequence[Leaf]) -> None:
        """Leaves that could not be stored: `leaves` gives them again, as many as a minute may have."""
        with self._lock:
            self._again = [*leaves, *self._again][: self._most_owners]

    def _made(self, minute: int, reads: Counter[str], denials: Counter[str], forged: int) -> list[Leaf]:
        owners: list[tuple[str, AuditKey | None, str | None, int]] = [
            ("reads", self._key(account), account or None, count) for account, count in sorted(reads.items())
        ]
        owners += [
            ("denials", self._key(account), account or None, count - DENIALS_TOLD)
            for account, count in sorted(denials.items())
            if count > DENIALS_TOLD
        ]
        if forged:
            owners.append(("forgeries", None, None, forged))
        return [
            leaf_for_count(
                new_event(self._clock, self._entropy), minute * _MINUTE_S * 1000, kind, key, account,
                count=count, minute=minute,
            )
            for kind, key, account, count in owners
        ]  # fmt: skip

    def _key(self, account: str) -> AuditKey | None:
        """The audit key of an account; None if it has none that can be read: then nobody's name is told."""
        try:
            return self._key_of(account) if account else None
        except CarmaError:
            return None

    def _turn(self, force: bool = False) -> None:
        """Close the minute if it is over."""
        now = self._now()
        if now != self._minute or force:
            if self._reads or self._denials or self._forgeries:
                self._done.append((self._minute, self._reads, self._denials, self._forgeries))
            self._minute, self._forgeries = now, 0
            self._reads, self._denials = Counter(), Counter()

    def _now(self) -> int:
        return int(self._clock.now() // _MINUTE_S)
