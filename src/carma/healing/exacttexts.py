"""The exact rungs for texts: where a record cannot be had, its text may still be, and its digest proves it.

In order of cost: the short copy, the file that it was ingested from, a replica, and the neighbours of an
overlapping split. What comes back is the true text; its record (time, metadata) is what the registry knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carma.errors import CarmaError
from carma.healing.lost import Lost
from carma.healing.overlap import Neighbour, Span, from_overlap
from carma.healing.replica import Replicas
from carma.healing.resources import Resources
from carma.healing.source import Sources
from carma.models import Source
from carma.store.record import HEADER_BYTES, RecordDamaged
from carma.store.store import Store

__all__ = ["ExactTexts"]

_NEIGHBOURS = 4
"""On each side, of an overlapping split."""
_SLACK_BYTES = 12
"""How far the span of a lost text may be from where its neighbours' spans put it."""
_LEAST_DIGEST = 8


class ExactTexts:
    """Exact texts for one dream."""

    def __init__(self, store: Store, resources: Resources, replicas: Replicas) -> None:
        self._store = store
        self._resources = resources
        self._replicas = replicas
        rows = store.registry.rows("SELECT DISTINCT value FROM metadata WHERE key='root'")
        roots = [row[0] for row in rows if isinstance(row[0], str) and row[0].startswith("/")]
        self._sources = Sources([*replicas.roots, *roots], digest_of=store.sealing.digest)

    def prepare(self, losses: Sequence[Lost]) -> None:
        """Read the replicas once, for all of them."""
        self._replicas.look_for((), [(lost.id, lost.version) for lost in losses])

    def find(self, lost: Lost) -> tuple[str, str] | None:
        """The true text of a lost fragment and the rung that gave it; None if no rung does."""
        if len(lost.digest) < _LEAST_DIGEST:
            return None
        for rung, text in self._rungs(lost):
            if text is not None and self._store.sealing.text_digest(text).startswith(lost.digest):
                return text, rung
        return None

    def _rungs(self, lost: Lost) -> Iterator[tuple[str, str | None]]:
        yield "short copy", self._resources.exact.text(lost.seq)
        for path in self._paths(lost):
            yield "source", self._sources.find(Source(path=path), lost.digest)
        yield "replica", self._replicas.text(lost.id, lost.version, lost.digest)
        if lost.source is not None:
            yield "overlap", self._overlap(lost)

    def _paths(self, lost: Lost) -> list[str]:
        """The file it was ingested from; if that is not known, those of the writes beside it."""
        if lost.source is not None:
            return [lost.source]
        if self._store.registry.one("SELECT 1 FROM tokens WHERE rowid=?", (lost.seq,)) is not None:
            return []  # The registry knows it, and it came from no file.
        sql = (
            "SELECT source FROM fragments WHERE live AND source IS NOT NULL AND seq {} ? "
            "ORDER BY seq {} LIMIT 1"
        )
        found = [
            *self._store.registry.rows(sql.format("<", "DESC"), (lost.seq,)),
            *self._store.registry.rows(sql.format(">", "ASC"), (lost.seq,)),
        ]
        return list(dict.fromkeys(row[0] for row in found))

    # Overlap

    def _overlap(self, lost: Lost) -> str | None:
        """The text from its neighbours, at the spans where it may have stood."""
        before, after = self._beside(lost, "<", "DESC"), self._beside(lost, ">", "ASC")
        if not before or not after or before[0][0][1] < after[0][0][0]:
            return None  # Together they do not cover anything between them.
        neighbours = [*before, *after]
        for span in _spans(lost, before[0], after[0]):
            text = from_overlap(span, lost.digest, neighbours, self._store.sealing.digest)
            if text is not None:
                return text
        return None

    def _beside(self, lost: Lost, side: str, order: str) -> list[Neighbour]:
        rows = self._store.registry.rows(
            "SELECT seq, segment, offset, length FROM fragments WHERE live AND source=? AND parent IS ? AND "
            f"(position, seq) {side} (?, ?) ORDER BY position {order}, seq {order} LIMIT ?",
            (lost.source, lost.parent, lost.position, lost.seq, _NEIGHBOURS),
        )
        found: list[Neighbour] = []
        for row in rows:
            try:
                content = self._store.read_entry(*row).content
            except (RecordDamaged, CarmaError):
                continue
            if content is not None and content.source is not None and content.source.span is not None:
                found.append((content.source.span, content.text.encode()))
        return found


def _spans(lost: Lost, before: Neighbour, after: Neighbour) -> Iterator[Span]:
    """Where a text between two others may have stood: splits are regular, so near the middle first."""
    (first, _), (following, end) = before[0], after[0]
    begin = (first + following) // 2
    size = min(((before[0][1] - first) + (end - following)) // 2, lost.length - HEADER_BYTES)
    for apart in range(2 * _SLACK_BYTES + 1):
        for moved in range(-apart, apart + 1):
            for longer in {apart - abs(moved), abs(moved) - apart}:
                if begin + moved >= 0 and size + longer > 0:
                    yield begin + moved, begin + moved + size + longer
