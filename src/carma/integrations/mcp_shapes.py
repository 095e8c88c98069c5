"""What the tools of the MCP server answer: plain shapes that a model can read, and their making.

A hit names its state only where it is not intact, because that is what a model has to weigh: a `blank` has no
text and a reason, a `reconstructed` one a confidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NotRequired

from typing_extensions import TypedDict  # Pydantic cannot read typing's before Python 3.12.

from carma.models import Fragment, SearchResult
from carma.reports import DreamReport, ScanReport

__all__ = [
    "Forgotten", "Healed", "Histories", "Known", "Recalled", "Remembered", "State", "healed", "histories",
    "recalled", "remembered",
]  # fmt: skip


class Remembered(TypedDict):
    """What was stored."""

    id: str
    version: int


class Known(TypedDict):
    """One fragment as it was found."""

    id: str
    text: str
    kind: str
    created: str
    score: NotRequired[float]
    source: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    state: NotRequired[str]
    reason: NotRequired[str]
    confidence: NotRequired[float]


class Recalled(TypedDict):
    """The hits of a search, and why the answer is not complete, if it is not."""

    hits: list[Known]
    degraded: list[str]


class Forgotten(TypedDict):
    """How many fragments were forgotten."""

    deleted: int


class Version(TypedDict):
    """One version of a fragment."""

    version: int
    text: str
    written: str
    deleted: bool
    state: NotRequired[str]


class Histories(TypedDict):
    """The versions of a fragment, oldest first."""

    versions: list[Version]


class State(TypedDict):
    """How the memory is."""

    fragments: int
    blanks: int
    blank_ids: list[str]
    last_dream: NotRequired[str]
    dreams: int
    advice: str


class Healed(TypedDict):
    """What a scan found and what a repair dream did about it."""

    damaged: int
    exact: int
    reconstructed: int
    still_blank: int
    files_repaired: int
    status: str
    reasons: dict[str, int]
    took_s: float


def remembered(fragment: Fragment) -> Remembered:
    """A fragment that was just written."""
    return {"id": fragment.id, "version": fragment.version}


def recalled(result: SearchResult) -> Recalled:
    """The answer of a search."""
    return {
        "hits": [{**_known(hit.fragment), "score": round(hit.score, 4)} for hit in result],
        "degraded": list(result.reasons),
    }


def _known(fragment: Fragment) -> Known:
    out: Known = {
        "id": fragment.id,
        "text": fragment.text,
        "kind": fragment.kind,
        "created": _moment(fragment.created),
    }
    if fragment.source is not None:
        line = f":{fragment.source.line}" if fragment.source.line else ""
        out["source"] = fragment.source.path + line
    if fragment.metadata:
        out["metadata"] = dict(fragment.metadata)
    if fragment.state != "intact":
        out["state"] = fragment.state
    if fragment.blank is not None:
        out["reason"] = fragment.blank.reason
    if fragment.repair is not None and fragment.repair.confidence is not None:
        out["confidence"] = round(fragment.repair.confidence, 3)
    return out


def histories(versions: Iterable[Fragment]) -> Histories:
    """The versions of a fragment."""
    out: list[Version] = []
    for each in versions:
        version: Version = {
            "version": each.version,
            "text": each.text,
            "written": _moment(each.updated),
            "deleted": each.deleted,
        }
        if each.state != "intact":
            version["state"] = each.state
        out.append(version)
    return {"versions": out}


def healed(scan: ScanReport | None, dream: DreamReport) -> Healed:
    """A scan and the dream after it."""
    return {
        "damaged": max(scan.damaged if scan is not None else 0, dream.damaged),
        "exact": dream.exact,
        "reconstructed": dream.reconstructed,
        "still_blank": dream.still_blank,
        "files_repaired": dream.files_repaired,
        "status": dream.status,
        "reasons": dict(dream.reasons),
        "took_s": round(dream.actual_s + (scan.took_s if scan is not None else 0.0), 3),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
