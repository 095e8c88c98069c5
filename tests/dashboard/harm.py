"""Damage to the files of a seat, done with real bytes on the disk while the memory is at rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from carma.config import Settings
from carma.prove.damage import records_in, segments_of, zero
from carma.prove.redundancy import strip
from carma.serve.accounts import Account
from carma.store.record import HEADER_BYTES, RecordKind
from tests.serve.running import Running

__all__ = ["SETTINGS", "lose"]

SETTINGS = Settings(sleep=False, condense_budget_s=60.0, breaker_segments=100, breaker_share=1.0)
"""A rest makes all sketches. Nothing happens by itself: there is no sleep, and no breaker."""


def lose(run: Running, account: Account, ids: Sequence[str], *, index: bool = False) -> None:
    """Overwrite every copy of some fragments and all parity; sketches and short copies stay.

    What no read can give back then, a dream has to: by the word index, or from the sketch by meaning.
    index: the index is lost too, words included; only vectors stay. Parity goes as a whole: which shard
    belongs to whom cannot be read without the owner's key.
    """
    seat = run.server.services.block.seat(account.id)
    with seat.use() as memory:
        memory.flush()
        seqs = [memory.get(id).seq for id in ids]
    folder = run.let_go(account)
    assert len(strip(str(folder), seqs, copies=False)) >= len(seqs)
    _lose_parity(folder)
    if index:
        for path in (folder / "index").iterdir():
            if path.suffix != ".f32":
                path.unlink()


def _lose_parity(folder: Path) -> None:
    segments = segments_of(str(folder))
    for number in segments.columns():
        for item in records_in(segments, number):
            if item.header.kind == RecordKind.PARITY:
                zero(segments.path("segments", number), item.header.offset, HEADER_BYTES + item.header.length)
