"""What looking and healing report: findings, scans, dreams, the topology. All frozen; `to_dict` is their one
JSON shape.

A report never says that something is done without counts (docs/guides/healing.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from carma.models import State

__all__ = [
    "DreamReport",
    "DreamStatus",
    "Finding",
    "FindingKind",
    "ScanReport",
    "Spot",
    "Step",
    "Thread",
    "Topology",
]

FindingKind = Literal[
    "missing file",
    "truncated",
    "bad header",
    "bad digest",
    "misdirected",
    "duplicate",
    "orphan",
    "stale index",
    "parity mismatch",
    "unreadable",
]
DreamStatus = Literal["pending", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    path: the file, relative to the memory's folder. offset: in that file, or None for all of it.
    seq: the number of the write that is hit, if anything names it; id: its fragment, 32 hexadecimal digits.
    redundant: nothing is lost by it yet, because another copy or enough shards are whole.
    """

    kind: FindingKind
    path: str
    offset: int | None = None
    seq: int | None = None
    id: str | None = None
    redundant: bool = False
    what: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What one tour of the beacon saw.

    files, records, bytes: looked at. damaged: records that their own place does not hold any more; lost:
    those of them that no exact rung could give back within the look. unnamed: writes that nothing names (a
    count is all that is known). complete: the tour went all the way round; else it goes on at the saved
    cursor. breaker: mass damage was found, so nothing is dropped or compacted until it is cleared.
    without_key: the memory is encrypted and its key was not at hand: only the bytes were proven.
    sketches, sketches_missing: how many fragments at rest (older versions too) have a sketch or short copy
    beside their parity, and how many have none; without the key not known and 0.
    """

    deep: bool
    files: int
    records: int
    bytes: int
    damaged: int
    lost: int
    unnamed: int
    findings: tuple[Finding, ...] = ()
    complete: bool = True
    breaker: bool = False
    took_s: float = 0.0
    without_key: bool = False
    sketches: int = 0
    sketches_missing: int = 0

    @property
    def healthy(self) -> bool:
        """Nothing was found."""
        return not self.findings and not self.unnamed

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "findings": [each.to_dict() for each in self.findings],
            "healthy": self.healthy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a dream, as data.

    target: what was worked on ("fragment", "file" or "index"), name: its id or path. before, after: states.
    similarity: to the sketch, for semantic rungs; latency_ms: of the step.
    """

    cycle: int
    target: str
    name: str
    rung: str
    before: str
    after: str
    similarity: float | None = None
    confidence: float | None = None
    latency_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamReport:
    """One repair dream: what was planned, what was done, what is left and why.

    planned_s: the ceiling; actual_s: what it took. rungs: how many fragments each rung gave back.
    reasons: why what is still blank could not be rebuilt, with counts. score: the mean similarity to the
    sketch of all that is reconstructed now (None if nothing is).
    """

    cycle: int
    status: DreamStatus
    dry_run: bool = False
    planned_s: float = 0.0
    actual_s: float = 0.0
    started: float = 0.0
    looked_at: int = 0
    damaged: int = 0
    exact: int = 0
    reconstructed: int = 0
    still_blank: int = 0
    files_repaired: int = 0
    rungs: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    breaker: bool = False
    score: float | None = None
    error: str | None = None
    steps: tuple[Step, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "rungs": dict(self.rungs),
            "reasons": dict(self.reasons),
            "steps": [each.to_dict() for each in self.steps],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One fragment in the topology. label: the beginning of its text; level: depth in the tree, from 0."""

    id: str
    label: str
    kind: str
    state: State
    level: int
    parent: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A semantic link between two fragments close in meaning. weight: the cosine of their vectors."""

    first: str
    second: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The tree and the threads of a memory at one moment. more: fragments left out because of the bound."""

    spots: tuple[Spot, ...]
    threads: tuple[Thread, ...] = ()
    more: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
