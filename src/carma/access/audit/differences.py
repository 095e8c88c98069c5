"""What happened to entries, from the hashes that were expected and those that were found. Pure.

The expected hashes come from tiles that the checkpoint proves, so each difference is exact. A row of
differences is a removal where what is found is what is expected one place further, an insertion the other way
round, a change of order where the same hashes stand in other places, and else a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "Finding", "classify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a log.

    kind: "changed", "removed", "inserted", "reordered", "missing", "rewritten", "truncated", "forked",
    "tile", "checkpoint", "unwitnessed", "duplicate". path: the tile or file, in the log's folder. start,
    stop: the entries that it is about; None where it is about none.
    """

    kind: str
    path: str
    what: str
    start: int | None = None
    stop: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "kind": self.kind, "path": self.path, "start": self.start, "stop": self.stop, "what": self.what,
        }  # fmt: skip


Difference = tuple[bytes, bytes | None]
"""The hash that was expected at a place, and the one that was found; None where there is no entry."""


def classify(differences: Mapping[int, Difference]) -> Iterator[tuple[str, int, int, str]]:
    """What the differences amount to: kind, first entry, the one past the last, and in words."""
    places = {expected: index for index, (expected, _) in differences.items()}
    for start, stop in _runs(sorted(differences)):
        expected = [differences[index][0] for index in range(start, stop)]
        found = [differences[index][1] for index in range(start, stop)]
        yield from _run(start, expected, found, places)


def _run(
    start: int, expected: Sequence[bytes], found: Sequence[bytes | None], places: Mapping[bytes, int]
) -> Iterator[tuple[str, int, int, str]]:
    stop = start + len(expected)
    if all(each is None for each in found):
        yield "missing", start, stop, f"Entries {start} to {stop - 1} are not there."
    elif len(expected) > 1 and set(found) == set(expected):
        yield "reordered", start, stop, f"Entries {start} to {stop - 1} stand in another order."
    elif len(expected) > 1 and list(found[:-1]) == list(expected[1:]):
        yield "removed", start, start + 1, f"Entry {start} was taken out; those behind it moved up."
    elif len(expected) > 1 and list(found[1:]) == list(expected[:-1]):
        yield "inserted", start, start + 1, f"An entry was put in at {start}; those behind it moved on."
    else:
        for index, each in enumerate(found, start):
            other = places.get(each) if each is not None else None
            if each is None:
                yield "missing", index, index + 1, f"Entry {index} is not there."
            elif other is not None:
                yield "reordered", index, index + 1, f"Entry {index} is the one that belongs at {other}."
            else:
                yield "changed", index, index + 1, f"Entry {index} is not the one that was logged."


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Consecutive numbers as (first, past the last)."""
    start = before = None
    for index in indices:
        if start is not None and before is not None and index != before + 1:
            yield start, before + 1
            start = None
        start = index if start is None else start
        before = index
    if start is not None and before is not None:
        yield start, before + 1
