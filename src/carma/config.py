"""Settings: every bound and policy of a memory, each with its unit in its name.

They are passed to `Memory.open` and are not stored, except the few that decide what is on disk (`policies` in
`memory.json`): a memory can be opened with other bounds tomorrow.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Bounds and policies; the defaults suit one agent on a small machine."""

    # Writing
    segment_bytes: int = 32 * 2**20
    """A tail segment is sealed when it is at least this long."""
    turn_wait_ms: int = 10_000
    """How long a write waits for the turn before `MemoryBusy`."""
    batch_bytes: int = 8 * 2**20
    """The most one group commit writes at once."""
    text_bytes: int = 16 * 2**20
    """The longest text of one fragment, in UTF-8."""
    metadata_bytes: int = 256 * 2**10
    """The largest metadata of one fragment, encoded."""
    depth_levels: int = 64
    """How deep `tree` goes where no depth is given. Writing is not bounded by it."""

    # Rest and compaction
    rest_after_s: float = 30.0
    """Rest begins when nothing was written for this long."""
    linger_s: float = 600.0
    """Files that compaction replaced stay this long for readers that still use them."""
    compact_dead_share: float = 0.5
    """A sealed segment is compacted when this share of its bytes is dead."""
    keep_versions: int = 16
    """Older versions of a live fragment that compaction keeps for `history`."""

    # Embedding
    embed_threads: int = 2
    """Threads of the packaged embedder."""
    embed_batch: int = 64
    """Texts embedded at once by the background embedder."""
    embed_wait_ms: int = 1_000
    """How long a search waits for pending vectors before it answers degraded."""
    embed_cache_entries: int = 4_096
    """Texts whose vectors are kept in the embedding cache."""

    # Search
    exact_below: int = 20_000
    """Below this many vectors the index is exact; above, it is trained."""
    limit_max: int = 1_000
    """The largest `limit` of a search or a page."""
    candidates: int = 100
    """Candidates each part of a hybrid search hands to the fusion."""
    query_chars: int = 20_000
    """A query is cut here."""
