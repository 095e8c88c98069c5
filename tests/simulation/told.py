"""What a memory was told, so that everything it says can be held against it.

An operation that was acknowledged has one outcome. One that a crash or a refusal cut short may have happened
or not: all its outcomes are possible until the memory is opened again and shows which it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from carma.models import Fragment

__all__ = ["Shown", "Told", "shown"]


class Shown(NamedTuple):
    """What a reader sees of a version."""

    version: int
    text: str
    parent: str | None


def shown(fragment: Fragment) -> Shown:
    """A fragment as a reader sees it."""
    return Shown(fragment.version, fragment.text, fragment.parent)


@dataclass
class Told:
    """now: what was acknowledged last; None is a deletion. maybe: what may have happened beside it.

    texts: every text that was ever asked for, by id and version. acknowledged: ids and versions. seqs: the
    number of the write that was acknowledged last. deleted: the unique words of what was deleted for sure.
    """

    now: dict[str, Shown | None] = field(default_factory=dict)
    maybe: dict[str, set[Shown | None]] = field(default_factory=dict)
    texts: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    acknowledged: set[tuple[str, int]] = field(default_factory=set)
    seqs: dict[str, int] = field(default_factory=dict)

    def possible(self, id: str) -> set[Shown | None]:
        """What a reader may see of a fragment; None: that it is not there."""
        return {self.now.get(id)} | self.maybe.get(id, set())

    def alive(self) -> list[str]:
        """Fragments that are there for sure, in the order of their first writing."""
        return [id for id in self.now if None not in self.possible(id)]

    def gone(self) -> list[str]:
        """Fragments that were deleted for sure."""
        return [id for id in self.now if self.possible(id) == {None}]

    def below(self, id: str) -> list[str]:
        """Everything below a fragment."""
        found = [id]
        for above in found:
            found += [each for each, state in self.now.items() if state is not None and state.parent == above]
        return found[1:]

    def ask(self, id: str, *outcomes: Shown | None) -> None:
        """These may come to be."""
        self.maybe.setdefault(id, set()).update(outcomes)
        for outcome in outcomes:
            if outcome is not None:
                self.texts.setdefault((id, outcome.version), set()).add(outcome.text)

    def acknowledge(self, id: str, outcome: Shown | None, seq: int = 0) -> None:
        """This has come to be, and nothing else."""
        known = [state.version for state in self.possible(id) if state is not None]
        first, last = min(known, default=0), max(known, default=0)
        self.now[id] = outcome
        self.maybe.pop(id, None)
        self.seqs[id] = seq
        versions = [outcome.version] if outcome is not None else [*range(first + 1, last + 2)]
        self.acknowledged.update((id, version) for version in versions)
        if outcome is not None:
            self.texts.setdefault((id, outcome.version), set()).add(outcome.text)

    def settle(self, id: str, state: Shown | None) -> None:
        """The memory was opened again and shows which it was."""
        self.maybe.pop(id, None)
        self.now[id] = state
