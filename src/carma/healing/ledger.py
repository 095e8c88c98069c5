"""The damage ledger: what was found lost, what came back, and how many writes nothing names.

Blanks are LEDGER records in the segments, so that "first seen" and the reason outlive the registry. Nothing
is written that is known already, and nothing at all where the memory cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from carma.store.losses import REJECTED
from carma.store.payload import pack_map
from carma.store.record import RecordKind
from carma.store.store import Store

__all__ = [
    "Account", "Loss", "account", "known_blanks", "note_blanks", "note_healed", "rejected", "rejection",
    "unnamed_writes",
]  # fmt: skip

_PART = 5_000
"""Blanks in one LEDGER record: below 300 KB, so that no stripe gets wide because of it."""
_WITHIN = """
SELECT coalesce(sum((SELECT count(*) FROM fragments WHERE seq BETWEEN value ->> 0 AND value ->> 1)
+ (SELECT count(*) FROM other WHERE seq BETWEEN value ->> 0 AND value ->> 1)), 0) FROM json_each(?)
"""
"""How many of the writes in these ranges are known all the same."""
_LIVE = "SELECT seq FROM fragments WHERE live AND seq IN (SELECT value FROM json_each(?))"


class Loss(NamedTuple):
    """A write whose bytes nothing gives back. reason: what was found in its place."""

    seq: int
    reason: str


class Account(NamedTuple):
    """What is known of earlier losses.

    known: writes called lost, or in whose place something was rebuilt. proven: those of which the very text
    was rebuilt, so that nothing is lost by them any more.
    """

    known: frozenset[int]
    proven: frozenset[int]


def account(store: Store) -> Account:
    """The account as the registry has it."""
    rebuilt = store.registry.rows("SELECT lost_seq, exact FROM reconstructions")
    known = known_blanks(store).union(seq for seq, _ in rebuilt)
    return Account(frozenset(known), frozenset(seq for seq, exact in rebuilt if exact))


def known_blanks(store: Store) -> set[int]:
    """The writes that the ledger calls lost."""
    return {row[0] for row in store.registry.rows("SELECT seq FROM blanks")}


def note_blanks(store: Store, losses: Iterable[Loss]) -> list[int]:
    """Write down newest versions that are lost and not known as lost yet; which.

    Raises MemoryBusy, StorageError.
    """
    if store.read_only:
        return []
    store.settle()
    known = known_blanks(store)
    reasons = {loss.seq: loss.reason for loss in losses if loss.seq not in known}
    fresh = [row[0] for row in store.registry.rows(_LIVE, (json.dumps(sorted(reasons)),))]
    now = store.now_ms()
    for part in _parts(fresh):
        note = {"blanks": [[seq, reasons[seq], now] for seq in part]}
        store.append(RecordKind.LEDGER, pack_map(note))
    if fresh:
        store.settle()
    return fresh


def note_healed(store: Store, seqs: Iterable[int]) -> list[int]:
    """Write down that writes which were called lost are there again; which. Raises MemoryBusy,
    StorageError.
    """
    if store.read_only:
        return []
    store.settle()
    healed = sorted(known_blanks(store).intersection(seqs))
    for part in _parts(healed):
        store.append(RecordKind.LEDGER, pack_map({"healed": list(part)}))
    if healed:
        store.settle()
    return healed


def rejection(store: Store, seq: int) -> bytes:
    """The note that the reconstruction of a lost write was thrown away by somebody who looked at it."""
    return pack_map({"rejected": [[seq, store.now_ms()]]})


def rejected(store: Store) -> set[int]:
    """The lost writes at which nothing is to guess."""
    return {row[0] for row in store.registry.rows("SELECT seq FROM blanks WHERE reason=?", (REJECTED,))}


def unnamed_writes(store: Store) -> int:
    """How many numbers of writes no record has and no announcement calls dropped.

    They are writes that failed, or that were lost without a trace.
    """
    registry = store.registry
    named = registry.rows("SELECT (SELECT count(*) FROM fragments) + (SELECT count(*) FROM other)")[0][0]
    dropped = _merged(registry.rows("SELECT first, last FROM dropped ORDER BY first"))
    within = registry.rows(_WITHIN, (json.dumps(dropped),))[0][0]
    absent = sum(last - first + 1 for first, last in dropped) - int(within)
    return max(store.last_seq - int(named) - absent, 0)


def _merged(ranges: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """Ascending ranges without overlaps."""
    out: list[tuple[int, int]] = []
    for first, last in ranges:
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def _parts(seqs: Sequence[int]) -> Iterable[Sequence[int]]:
    return (seqs[at : at + _PART] for at in range(0, len(seqs), _PART))
