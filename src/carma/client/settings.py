"""The bounds of a client, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How long a client waits, how often it tries, and how much it sends and takes at once."""

    connect_s: float = 5.0
    """How long a connection may take to be made."""
    answer_s: float = 30.0
    """How long an answer may stay away, from one piece of it to the next."""
    slow_answer_s: float = 600.0
    """The same for what reads or writes much at once: scan, topology, a purge."""
    tries: int = 5
    """How often one request is sent at most, sessions not counted."""
    patience_s: float = 60.0
    """No try is begun when so much time has passed since the first."""
    wait_first_s: float = 0.1
    """Between the first two tries about so much, then twice as much each time ..."""
    wait_most_s: float = 5.0
    """... up to this."""
    batch_items: int = 1_000
    """`add_many` sends so many fragments in one request at most."""
    batch_bytes: int = 4 * 2**20
    """`add_many` sends about so much in one request at most."""
    answer_bytes: int = 256 * 2**20
    """A longer answer is refused."""
    connections: int = 32
    """So many at once at most."""
    at_once: int = 8
    """`get_many` and `search_many` ask so many at once at most."""
