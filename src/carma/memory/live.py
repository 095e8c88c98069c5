"""The live fragments as rows of the columns: from the registry, and from an entry of the log."""

from __future__ import annotations

from carma.search.columns import Entry as Row
from carma.store.entry import Entry

__all__ = ["LIVE_ROWS", "row_of"]

LIVE_ROWS = (
    "SELECT seq, id, parent, position, user, agent, session, created / 1000.0, expires, segment, offset, "
    "length, text_digest FROM fragments WHERE live ORDER BY seq"
)
"""The fields of a `Row`, and the digest of the text."""


def row_of(entry: Entry) -> Row:
    """The row of a fragment whose content is known."""
    content = entry.content
    assert content is not None
    return Row(
        entry.seq, entry.id, content.parent, entry.position, content.user, content.agent, content.session,
        entry.created_ms / 1000, content.expires, entry.segment, entry.offset, entry.length,
    )  # fmt: skip
