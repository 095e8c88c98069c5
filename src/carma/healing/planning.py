"""How long a dream may take and in which order it works: pure decisions over numbers.

The plan is a ceiling and not a sleep: a cycle ends as soon as its work is done. What is nearest to being lost
comes first: files of the spread that can lose the fewest more, then the fragments by their priority
(`priority`). Rejected: file by file in the order of their names, which would leave a spread without a spare
shard waiting behind one that has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from carma.errors import InvalidInput

__all__ = ["Job", "budget", "in_order", "planned"]


class Job(NamedTuple):
    """A damaged file. number: as in a record header; spread: 0 for the log; column: it holds parity.

    spare: how many more files its spread can lose.
    """

    number: int
    spread: int
    column: bool
    spare: int


def planned(base_s: float, fragment_s: float, blank_s: float, fragments: int, blanks: int) -> float:
    """The ceiling of a cycle in seconds: a base, and so much for each fragment and for each blank."""
    return base_s + fragment_s * fragments + blank_s * blanks


def budget(planned_s: float, asked_s: float | None) -> float:
    """How long this cycle may take: what was asked for, and never more than the plan. Raises InvalidInput."""
    if asked_s is None:
        return planned_s
    if not asked_s >= 0:
        raise InvalidInput("The budget of a dream is a number of seconds from 0.")
    return min(asked_s, planned_s)


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """The log first (copying is cheap), then by spare files, segments before the parity made of them."""
    return sorted(jobs, key=lambda job: (job.spread != 0, job.spare, job.spread, job.column, job.number))
