"""The values that cross a border: fragments, hits, pages, reports.

All are frozen. They are plain dataclasses and not Pydantic models, because ten hits are made for every search
from values that were proven a moment before (docs/decisions/0004); `to_dict` gives the one JSON shape that
every surface shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, overload

__all__ = [
    "UNSET",
    "Act",
    "Acted",
    "Answered",
    "Blank",
    "Fragment",
    "Hit",
    "HitParts",
    "Node",
    "Page",
    "Repair",
    "SearchResult",
    "Source",
    "State",
    "Unset",
]

State = Literal["intact", "repaired", "reconstructed", "blank"]


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""The argument was not given; None would clear the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """On whose behalf a memory is changed: `Memory.acting` notes it beside the change, in the same append.

    account: who owns the key; key: its fingerprint, never the key. operation: its name, as `fragments.add`.
    request_id: of the one request. idempotency_key and body_digest (SHA-256 of the request's body, 32 bytes):
    let the request be repeated without being carried out twice. None where there is none.
    """

    account: str
    operation: str
    key: str | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    body_digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """An act as it was noted, or a dream: what the audit log makes a leaf of.

    seq: number of the write. event: 32 hexadecimal digits. kind: "change" or "dream". account: None if nobody
    asked for it. written, ended: (id, version) of what was written, and of deletions. counts: of a dream.
    """

    seq: int
    event: str
    kind: str
    operation: str
    account: str | None
    time_ms: int
    key: str | None = None
    request_id: str | None = None
    written: tuple[tuple[str, int], ...] = ()
    ended: tuple[tuple[str, int], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a request with an Idempotency-Key came to, as it was committed with the change itself.

    ids: of the fragments that the answer speaks of, in its order; versions: theirs, as written then (0 for a
    fragment that was there already). event: of the audit leaf, 32 hexadecimal digits. when: seconds since the
    epoch.
    """

    operation: str
    body_digest: bytes | None
    ids: tuple[str, ...]
    versions: tuple[int, ...]
    event: str
    when: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fragment was ingested from.

    path: the file, relative to the ingested folder's parent, with forward slashes.
    span: first and past-the-end byte of the fragment in that file, or None for a whole file or a folder.
    digest: BLAKE3 of those bytes, 32 hexadecimal digits (128 bits).
    line: first line of the span, from 1, if known.
    """

    path: str
    span: tuple[int, int] | None = None
    digest: str | None = None
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "span": list(self.span) if self.span else None,
            "digest": self.digest,
            "line": self.line,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Source:
        span = value.get("span")
        return cls(
            path=value["path"],
            span=(span[0], span[1]) if span else None,
            digest=value.get("digest"),
            line=value.get("line"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """Why a fragment has no text: what is known about the loss.

    digest: expected of the text (hexadecimal; only its beginning where no more is known).
    priority: of its repair, higher first. children: ids of the fragments below it.
    """

    reason: str
    digest: str | None = None
    first_seen: float | None = None
    priority: float = 0.0
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How a text came back that its own place does not hold any more.

    rung: of the ladder (docs/guides/healing.md). when: seconds since the epoch; None if it was done by this
    very read. confidence (0 to 1), method, sources (ids of the fragments it was built from), cycle,
    similarity (to the sketch, -1 to 1): only of what is reconstructed.
    """

    rung: str
    when: float | None = None
    confidence: float | None = None
    method: str | None = None
    sources: tuple[str, ...] = ()
    cycle: int | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One piece of remembered text.

    id: 32 hexadecimal digits, ordered by time of creation (UUID version 7 layout, RFC 9562).
    digest: BLAKE3 of the text in UTF-8, first 128 bits, as 32 hexadecimal digits.
    created, updated, expires: seconds since the epoch, UTC.
    position: order among the siblings, ascending.
    seq: the number of the write that made this version.
    """

    id: str
    text: str
    version: int = 1
    state: State = "intact"
    parent: str | None = None
    position: float = 0.0
    kind: str = "note"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None
    agent: str | None = None
    session: str | None = None
    created: float = 0.0
    updated: float = 0.0
    expires: float | None = None
    source: Source | None = None
    digest: str = ""
    seq: int = 0
    blank: Blank | None = None
    repair: Repair | None = None
    deleted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fragment as JSON values; keys are the field names."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["metadata"] = dict(self.metadata)
        out["source"] = self.source.to_dict() if self.source else None
        for name, of in (("blank", self.blank), ("repair", self.repair)):
            if of is not None:
                out[name] = {f.name: getattr(of, f.name) for f in fields(of)}
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class HitParts:
    """What made a hit's score, each part as it entered the sum (None: the part did not see the fragment).

    vector: cosine of query and text; words: BM25; neighbours, context: the share of siblings and of the
    parent.
    """

    vector: float | None = None
    words: float | None = None
    neighbours: float | None = None
    context: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One answer of a search: a fragment whose bytes were verified, and its score (higher is better)."""

    fragment: Fragment
    score: float
    parts: HitParts | None = None

    @property
    def id(self) -> str:
        return self.fragment.id

    @property
    def text(self) -> str:
        return self.fragment.text

    @property
    def state(self) -> State:
        return self.fragment.state

    @property
    def parent(self) -> str | None:
        return self.fragment.parent

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.fragment.metadata

    @property
    def source(self) -> Source | None:
        return self.fragment.source

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON shape of a hit, as `carma search --json` prints it."""
        out: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "score": self.score,
            "state": self.state,
            "parent": self.parent,
            "source": self.source.to_dict() if self.source else None,
            "metadata": dict(self.metadata),
        }
        if self.parts is not None:
            out["parts"] = self.parts.to_dict()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult(Sequence[Hit]):
    """The hits of one search, best first, and whether anything was missing when they were made.

    degraded: True if an index was unavailable, vectors are still pending, or a hit could not be read.
    reasons: one plain sentence per cause.
    """

    hits: tuple[Hit, ...]
    degraded: bool = False
    reasons: tuple[str, ...] = ()
    took_ms: float = 0.0

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_dict(self) -> dict[str, Any]:
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "degraded": self.degraded,
            "reasons": list(self.reasons),
            "took_ms": round(self.took_ms, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Sequence[Fragment]):
    """One page of `list`: fragments in order, and the cursor of the next page (None on the last)."""

    items: tuple[Fragment, ...]
    cursor: str | None = None

    @overload
    def __getitem__(self, index: int) -> Fragment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Fragment, ...]: ...
    def __getitem__(self, index: int | slice) -> Fragment | tuple[Fragment, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self) -> dict[str, Any]:
        return {"items": [item.to_dict() for item in self.items], "cursor": self.cursor}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A fragment and its children, in order. The node above all roots has no fragment."""

    fragment: Fragment | None
    children: tuple[Node, ...] = ()
    more: int = 0
    """Children left out because of a depth or size bound."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "fragment": self.fragment.to_dict() if self.fragment else None,
            "children": [child.to_dict() for child in self.children],
            "more": self.more,
        }
