"""What is lost is named, counted and listed, the most urgent first, and taken off when it is back."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.config import Settings
from carma.errors import InvalidInput, ReadOnlyMemory
from carma.healing.ledger import Loss, known_blanks, note_blanks, note_healed, unnamed_writes
from carma.healing.priority import priority
from carma.memory.memory import Memory
from carma.store.losses import Rebuilt, pack_rebuilt
from carma.store.manifest import Listed
from carma.store.record import RecordKind

from .conftest import FRAGMENTS, text_of
from .damaging import flip, open_at, rot_a_stripe, segment_path, spreads_of

SPARE = st.integers(-10, 8)
REFERENCES = st.integers(0, 32_767)
CREATED = st.floats(0, 4e9)


@given(st.tuples(SPARE, REFERENCES, CREATED), st.tuples(SPARE, REFERENCES, CREATED))
def test_the_fewest_spare_shards_come_first_then_the_most_referenced_then_the_oldest(
    one: tuple[int, int, float], other: tuple[int, int, float]
) -> None:
    """One number orders losses as the three would one after the other."""
    first, second = ((-spare, refs, -int(created)) for spare, refs, created in (one, other))
    assert (priority(*one) > priority(*other)) == (first > second)
    assert (priority(*one) == priority(*other)) == (first == second)
    assert 0 <= priority(*one) <= 64


@given(st.integers(-(10**6), 10**6), st.integers(-5, 10**9), st.floats(-1e12, 1e12))
def test_a_priority_has_bounds_whatever_it_is_made_of(spare: int, refs: int, created: float) -> None:
    """Clocks and counts beyond all reason give the first or the last place, not an error."""
    assert 0 <= priority(spare, refs, created) <= 64


def lost_memory(folder: Path) -> tuple[Memory, list[Listed]]:
    """An open memory of which a stripe has rotted beyond its parity."""
    gone = rot_a_stripe(folder)
    return open_at(folder), gone


def test_a_scan_writes_down_what_is_lost(rested: Path) -> None:
    """Each blank has its reason, digest and time; the counts agree; and nothing else is called blank."""
    memory, gone = lost_memory(rested)
    with memory:
        assert memory.blanks() == []
        report = memory.scan(deep=True)
        blanks = memory.blanks()
        assert report.lost == len(blanks) == memory.stats()["blanks"] == 9
        assert {each.id for each in blanks} == {record.id.hex() for record in gone}
        for each in blanks:
            assert (each.state, each.text) == ("blank", "") and each.blank is not None
            assert each.blank.reason == "bad digest"
            assert each.digest and each.blank.digest and each.digest.startswith(each.blank.digest)
            assert each.blank.first_seen == pytest.approx(memory._store.clock.now(), abs=60)
            assert memory.get(each.id).state == "blank"
        assert len(memory.blanks(limit=4)) == 4
        assert memory.stats()["fragments"] == FRAGMENTS


def test_nothing_is_written_twice(rested: Path) -> None:
    """A second scan finds the same and leaves the log as it is."""
    memory, _ = lost_memory(rested)
    with memory:
        memory.scan(deep=True)
        memory.clear_breaker()
        end, seen = memory._store.cursor, [each.blank for each in memory.blanks()]
        memory.scan()
        assert note_blanks(memory._store, [Loss(seq, "other") for seq in known_blanks(memory._store)]) == []
        assert note_healed(memory._store, [1, 2, 3]) == []
        assert memory._store.cursor == end
        assert [each.blank for each in memory.blanks()] == seen


def test_the_ledger_outlives_the_index(rested: Path) -> None:
    """Reason and first sight of a loss are the same after the index was lost."""
    memory, _ = lost_memory(rested)
    with memory:
        memory.scan(deep=True)
        before = {each.id: each.blank for each in memory.blanks()}
    shutil.rmtree(rested / "index")
    with open_at(rested) as memory:
        after = {each.id: each.blank for each in memory.blanks()}
    assert before.keys() == after.keys()
    for id, blank in before.items():
        other = after[id]
        assert blank is not None and other is not None
        # Threads went with the index, so what they added to the priority did too.
        assert (blank.reason, blank.first_seen, int(blank.priority or 0)) == (
            other.reason,
            other.first_seen,
            int(other.priority or 0),
        )


def test_true_bytes_that_return_take_it_off_the_list(rested: Path, resting_template: Path) -> None:
    """The files come back from elsewhere: the next scan heals the ledger, and words find the texts again."""
    memory, gone = lost_memory(rested)
    with memory:
        memory.scan(deep=True)
    shutil.rmtree(rested / "index")
    with open_at(rested) as memory:
        assert len(memory.blanks()) == 9
        for path in (resting_template / "segments").glob("c*.seg"):
            shutil.copyfile(path, rested / "segments" / path.name)
        assert not memory.scan(deep=True).findings
        assert memory.blanks() == [] and memory.stats()["blanks"] == 0
        for record in gone:
            fragment = memory.get(record.id.hex())
            assert fragment.state == "intact"
            number = fragment.text.split()[1]
            assert fragment.text == text_of(int(number))
            assert fragment.id in {hit.id for hit in memory.search(f"Fragment {number}", mode="words")}


def test_blanks_are_seen_without_a_scan(rested: Path) -> None:
    """A registry that was built after the damage knows them by name, and lost files show by themselves."""
    gone = rot_a_stripe(rested)
    shutil.rmtree(rested / "index")
    with open_at(rested, read_only=True) as memory:
        assert {each.id for each in memory.blanks()} == {record.id.hex() for record in gone}
        assert memory.scan(deep=True).lost == 9 and memory.stats()["blanks"] == 0


def test_files_lost_beyond_their_parity_show_without_a_scan(rested: Path) -> None:
    """Nine of 28 files: what stood in the lost segments is blank, except what a short copy gives back."""
    manifest = spreads_of(rested)[0]
    for number in range(1, 10):
        (rested / segment_path(number)).unlink()
    with open_at(rested) as memory:
        blanks = memory.blanks()
        assert 0 < len(blanks) <= sum(len(manifest.in_segment(manifest.head.first + at)) for at in range(9))
        assert {memory.get(each.id).state for each in blanks} == {"blank"}
        report = memory.scan()
        assert report.lost == len(blanks) == memory.stats()["blanks"]
        assert report.damaged > report.lost and report.breaker


def test_parents_come_before_their_leaves(tmp_path: Path) -> None:
    """Of several blanks the one with the most children is the most urgent, and says which they are."""
    with open_at(tmp_path, settings=Settings(short_copies=False)) as memory:
        top = memory.add("the top of all")
        below = [memory.add(f"leaf {at}", parent=top.id) for at in range(3)]
        other = memory.add("alone")
    for path in (tmp_path / "segments").glob("c*.seg"):
        flip(path, 120)
    shutil.rmtree(tmp_path / "parity")
    with open_at(tmp_path) as memory:
        assert memory.scan(deep=True).lost == 5
        found = memory.blanks()
    assert [each.id for each in found] == [top.id, *(each.id for each in below), other.id]
    assert found[0].blank is not None and found[0].blank.children == tuple(each.id for each in below)
    assert found[0].blank.priority > found[1].blank.priority  # type: ignore[union-attr]


def test_what_is_reconstructed_is_no_blank(rested: Path) -> None:
    """It is left out unless it is asked for, and counted apart."""
    memory, gone = lost_memory(rested)
    with memory:
        memory.scan(deep=True)
        rebuilt = Rebuilt(
            text="something like it", lost_seq=gone[0].seq, rung="compose", exact=False, score=0.5
        )
        memory._store.append(RecordKind.RECONSTRUCTION, pack_rebuilt(rebuilt))
        assert len(memory.blanks()) == memory.stats()["blanks"] == 8
        assert memory.stats()["reconstructed"] == 1
        both = memory.blanks(reconstructed=True)
        assert sorted(each.state for each in both) == ["blank"] * 8 + ["reconstructed"]


def test_what_was_rebuilt_to_the_letter_is_not_lost(rested: Path) -> None:
    """Its bytes are still damaged in their place, but the proven text is there: no loss, no new entry."""
    memory, gone = lost_memory(rested)
    with memory:
        memory.scan(deep=True)
        memory.clear_breaker()
        store = memory._store
        for record in gone:
            text = text_of(record.seq - 2)
            rebuilt = Rebuilt(text=text, lost_seq=record.seq, rung="source", exact=True, score=1.0)
            store.append(RecordKind.RECONSTRUCTION, pack_rebuilt(rebuilt))
        note_healed(store, [record.seq for record in gone])
        report = memory.scan(deep=True)
        assert (report.damaged, report.lost, report.breaker) == (9, 0, False)
        assert all(each.redundant for each in report.findings) and known_blanks(store) == set()
        assert memory.stats()["blanks"] == memory.stats()["reconstructed"] == 0


def test_unnamed_writes_are_counted(rested: Path) -> None:
    """A number that nothing names is a gap; dropped writes and notes of the store are none."""
    with open_at(rested) as memory:
        assert unnamed_writes(memory._store) == memory.stats()["gaps"] == 0
        with memory._store.registry.transaction() as db:
            db.execute("DELETE FROM fragments WHERE seq IN (5, 6, 90)")
        assert memory.scan().unnamed == memory.stats()["gaps"] == 3


# The index


def test_a_damaged_registry_is_made_again(rested: Path) -> None:
    """What is stale is found and rebuilt; what is sound is left alone; the counts say which."""
    with open_at(rested) as memory:
        assert memory.repair_index(only_damaged=True)["rebuilt"] == []
        with memory._store.registry.transaction() as db:
            db.execute("DELETE FROM fragments WHERE seq < 50")
        done = memory.repair_index(only_damaged=True)
        assert done["rebuilt"] == ["registry"] and done["fragments"] == FRAGMENTS
        assert memory.scan(deep=True).healthy
        assert len(list((rested / "index").glob("registry-*.sqlite"))) == 1
        assert memory.search("Fragment 7", mode="words")[0].text == text_of(7)


def test_a_registry_of_noise_is_made_again(rested: Path) -> None:
    """Nothing of the file is left, under an open memory: everything is there again afterwards."""
    (path,) = (rested / "index").glob("registry-*.sqlite")
    with open_at(rested) as memory:
        path.write_bytes(b"\xa5" * path.stat().st_size)
        assert memory.repair_index(only_damaged=True)["rebuilt"] == ["registry"]
        assert memory.count() == FRAGMENTS and memory.scan(deep=True).healthy


def test_an_index_is_made_again_when_it_is_named(rested: Path) -> None:
    """Registry and vectors, sound or not; a damaged vectors file is read past and completed."""
    (path,) = (rested / "index").glob("vectors-*.f32")
    flip(path, path.stat().st_size // 2)
    with open_at(rested) as memory:
        done = memory.repair_index("registry", "vectors")
        assert done["rebuilt"] == ["registry", "vectors"]
        assert (done["vectors"], done["pending"], done["versions"]) == (FRAGMENTS, 0, FRAGMENTS)
        assert memory.scan(deep=True).healthy
        assert memory.repair_index("vectors")["rebuilt"] == ["vectors"]
        assert memory.repair_index()["rebuilt"] == ["registry", "vectors"]
        assert memory.scan(deep=True).healthy and memory.count() == FRAGMENTS
        with pytest.raises(InvalidInput, match=r"no index everything; there are registry, vectors\.$"):
            memory.repair_index("everything")
    with open_at(rested, read_only=True) as memory, pytest.raises(ReadOnlyMemory):
        memory.repair_index("registry")


def test_readers_are_served_while_the_registry_is_made_again(rested: Path) -> None:
    """Reads, lists and searches from another thread succeed through several rebuilds."""
    stop, errors, reads = Event(), list[BaseException](), [0]
    with open_at(rested) as memory:
        ids = [each.id for each in memory.list(limit=50)]

        def read() -> None:
            while not stop.is_set():
                try:
                    assert memory.get(ids[reads[0] % 50]).state == "intact"
                    assert memory.search("river", mode="words", limit=3)
                    reads[0] += 1
                except BaseException as error:
                    errors.append(error)
                    return

        reader = Thread(target=read)
        reader.start()
        for _ in range(3):
            memory.repair_index("registry")
        stop.set()
        reader.join()
    assert not errors and reads[0] > 3


def test_words_that_only_a_lost_text_had_are_answered_by_meaning(rested: Path) -> None:
    """Nothing would look as if nobody had ever written them: the nearest are given instead, and it is said.
    While nothing is lost, and where a score is asked for, nothing is nothing.
    """
    with open_at(rested) as memory:
        found = memory.search("zebra", mode="words")
        assert not found.hits and not found.degraded
    rot_a_stripe(rested)
    shutil.rmtree(rested / "index")
    with open_at(rested) as memory:
        assert memory.flush(60)  # Nobody has looked for damage yet.
        found = memory.search("zebra", mode="words", limit=3)
        assert len(found.hits) == 3 and found.degraded and "by meaning" in found.reasons[0]
        nearest = memory.search("zebra", mode="vector", limit=3)
        assert [hit.id for hit in found] == [hit.id for hit in nearest]
        assert not memory.search("zebra", mode="words", min_score=0.1).hits
