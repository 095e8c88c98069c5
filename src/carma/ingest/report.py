"""What an ingest did, and how far it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["IngestReport", "Problem", "Progress"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One item that could not be taken as it stood; everything else was.

    code: stable, for programs: `binary-file`, `too-large`, `unreadable`, `special-file`, `link`,
    `missing-extra`,
        `invalid-input`, `too-many-files`, `too-deep`, `name-encoding`, `encoding`, `replaced`, `broken-line`,
        `not-a-message`, `a-memory`.
    skipped: True if the item is not (or no longer as it is now) in the memory; False for a warning.
    """

    path: str
    code: str
    message: str
    skipped: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is. Totals are those of the files found; bytes are those on disk."""

    done_files: int
    total_files: int
    done_bytes: int
    total_bytes: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The result of one ingest. Fragment counts are of what was written, not of what was planned.

    kept: fragments left alone; restated: only their place in the file changed (same text, same version).
    files: files found; unchanged: those whose digest was the recorded one; empty: those without any text.
    bytes: bytes read. interrupted: it ended early; the same call goes on where it stopped.
    """

    added: int = 0
    updated: int = 0
    deleted: int = 0
    kept: int = 0
    restated: int = 0
    files: int = 0
    unchanged: int = 0
    empty: int = 0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    interrupted: bool = False
    took_s: float = 0.0
    root: str | None = None
    """The id of the fragment that stands for the ingested path; None if nothing of it is in the memory."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; keys are the field names."""
        out = asdict(self)
        out["problems"] = [asdict(problem) for problem in self.problems]
        return out
