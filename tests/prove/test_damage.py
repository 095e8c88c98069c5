"""Damage does what it says, to the files, and nothing else; and says all that it did."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from carma.errors import InvalidInput
from carma.memory.kept import tag_of
from carma.ports.disk import LocalDisk
from carma.prove.corpus import places
from carma.prove.damage import DAMAGES, MOST_FILES, Done, Place, damage, records_in, segments_of
from carma.prove.redundancy import still_exact, strip, strip_index
from carma.store.record import HEADER_BYTES
from carma.store.vectors import VectorsFile
from carma.testing import HashEmbedder

from .conftest import AtRest, Copier

VICTIMS = 6
RECORD_FILES = ("segments", "mirror", "parity")


def victims_of(memory: AtRest, count: int = VICTIMS, seed: int = 0) -> list[Place]:
    return Random(seed).sample(list(memory.where.values()), count)


def files(memory: AtRest) -> dict[str, bytes]:
    folder = Path(memory.folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in RECORD_FILES
        for path in sorted((folder / part).glob("*"))
    }


def do(memory: AtRest, kind: str, victims: list[Place], **options: object) -> list[Done]:
    return damage(memory.folder, victims, kind, Random(1), live=memory.where.keys(), **options)


def path_of(memory: AtRest, place: Place) -> str:
    segments = segments_of(memory.folder)
    return Path(segments.path("segments", place.segment)).relative_to(segments.folder).as_posix()


def test_delete_zeroes_the_records_and_nothing_else(at_rest: AtRest) -> None:
    """Every byte of each victim is zero, and every other byte of every file is what it was."""
    before, victims = files(at_rest), victims_of(at_rest)
    done = do(at_rest, "delete", victims)
    expected = {path: bytearray(data) for path, data in before.items()}
    for victim in victims:
        expected[path_of(at_rest, victim)][victim.offset : victim.offset + victim.length] = bytes(
            victim.length
        )
    assert files(at_rest) == {path: bytes(data) for path, data in expected.items()}
    assert [each.seqs for each in done] == [(victim.seq,) for victim in victims]


def test_flip_turns_one_bit_within_each_record(at_rest: AtRest) -> None:
    """As many bits differ as there are victims, each within its victim's record and at the place that is
    told.
    """
    before, victims = files(at_rest), victims_of(at_rest)
    done = do(at_rest, "flip", victims)
    after = files(at_rest)
    changed = [
        (path, at, (old ^ new).bit_count())
        for path, data in before.items()
        for at, (old, new) in enumerate(zip(data, after[path], strict=True))
        if old != new
    ]
    assert sorted(changed) == sorted((each.path, each.offset, 1) for each in done)
    for victim, each in zip(victims, done, strict=True):
        assert each.path == path_of(at_rest, victim)
        assert victim.offset <= each.offset < victim.offset + victim.length


@pytest.mark.parametrize("seed", range(8))
def test_truncate_cuts_at_the_border_of_a_record(copies: Copier, seed: int) -> None:
    """At a border, a byte before or behind it; whoever reaches beyond the cut is named, nobody else is, and
    at least as many are lost as were to be.
    """
    memory = copies("cut")
    before = files(memory)
    segments = segments_of(memory.folder)
    borders = {
        number: [item.header for item in records_in(segments, number)]
        for number in segments.numbers("segments")
    }
    paths = {path_of(memory, Place(0, number, 0, 0)): number for number in borders}
    done = damage(
        memory.folder, victims_of(memory, seed=seed), "truncate", Random(seed), live=memory.where.keys()
    )
    after = files(memory)
    assert sum(len(each.seqs) for each in done) >= VICTIMS
    for each in done:
        headers = borders[paths[each.path]]
        assert min(abs(each.offset - header.offset) for header in headers) <= 1
        assert after[each.path] == before[each.path][: each.offset]
        beyond = {h.seq for h in headers if h.end > each.offset and h.seq in memory.where}
        assert set(each.seqs) == beyond
    hit = {each.path for each in done}
    assert {path: data for path, data in after.items() if path not in hit} == {
        path: data for path, data in before.items() if path not in hit
    }


def test_file_removes_whole_segments(at_rest: AtRest) -> None:
    """The files that are told are gone, all others are there, and what they held is told."""
    before = files(at_rest)
    done = do(at_rest, "file", victims_of(at_rest))
    assert before.keys() - files(at_rest).keys() == {each.path for each in done}
    assert sum(len(each.seqs) for each in done) >= VICTIMS
    told = {seq for each in done for seq in each.seqs}
    held = {each.path: 0 for each in done}
    for place in at_rest.where.values():
        path = path_of(at_rest, place)
        if path in held:
            held[path] += 1
            assert place.seq in told
    assert [held[each.path] for each in done] == [len(each.seqs) for each in done]


def test_mixed_does_each_kind(at_rest: AtRest) -> None:
    """With enough victims every kind is done at least once."""
    done = do(at_rest, "mixed", victims_of(at_rest, 24))
    assert {each.kind for each in done} == DAMAGES.keys() - {"mixed"}


@pytest.mark.parametrize("kind", ["file", "truncate", "mixed"])
def test_no_more_files_are_taken_than_the_promise_allows(at_rest: AtRest, kind: str) -> None:
    """Three of a spread, however much was to be lost; without the bound as many as it takes."""
    done = do(at_rest, kind, list(at_rest.where.values()))
    assert 0 < len({each.path for each in done if each.kind in ("file", "truncate")}) <= MOST_FILES


def test_without_the_bound_as_many_files_are_taken_as_it_takes(at_rest: AtRest) -> None:
    """Every fragment can be lost that way."""
    done = do(at_rest, "file", list(at_rest.where.values()), most_files=None)
    assert {seq for each in done for seq in each.seqs} == at_rest.where.keys()


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_same_seed_does_the_same_damage(copies: Copier, kind: str) -> None:
    """Two copies of a memory are the same afterwards, and so is what is told; another seed differs."""
    first, second, third = copies("first"), copies("second"), copies("third")
    victims = victims_of(first, 20)
    assert do(first, kind, victims) == do(second, kind, victims)
    assert files(first) == files(second)
    if kind != "delete":
        damage(third.folder, victims, kind, Random(99), live=third.where.keys())
        assert files(third) != files(first)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_lost_within_the_promise_is_read_all_the_same(copies: Copier, kind: str, seed: int) -> None:
    """After 5 % of the records or three files, each fragment is given out with its newest text."""
    memory = copies("damaged")
    victims = victims_of(memory, max(round(len(memory.where) * 0.05), 1), seed)
    damage(memory.folder, victims, kind, Random(seed), live=memory.where.keys())
    with memory.open() as opened:
        found = {id: opened.get(id) for id in memory.texts}
    assert {each.state for each in found.values()} <= {"intact", "repaired"}
    assert {id: each.text for id, each in found.items()} == memory.texts


@pytest.mark.parametrize("kind", DAMAGES)
def test_stripped_of_redundancy_nothing_exact_is_left_of_the_lost(at_rest: AtRest, kind: str) -> None:
    """Before it everything can be decoded, after it none of the lost, and all that was not lost is intact."""
    done = damage(
        at_rest.folder, victims_of(at_rest), kind, Random(2), live=at_rest.where.keys(), most_files=MOST_FILES
    )
    lost = {seq for each in done for seq in each.seqs}
    hit = [at_rest.where[seq] for seq in lost]
    assert set(still_exact(at_rest.folder, hit)) == lost
    assert strip(at_rest.folder, lost)
    assert still_exact(at_rest.folder, hit) == []
    with at_rest.open() as memory:
        for id, text in at_rest.texts.items():
            found = memory.get(id)
            assert found.text == ("" if found.seq in lost else text)
            assert (found.state == "blank") == (found.seq in lost)


def test_without_the_index_it_is_built_anew_from_what_is_left(at_rest: AtRest) -> None:
    """Registry and vector index go, and of the vectors those of the lost; what was not lost is found by
    meaning.
    """
    before = files(at_rest)
    lost = [place.seq for place in victims_of(at_rest)]
    assert strip_index(at_rest.folder, lost, at_rest.where, HashEmbedder().fingerprint)
    left = sorted(path.suffix for path in (Path(at_rest.folder) / "index").iterdir())
    assert left == [".f32"]
    assert vectors_of(at_rest) == at_rest.where.keys() - set(lost)
    assert files(at_rest) == before
    with at_rest.open() as memory:
        assert {id: memory.get(id).text for id in at_rest.texts} == at_rest.texts


def vectors_of(memory: AtRest) -> set[int]:
    """The writes that have a vector on disk."""
    embedder = HashEmbedder().fingerprint
    index = VectorsFile(LocalDisk(), f"{memory.folder}/index", embedder.dimension, tag_of(embedder))
    return {seq for block in index.follow() for seq in block.seqs.tolist()}


def test_an_unknown_kind_is_refused(at_rest: AtRest) -> None:
    """InvalidInput, and no file is touched."""
    before = files(at_rest)
    with pytest.raises(InvalidInput):
        damage(at_rest.folder, victims_of(at_rest), "fire", Random(0))
    assert files(at_rest) == before


def test_places_are_where_the_records_are(at_rest: AtRest) -> None:
    """Each place that the registry gives holds the proven record of its write."""
    segments = segments_of(at_rest.folder)
    for place in places(at_rest.folder).values():
        item = segments.read_copy("segments", place.segment, place.offset, place.length)
        assert (item.header.seq, HEADER_BYTES + item.header.length) == (place.seq, place.length)
