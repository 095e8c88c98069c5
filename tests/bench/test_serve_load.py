"""The load bench knows an old text from a new one, and one that should be gone."""

from __future__ import annotations

from pathlib import Path

from bench.serve_acknowledged import Acknowledged
from bench.serve_load import Seat, Tally

from carma import Memory
from carma.testing import HashEmbedder


def test_only_what_was_acknowledged_before_a_call_counts_against_it() -> None:
    """A version, the newest of several at once, and a deletion."""
    known = Acknowledged()
    assert known.version("a", known.now) == 1
    known.wrote("a", 3)
    before = known.now
    known.wrote("a", 2)  # Acknowledged later, written earlier.
    known.wrote("a", 4)
    known.removed("a")
    assert [known.version("a", moment) for moment in range(5)] == [1, 3, 3, 4, None]
    assert known.version("a", before) == 3 and known.deleted == ["a"]
    assert known.version("b", known.now) == 1


def test_outdated_and_risen_texts_are_told_apart(tmp_path: Path) -> None:
    """Each is counted as what it is; wrong texts and right ones too."""
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as memory:
        old = memory.add("one")
        new = memory.update(old.id, "two")
        gone = memory.add("three")
    seat = Seat(tmp_path, "key", {old.id: {"one", "two"}, gone.id: {"other"}}, [old.id])
    tally = Tally()
    tally.see(seat, old, seat.acknowledged.now)
    tally.see(seat, new, seat.acknowledged.now)
    began = seat.acknowledged.now
    seat.acknowledged.wrote(old.id, new.version)
    tally.see(seat, old, began)
    tally.see(seat, old)
    assert not (tally.outdated or tally.risen or tally.wrong)
    tally.see(seat, old, seat.acknowledged.now)
    assert len(tally.outdated) == 1 and not tally.risen
    seat.acknowledged.removed(gone.id)
    tally.see(seat, gone, seat.acknowledged.now)
    assert len(tally.risen) == len(tally.wrong) == len(tally.outdated) == 1
