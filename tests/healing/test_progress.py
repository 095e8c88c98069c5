"""Healing from cycle to cycle: what comes back between them makes guesses better, and ends them."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from carma.healing.lost import standing
from carma.memory.memory import Memory

from .dreaming import PATIENT, lose, lose_index, open_at, segment_files, turn

NAMES = ("Grace", "Almeida", "Porto", "Quist", "Lagos", "Zelda", "Ingram", "Bakker")


def told(number: int) -> str:
    """A turn too long for any sketch, with names inside its sentences; every other one is short."""
    rng = Random(number)
    words = turn(number, every=1).partition(": ")[2].split()
    for name in rng.sample(NAMES, 4):
        words.insert(rng.randrange(1, 12), name)
    said = [word if word in NAMES else word.lower() for word in words]
    return f"Ann {number}: So " + " ".join(said[: 60 if number % 2 else 9])


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A talk at rest without its index, and its texts by id; made once."""
    folder = tmp_path_factory.mktemp("progress") / "memory"
    with open_at(folder, settings=PATIENT) as memory:
        items = [{"text": told(number), "user": "ann", "session": "s"} for number in range(60)]
        texts = {each.id: each.text for each in memory.add_many(items)}
        memory.flush()
        memory.rest()
        memory.rest()
    with open_at(folder, read_only=True) as memory:
        memory.export(folder.parent / "lines.jsonl")
    lose_index(folder)
    return folder, texts


@pytest.fixture
def folder(template: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    shutil.copy(template[0].parent / "lines.jsonl", tmp_path)
    return Path(shutil.copytree(template[0], tmp_path / "memory"))


@pytest.fixture
def texts(template: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return template[1]


def scores(memory: Memory) -> dict[int, float]:
    """Of the guesses that stand, by the write they stand for."""
    memory._store.settle()
    return {seq: stood.score for seq, stood in standing(memory._store).items() if not stood.exact}


def guesses(memory: Memory, texts: dict[str, str]) -> dict[str, str]:
    found = (memory.get(id) for id in texts)
    return {each.id: each.text for each in found if each.state == "reconstructed"}


def sent_away(folder: Path, paths: list[Path]) -> Path:
    """Put files where they can come back from."""
    away = folder.parent / "away"
    away.mkdir(exist_ok=True)
    for path in paths:
        shutil.move(path, away)
    return away


def back(away: Path, folder: Path) -> None:
    for path in away.iterdir():
        shutil.copy(path, folder)


def test_scores_never_fall(folder: Path, texts: dict[str, str]) -> None:
    """Cycle after cycle, with less and with more context and with nothing new; what stands gives way to
    better only, and none of the scores is nothing.
    """
    files = segment_files(folder)
    lose(files[:9])
    away = sent_away(folder, files[9:14])
    seen: list[dict[int, float]] = []
    with open_at(folder) as memory:
        for cycle in range(5):
            if cycle == 1:
                back(away, folder / "segments")
            if cycle == 3:
                lose(files[9:11])
            memory.dream(in_process=True, exact=cycle != 3)
            seen.append(scores(memory))
            assert all(score > 0.9 for score in seen[-1].values())
    assert len(seen[0]) > len(seen[1]) > 5 and seen[1] == seen[2] and len(seen[4]) > len(seen[2])
    for earlier, later in pairwise(seen):
        assert all(later[seq] >= score for seq, score in earlier.items() if seq in later)


def test_neighbours_that_come_back_make_guesses_better_and_a_source_ends_them(
    folder: Path, texts: dict[str, str]
) -> None:
    """First the sketches stand alone; then the neighbours show how names are written, and every score rises;
    then an export has the texts themselves, and nothing is guessed any more.
    """
    files = segment_files(folder)
    lose(files[:9])
    away = sent_away(folder, files[9:])
    with open_at(folder) as memory:
        assert memory.dream(in_process=True).still_blank == 0
        alone, first = scores(memory), guesses(memory, texts)
        back(away, folder / "segments")
        report = memory.dream(in_process=True)
        better, second = scores(memory), guesses(memory, texts)
        assert report.reconstructed == len(better) == len(second) > 5
        assert all(better[seq] > alone[seq] for seq in better)
        assert sum(map(_names, second.values())) > 2 * sum(_names(first[id]) for id in second)
        report = memory.dream(in_process=True, sources=[folder.parent / "lines.jsonl"])
        assert report.rungs["replica"] == len(second) and scores(memory) == {}
        assert all((memory.get(id).text, memory.get(id).state) == (texts[id], "repaired") for id in second)


def _names(text: str) -> int:
    return len(re.findall("|".join(NAMES), text))


def test_a_sketch_that_comes_back_outranks_a_guess_from_context(folder: Path, texts: dict[str, str]) -> None:
    """What stood is worth nothing against a sketch; what has its terms takes its place."""
    lose(segment_files(folder)[:9])
    away = sent_away(folder, sorted((folder / "parity").glob("000001-[67].par")))
    with open_at(folder) as memory:
        memory.dream(in_process=True, exact=False)
        blind, first = scores(memory), guesses(memory, texts)
        assert len(first) > 10 and not any(blind.values())
        back(away, folder / "parity")
        memory.dream(in_process=True)
        known, second = scores(memory), guesses(memory, texts)
        assert len(first) > len(second) > 5 and all(score > 0.9 for score in known.values())
        repaired = [memory.get(id) for id in first.keys() - second.keys()]
        assert all((each.state, each.text) == ("repaired", texts[each.id]) for each in repaired)
