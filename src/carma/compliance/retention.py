"""Retention: finding what the rules say is due, and removing exactly that.

`plan` is a pure function of rules, fragments and the time: run it alone to see what would go. `carry_out`
deletes what a plan says, in bounded batches on behalf of an act, and purges the bytes behind each batch. What
changed since the plan was made is left alone. It can die anywhere: what was deleted and not purged is purged
first by the next run. Rejected: a background thread that deletes by itself (who removes memories has to want
it, and see it first: there is nothing to do without a file of rules).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from carma.compliance.rules import Rules
from carma.errors import FragmentNotFound
from carma.memory.held import held
from carma.memory.memory import Memory
from carma.memory.purging import purge_deleted
from carma.models import Act

__all__ = ["BATCH", "Due", "Plan", "Removed", "candidates", "carry_out", "on_hold", "plan"]

BATCH = 200
"""So many fragments are deleted before their bytes are purged and the caller is asked whether to go on."""


class Due(NamedTuple):
    """A fragment that a rule removes. version: the one that was looked at."""

    id: str
    version: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is due, children before what is above them.

    looked_at: fragments. unknown: of them lost, which no rule with a filter may remove. kept: how many a rule
    would have removed, by the hold that keeps them.
    """

    due: tuple[Due, ...]
    looked_at: int
    unknown: int
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def by_rule(self) -> dict[str, int]:
        """How many fragments each rule removes; those that remove none are left out."""
        return dict(Counter(each.rule for each in self.due))


class Removed(NamedTuple):
    """What was done. changed: fragments left alone, because they changed or went since the plan.

    purged: versions whose bytes are gone from the files.
    """

    deleted: int
    changed: int
    purged: int
    batches: int
    finished: bool


def candidates(memory: Memory) -> Iterator[dict[str, Any]]:
    """The fragments that rules are asked about: the newest version of each, expired ones too; no texts."""
    for value in held(memory, history=False):
        if "text" in value:
            yield {name: each for name, each in value.items() if name not in ("text", "vector")}


def plan(rules: Rules, fragments: Iterable[Mapping[str, Any]], now: float) -> Plan:
    """Which fragments are due at `now`, each by the first rule that removes it. Changes nothing.

    fragments: all of a memory's, as `candidates` gives them. now: seconds since the epoch.
    """
    known = {value["id"]: value for value in fragments}
    lines = {id: _line_above(id, known) for id in known}
    due, kept = [], Counter[str]()
    for id, value in known.items():
        rule = rules.rule_for(value, lines[id], now)
        if rule is None:
            continue
        hold = rules.hold_for(value, lines[id])
        if hold is not None:
            kept[hold.name] += 1
        else:
            due.append(Due(id, value["version"], rule.name))
    due.sort(key=lambda each: (-len(lines[each.id]), each.id))
    unknown = sum(value["state"] == "blank" for value in known.values())
    return Plan(due=tuple(due), looked_at=len(known), unknown=unknown, kept=dict(kept))


def on_hold(rules: Rules, memory: Memory) -> dict[str, int]:
    """How many fragments each hold keeps, whatever rules say; those that keep none are left out."""
    if not rules.holds:
        return {}
    known = {value["id"]: value for value in candidates(memory)}
    found = (rules.hold_for(value, _line_above(id, known)) for id, value in known.items())
    return dict(Counter(hold.name for hold in found if hold is not None))


def carry_out(
    memory: Memory,
    planned: Plan,
    *,
    account: str,
    batch: int = BATCH,
    after_batch: Callable[[int], bool] = lambda deleted: True,
) -> Removed:
    """Delete what a plan says, in batches of `batch`, and purge the bytes behind each.

    account: on whose behalf; each deletion is noted for the audit log. after_batch: told how many were
    deleted so far; False ends it, and a new plan goes on later. Children of what goes move up, unless they
    are due too. Raises MassDamage, MemoryBusy, ReadOnlyMemory, AuditUnavailable, StorageError.
    """
    deleted = changed = batches = 0
    purged = purge_deleted(memory)  # What somebody deleted before, perhaps this, and did not live to purge.
    for start in range(0, len(planned.due), batch):
        for each in planned.due[start : start + batch]:
            if not _unchanged(memory, each):
                changed += 1
                continue
            with memory.acting(Act(account=account, operation=f"retention.{each.rule}")):
                deleted += memory.delete(each.id)
        purged += purge_deleted(memory)
        batches += 1
        if not after_batch(deleted) and start + batch < len(planned.due):
            return Removed(deleted, changed, purged, batches, finished=False)
    return Removed(deleted, changed, purged, batches, finished=True)


def _line_above(id: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A fragment and everything above it, nearest first; a cycle ends."""
    line: dict[str, None] = {}
    above: str | None = id
    while above is not None and above not in line:
        line[above] = None
        above = known[above]["parent"] if above in known else None
    return tuple(line)


def _unchanged(memory: Memory, due: Due) -> bool:
    try:
        newest = memory.history(due.id)[-1]
    except FragmentNotFound:
        return False
    return newest.version == due.version and not newest.deleted
