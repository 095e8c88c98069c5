"""The promises (docs/guides/healing.md) as questions to an open memory, held against what it was told."""

from __future__ import annotations

import random
from collections.abc import Iterable

from carma import Memory
from carma.errors import FragmentNotFound
from carma.models import Fragment
from carma.testing import SimulatedDisk

from .names import Named, named
from .told import Told, shown

__all__ = ["Broken", "Oracle", "token"]

PROVEN = ("intact", "repaired")


class Broken(AssertionError):
    """A promise does not hold."""


def token(text: str) -> str:
    """The word of a text that no other text has."""
    return text.split()[0]


class Oracle:
    """Asks a memory everything and compares. One for each opening: what a memory has shown or acknowledged
    since it was opened, it may not forget.

    exact: everything has to be there as it was told; otherwise it may also be flagged as lost.
    """

    def __init__(self, memory: Memory, told: Told, disk: SimulatedDisk, chance: random.Random) -> None:
        self._memory = memory
        self._told = told
        self._disk = disk
        self._chance = chance
        self._seen: dict[str, int] = {}
        self._silent: set[int] = set()
        self._forgotten: set[str] = set()
        self._names: Named | None = None

    def check(self, *, exact: bool, whole: bool = False, opened: bool = False) -> None:
        """Ask everything. whole: no read may need a repair. opened: the memory was just opened, so what may
        have happened is now decided.
        """
        self._names = None
        steady = not self._disk.faults
        states = {}
        for id in sorted(self._told.now.keys() | self._told.maybe.keys()):
            fragment = self._get(id)
            states[id] = fragment
            (self._must_be if exact else self._may_be)(id, fragment)
            if whole and fragment is not None and fragment.state != "intact":
                raise Broken(f"{id} is {fragment.state} after a dream")
        if steady:
            self._listed(states)
        (self._history if self._chance.random() < 0.5 else self._found)(exact)
        for id, fragment in sorted(states.items()):
            if (fragment is None or fragment.state in PROVEN) and opened:
                self._told.settle(id, shown(fragment) if fragment is not None else None)
            if fragment is not None:
                self._seen[id] = max(fragment.version, self._seen.get(id, 0))

    def counted(self) -> None:
        """What is gone without a name is counted as a gap, where something newer shows that it was there."""
        names = self._all_names()
        newest = max(names.seqs, default=0)
        silent = sorted(seq for seq in self._silent if seq < newest and seq not in names.seqs)
        unnamed = self._memory.scan(deep=True).unnamed
        if unnamed < max(len(silent), len(self._forgotten)):
            gone = f"the writes {silent} and the fragments {sorted(self._forgotten)}"
            raise Broken(f"{unnamed} gaps are counted, but {gone} are gone without a name")

    def acknowledged(self, id: str, version: int, seq: int) -> None:
        """The memory has said so since it was opened."""
        self._seen[id] = version
        self._silent.discard(seq)  # Where all that named a number is gone, a new write may get it.

    # One fragment

    def _get(self, id: str) -> Fragment | None:
        try:
            return self._memory.get(id)
        except FragmentNotFound:
            return None

    def _must_be(self, id: str, fragment: Fragment | None) -> None:
        possible = self._told.possible(id)
        if fragment is None:
            if None not in possible:
                raise Broken(f"{id} is not there; it was told {possible}")
            return
        found = shown(fragment)
        if fragment.state not in PROVEN:
            raise Broken(f"{id} is {fragment.state} ({fragment.blank}); it was told {possible}")
        if found not in possible:
            raise Broken(f"{id} is {found}; it was told {possible}")

    def _may_be(self, id: str, fragment: Fragment | None) -> None:
        possible = self._told.possible(id)
        versions = {state.version for state in possible if state is not None}
        if fragment is None:
            if None not in possible and self._is_named(id, 0, deleted=False):
                raise Broken(f"{id} is named, and a reader is told that it is not there")
            if None not in possible:
                self._forget(id, 0)
            return
        self._is_honest(id, fragment)
        if versions and fragment.version >= min(versions):
            return
        if fragment.state in PROVEN:
            self._forget(id, fragment.version)
        if fragment.state in PROVEN and self._is_named(id, fragment.version, deleted=True):
            raise Broken(f"{id} is shown as version {fragment.version}, though a newer one is named")

    def _forget(self, id: str, version: int) -> None:
        """A write is not shown, and no file names it: that is a gap."""
        if self._told.now.get(id) is None:
            return
        if self._told.seqs.get(id):
            self._silent.add(self._told.seqs[id])
        if version < self._seen.get(id, 0):
            self._forgotten.add(id)

    def _is_honest(self, id: str, fragment: Fragment) -> None:
        """What is shown was said at some time, or it is flagged."""
        if fragment.state == "blank":
            if fragment.text or fragment.blank is None:
                raise Broken(f"the blank {id} has the text {fragment.text!r}")
        elif fragment.state == "reconstructed":
            if fragment.repair is None:
                raise Broken(f"{id} is reconstructed, and nothing says how")
            self._no_deleted(id, fragment.text)
        elif fragment.text not in self._told.texts.get((id, fragment.version), ()):
            raise Broken(f"version {fragment.version} of {id} never was {fragment.text!r}")

    def _no_deleted(self, id: str, text: str) -> None:
        for gone in self._told.gone():
            words = {
                token(text)
                for (other, _), texts in self._told.texts.items()
                if other == gone
                for text in texts
            }
            if words & set(text.split()) and self._get(gone) is None:
                raise Broken(f"{id} is reconstructed with the deleted text of {gone}")

    def _is_named(self, id: str, above: int, *, deleted: bool) -> bool:
        """Whether the files name a newer version than `above`; deleted: or that it was deleted."""
        newest = self._all_names().newest.get(id)
        return newest is not None and newest[0] > above and (deleted or not newest[1])

    def _all_names(self) -> Named:
        if self._names is None:
            self._names = named(self._disk, self._memory.path, self._told.acknowledged)
        return self._names

    # All of them

    def _listed(self, states: dict[str, Fragment | None]) -> None:
        """`list` and `count` say the same as `get`."""
        listed = {each.id: each for each in self._memory.list(limit=1000)}
        there = {id for id, fragment in states.items() if fragment is not None}
        if listed.keys() != there:
            raise Broken(f"list and get differ in {sorted(listed.keys() ^ there)}")
        for id, fragment in listed.items():
            known = states[id]
            assert known is not None
            if "blank" in (fragment.state, known.state):
                continue  # What was just written is still known by heart, though its file has rotted.
            if (fragment.text, fragment.version) != (known.text, known.version):
                raise Broken(f"list gives {shown(fragment)}, get gives {shown(known)}")
        if self._memory.count() != len(there):
            raise Broken(f"count says {self._memory.count()}, list has {len(there)}")

    def _history(self, exact: bool) -> None:
        """Every stored version of some fragment is what was said; the last is the newest."""
        for id in self._some(self._told.now):
            try:
                versions = self._memory.history(id)
            except FragmentNotFound:
                if exact and None not in self._told.possible(id):
                    raise Broken(f"{id} has no history") from None
                continue
            for each in versions:
                if not each.deleted:
                    self._is_honest(id, each)
            numbers = [each.version for each in versions]
            if numbers != sorted(set(numbers)):
                raise Broken(f"the history of {id} has the versions {numbers}")
            if exact and any(each.state not in PROVEN for each in versions):
                raise Broken(f"the history of {id} has a version that is lost")

    def _found(self, exact: bool) -> None:
        """The word that only one text has finds it and nothing else."""
        for id in self._some(self._told.alive()):
            states = self._told.possible(id)
            if len(states) != 1:
                continue
            (state,) = states
            assert state is not None
            hits = self._memory.search(token(state.text), mode="words", limit=3)
            for hit in hits:
                self._is_honest(hit.id, hit.fragment)
                if hit.id in self._told.gone() and exact:
                    raise Broken(f"the search for {token(state.text)} finds {hit.id}, which was deleted")
            if exact and [hit.text for hit in hits] != [state.text]:
                raise Broken(f"the search for {token(state.text)} finds {[hit.text for hit in hits]}")

    def _some(self, ids: Iterable[str]) -> list[str]:
        known = sorted(ids)
        return self._chance.sample(known, min(1, len(known)))
