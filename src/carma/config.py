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

    # Acting on somebody's behalf
    idempotency_hours: float = 24.0
    """How long the answer to a request with an Idempotency-Key is remembered."""
    acts_waiting: int = 100_000
    """Acts that may wait for the audit log to copy them; at more of them nothing may be changed."""

    # Healing
    read_repair_bytes: int = 4 * 2**20
    """A read decodes a lost record itself if its shards are not longer than this; else a dream does."""
    decoded_bytes: int = 8 * 2**20
    """So much of what reads decoded is kept in memory, so that reading it again costs little until a dream
    has put it back.
    """
    sketch_bytes: int = 96
    """The longest sketch or short copy of one fragment."""
    short_copies: bool = True
    """Keep a text to the letter in its sketch where it fits."""
    condense_budget_s: float = 1.0
    """How long a spreading makes sketches while it holds the turn; most were made before it took the turn."""
    condense_most_s: float = 600.0
    """Closing and `rest` make the sketches that are missing, but no longer than this; a dream goes on."""
    breaker_segments: int = 5
    """Mass damage: more damaged segments than this in one pass of the beacon trip the breaker."""
    breaker_share: float = 0.02
    """Mass damage: a larger share of damaged records than this trips the breaker too."""
    dream_base_s: float = 5.0
    """A dream may take this long, and ..."""
    dream_fragment_s: float = 0.1
    """... this for each fragment ..."""
    dream_blank_s: float = 2.0
    """... and this for each blank."""

    sleep: bool = True
    """Look and dream by itself while the memory is open; short-lived processes never come to it."""
    sleep_after_idle_s: float = 60.0
    """Nothing was asked of the memory for this long before it sleeps."""
    sleep_base_s: float = 3_600.0
    """Between two dreams at first ..."""
    sleep_growth: float = 0.1
    """... growing by this share of it with each cycle ..."""
    sleep_most_s: float = 86_400.0
    """... up to this."""
    sleep_blanks: int = 100
    """More new blanks than this are dreamt of without waiting for the period."""

    # Answers
    answer_bytes: int | None = None
    """What one call brings together, as JSON: `list` ends its page before, the others raise `TooLarge`. None
    for no bound; a server sets its own."""

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
