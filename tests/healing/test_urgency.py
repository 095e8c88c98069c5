"""What is felt most is healed first: what readers met, and what much is joined to."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from carma.embed import MiniLM
from carma.healing.felt import MOST_READS, Felt
from carma.healing.worker import reads_from
from carma.memory.memory import Memory

from .damaging import flip
from .dreaming import PATIENT, SETTINGS, fill, lose_beyond_parity, open_at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A talk of short turns of which nine files are lost; short copies, words and vectors are there."""
    fill(tmp_path / "memory", 40, every=1_000, settings=PATIENT)
    lose_beyond_parity(tmp_path / "memory")
    return tmp_path / "memory"


def test_what_readers_met_comes_first(folder: Path) -> None:
    """By how often, in the list of blanks; and it is forgotten with the open memory."""
    (folder / "parity/000001-6.par").unlink()
    (folder / "parity/000001-7.par").unlink()
    with open_at(folder) as memory:
        memory.scan()
        before = [each.id for each in memory.blanks()]
        assert len(before) > 5
        for id in (before[3], before[5], before[5]):
            assert memory.get(id).state == "blank"
        first, second, *others = (each.id for each in memory.blanks())
        assert (first, second) == (before[5], before[3])
        assert others == [id for id in before if id not in (first, second)]
    with open_at(folder) as memory:
        assert [each.id for each in memory.blanks()] == before


@pytest.mark.parametrize("in_process", [True, False], ids=["here", "in a process of its own"])
def test_a_dream_begins_with_what_readers_met(folder: Path, in_process: bool) -> None:
    """Also where it runs elsewhere: it is told."""
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    with open_at(other) as memory:
        usual = _copied(memory, in_process=in_process)
    with open_at(folder) as memory:
        for _ in range(5):
            assert memory.get(usual[-1]).state == "repaired"
        found = _copied(memory, in_process=in_process)
    assert sorted(found) == sorted(usual) and found[0] == usual[-1]


def _copied(memory: Memory, *, in_process: bool) -> list[str]:
    """Dream; what came back by its short copy, in order."""
    report = memory.dream(in_process=in_process)
    return [step.name for step in memory.show_dream(report.cycle).steps if step.rung == "short copy"]


def test_what_many_are_joined_to_comes_before_what_stands_alone(tmp_path: Path) -> None:
    """The threads of a lost fragment, as the topology draws them, count like its children."""
    with Memory.open(tmp_path, embedder=MiniLM(), settings=SETTINGS) as memory:
        alone = memory.add("Quarterly interest rates were left unchanged by the central bank.")
        joined = memory.add("The ferry to the island leaves the harbour at seven.")
        for hour in ("eight", "nine", "ten"):
            memory.add(f"Another ferry leaves the harbour for the island at {hour}.")
        memory.flush()
        memory.rest()
        lost = {memory.get(each.id).seq: each.id for each in (alone, joined)}
        places = memory._store.registry.rows(
            "SELECT segment, offset FROM fragments WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(list(lost)),),
        )
    shutil.rmtree(tmp_path / "parity")
    for segment, offset in places:
        flip(next((tmp_path / "segments").glob(f"*{segment & 0xFFFFFF:06}.seg")), offset + 120)
    with Memory.open(tmp_path, embedder=MiniLM(), settings=SETTINGS) as memory:
        memory.scan(deep=True)
        assert [each.id for each in memory.blanks()] == [joined.id, alone.id]


def test_reads_are_counted_within_bounds() -> None:
    """Only the last 1,024; an older one makes room."""
    felt = Felt()
    felt.read("first")
    for at in range(MOST_READS):
        felt.read(f"{at % 3}")
    counts = felt.counts()
    assert sum(counts.values()) == MOST_READS and counts.keys() == {"0", "1", "2"}


@pytest.mark.parametrize("line", [b"", b"nonsense\n", b'{"a": 1}\n', b'{"a": 1'], ids=repr)
def test_a_dream_that_is_told_nothing_waits_for_nothing(line: bytes) -> None:
    """A parent that says nothing, or nonsense, costs a second at most."""
    reading, writing = os.pipe()
    try:
        os.write(writing, line)
        assert reads_from(reading) == ({"a": 1} if line.endswith(b"}\n") else {})
    finally:
        os.close(reading)
        os.close(writing)
