"""After mass damage nothing is dropped until someone has looked; single faults change nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.config import Settings
from carma.errors import MassDamage
from carma.healing.breaker import FEWEST_RECORDS, mass_damage, trip

from .damaging import flip, open_at, rot_a_stripe, segment_path

COUNTS = st.integers(0, 10_000)


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 20), st.floats(0, 1))
def test_more_damage_never_closes_the_breaker(
    files: int, damaged: int, records: int, most: int, share: float
) -> None:
    """What trips it still does with one more file or record hit, and with as much damage among fewer."""
    if mass_damage(files, damaged, records, most, share):
        assert mass_damage(files + 1, damaged, records, most, share)
        assert mass_damage(files, damaged + 1, records, most, share)
        assert mass_damage(files, damaged, max(records - 1, 0), most, share)


@given(st.integers(0, 1_000))
def test_the_thresholds_are_those_of_the_settings(records: int) -> None:
    """More than five files, or more than two percent of the records, but never for less than a stripe."""
    most, share = Settings().breaker_segments, Settings().breaker_share
    assert not mass_damage(5, 0, records, most, share)
    assert mass_damage(6, 0, records, most, share)
    assert not mass_damage(5, FEWEST_RECORDS - 1, records, most, share)
    assert mass_damage(0, FEWEST_RECORDS, 999, most, share)
    assert not mass_damage(0, FEWEST_RECORDS, 1_000, most, share)


def damage_files(folder: Path, count: int) -> None:
    for number in range(1, count + 1):
        flip(folder / segment_path(number), 200)


@pytest.mark.parametrize(("files", "trips"), [(1, False), (5, False), (6, True)])
def test_a_scan_trips_it_beyond_five_damaged_segments(rested: Path, files: int, trips: bool) -> None:
    """The report says so, and what drops files refuses while it is open."""
    damage_files(rested, files)
    with open_at(rested) as memory:
        report = memory.scan(deep=True)
        assert (report.breaker, memory.stats()["breaker"]) == (trips, trips)
        assert len(report.findings) == files and not report.lost
        if trips:
            with pytest.raises(MassDamage):
                memory.compact()
        else:
            memory.compact()


def test_one_record_of_ten_is_no_mass_damage(tmp_path: Path) -> None:
    """A small memory that loses a tenth of itself has lost one record."""
    with open_at(tmp_path) as memory:
        memory.add_many(f"Fragment {at}" for at in range(10))
    flip(tmp_path / segment_path(4), 120)
    with open_at(tmp_path) as memory:
        report = memory.scan(deep=True)
    assert report.damaged == 1 and not report.breaker


def test_it_stays_open_until_it_is_cleared(rested: Path) -> None:
    """It outlives the process and the index; clearing it does too."""
    damage_files(rested, 6)
    for cleared in (False, True):
        with open_at(rested) as memory:
            memory.scan(deep=True)
            if cleared:
                assert memory.clear_breaker() and not memory.clear_breaker()
        for _ in range(2):
            with open_at(rested) as memory:
                assert memory.stats()["breaker"] is not cleared
            shutil.rmtree(rested / "index")
    with open_at(rested) as memory:
        assert memory.stats()["breaker"] is False


def test_what_the_ledger_knows_does_not_trip_it_again(rested: Path) -> None:
    """A memory that has to live with its blanks can be compacted once somebody has cleared the breaker."""
    gone = rot_a_stripe(rested, members=9)
    with open_at(rested) as memory:
        first = memory.scan(deep=True)
        assert first.breaker and first.lost == len(gone)
        memory.clear_breaker()
        again = memory.scan(deep=True)
    assert again.lost == len(gone) and not again.breaker


def test_on_a_read_only_memory_it_is_reported_and_not_kept(rested: Path) -> None:
    """The report of the pass says it; nothing is written down."""
    damage_files(rested, 6)
    with open_at(rested, read_only=True) as memory:
        assert memory.scan(deep=True).breaker
        assert memory.stats()["breaker"] is False


def test_the_last_word_counts_when_the_index_is_made_again(tmp_path: Path) -> None:
    """Tripped in one log segment, cleared in a later one: a rebuild does not take the first for the last."""
    with open_at(tmp_path / "memory", settings=Settings(segment_bytes=2_000)) as memory:
        trip(memory._store)
        memory.add("long " * 500)
        assert memory.clear_breaker()
        memory.add("long " * 500)
        shutil.copytree(tmp_path / "memory", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed/index")
    with open_at(tmp_path / "killed") as memory:
        assert memory.stats()["breaker"] is False
