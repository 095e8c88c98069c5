"""What the operations answer, as far as `carma.models` and `carma.reports` have no type for it.

The routes write these shapes; OpenAPI describes them; a test compares the two. Most are a list with a name,
because a bare list at the top of an answer can never be extended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

from carma.models import Fragment, Hit, HitParts, Node, Page, SearchResult
from carma.reports import DreamReport, ScanReport, Topology

__all__ = [
    "AuditEntry", "AuditPage", "Blanks", "Deleted", "DreamProgress", "Dreams", "Found", "FoundFragment",
    "Items", "PageAnswer", "Problem", "RotatedKey", "ScanAnswer", "ShownDream", "Usage", "UsageLimits",
    "encode", "encode_found", "encode_items", "encode_page", "encode_scan",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Fragments, in the order asked for."""

    items: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """A page of fragments, and the cursor of the next one; null on the last."""

    items: tuple[Fragment, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blanks:
    """Fragments whose text is lost, the most urgent first."""

    items: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """How many fragments were deleted."""

    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFragment(Fragment):
    """A fragment that a search found: all of it, its score (higher is better), and what made the score."""

    score: float
    parts: HitParts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, best first, and whether anything was missing when it did."""

    hits: tuple[FoundFragment, ...]
    degraded: bool
    reasons: tuple[str, ...]
    took_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAnswer(ScanReport):
    """A scan report, and whether nothing was found."""

    healthy: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dreams:
    """Dreams, the newest first."""

    dreams: tuple[DreamReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamProgress:
    """How far a dream is: so much is done, of so much, and what is being done."""

    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDream(DreamReport):
    """A dream, and how far it is while it runs here."""

    progress: DreamProgress | None = None

    @classmethod
    def of(cls, report: DreamReport, progress: DreamProgress | None) -> ShownDream:
        """A report with its progress."""
        return cls(
            **{each.name: getattr(report, each.name) for each in fields(DreamReport)}, progress=progress
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKey:
    """The new key, of the old one's kind, shown this once; until when the old one still works (seconds since
    the epoch).
    """

    key: str
    fingerprint: str
    permissions: str
    old_fingerprint: str
    old_works_until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLimits:
    """Bounds that hold for this key and this server."""

    requests_per_s: float
    burst: int
    body_bytes: int
    answer_bytes: int
    items: int
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an account uses: its seat, its memory, and what it asked since this server was started.

    memory: as `Memory.stats` says it, without the place on disk. requests: by operation.
    """

    account: str
    seat: int
    generation: int
    key: str
    permissions: str
    memory: Mapping[str, Any]
    since: float
    requests: Mapping[str, int]
    received_bytes: int
    sent_bytes: int
    limits: UsageLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One leaf of the audit log that is the asker's own.

    index: its place in the log. proof: the hashes (base64) from it to the root that the checkpoint names
    (RFC 6962, inclusion proof).
    """

    index: int
    leaf: Mapping[str, Any]
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """One's own leaves, the newest first, and the signed checkpoint they were read by.

    cursor: of the next page, which may be empty; null where the log begins. size: of the whole log.
    """

    entries: tuple[AuditEntry, ...]
    cursor: str | None
    size: int
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Problem details (RFC 9457). errors: of a request that has not the shape it must have."""

    type: str
    title: str
    status: int
    detail: str
    hint: str
    instance: str
    errors: tuple[Mapping[str, str], ...] = ()


_FRAGMENT = TypeAdapter(Fragment)
_PARTS = TypeAdapter(HitParts | None)
_REASONS = TypeAdapter(tuple[str, ...])
_SCAN = TypeAdapter(ScanReport)
_ANY: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind)
    for kind in (Node, ShownDream, Topology, Dreams, RotatedKey, Usage, AuditPage, Deleted)
}


def encode(value: Any) -> bytes:
    """A fragment, a report or a shape of this file, as JSON: what its `to_dict` gives."""
    if type(value) is Fragment:
        return _FRAGMENT.dump_json(value)
    return _ANY[type(value)].dump_json(value)


def encode_items(fragments: list[Fragment] | tuple[Fragment, ...]) -> bytes:
    """`Items`."""
    return b'{"items":[' + b",".join(map(_FRAGMENT.dump_json, fragments)) + b"]}"


def encode_page(page: Page) -> bytes:
    """`PageAnswer`."""
    cursor = b"null" if page.cursor is None else b'"' + page.cursor.encode() + b'"'
    return encode_items(page.items)[:-1] + b',"cursor":' + cursor + b"}"


def encode_scan(report: ScanReport) -> bytes:
    """`ScanAnswer`."""
    healthy = b"true" if report.healthy else b"false"
    return _SCAN.dump_json(report)[:-1] + b',"healthy":' + healthy + b"}"


def encode_found(result: SearchResult) -> bytes:
    """`Found`. The score is put behind the fragment's own members, which costs half of making one dict."""
    reasons = _REASONS.dump_json(result.reasons)
    degraded = b"true" if result.degraded else b"false"
    hits = b",".join(map(_hit, result.hits))
    return b'{"hits":[%b],"degraded":%b,"reasons":%b,"took_ms":%.3f}' % (
        hits,
        degraded,
        reasons,
        result.took_ms,
    )


def _hit(hit: Hit) -> bytes:
    parts = b"null" if hit.parts is None else _PARTS.dump_json(hit.parts)
    return _FRAGMENT.dump_json(hit.fragment)[:-1] + b',"score":%b,"parts":%b}' % (
        repr(float(hit.score)).encode(),
        parts,
    )
