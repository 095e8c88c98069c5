"""The ladder for texts: which rung gives a text back when its record is gone for good."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carma.embed import Fingerprint
from carma.errors import EmbedderError, ModelError
from carma.healing.lost import standing
from carma.healing.model import ModelRequest
from carma.memory.memory import Memory
from carma.models import Fragment, Source
from carma.testing import HashEmbedder

from .dreaming import (
    PATIENT,
    SETTINGS,
    files,
    fill,
    lose,
    lose_beyond_parity,
    lose_index,
    of_spread,
    open_at,
    segment_files,
    turn,
)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A memory at rest and its texts; made once."""
    folder = tmp_path_factory.mktemp("ladder") / "memory"
    return folder, fill(folder, settings=PATIENT)


@pytest.fixture
def folder(template: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(template[0], tmp_path / "memory"))


@pytest.fixture
def texts(template: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return template[1]


def lose_sketches(folder: Path) -> None:
    """The last two parity files hold them."""
    for path in sorted((folder / "parity").glob("000001-[67].par")):
        path.unlink()


def now(memory: Memory, texts: dict[str, str]) -> list[Fragment]:
    return [memory.get(id) for id in texts]


def scores(memory: Memory) -> dict[int, float]:
    memory._store.settle()
    return {seq: stood.score for seq, stood in standing(memory._store).items()}


def test_what_fits_a_sketch_to_the_letter_is_repaired(folder: Path, texts: dict[str, str]) -> None:
    """Proven by its digest, without the index."""
    lose_index(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        found = now(memory, texts)
        counts = memory.stats()
    assert report.rungs["short copy"] > 5
    repaired = [each for each in found if each.state == "repaired"]
    assert counts["repaired"] == len(repaired)
    assert repaired and all(each.text == texts[each.id] for each in repaired)
    assert all(each.state != "blank" for each in found)


def test_words_come_back_from_the_index(tmp_path: Path) -> None:
    """Exactly where the digest says so; otherwise the same words, told as a reconstruction."""
    folder = tmp_path / "memory"
    texts = fill(folder, 24, every=12)
    lose_sketches(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        lost = [each for each in now(memory, texts) if each.state != "intact"]
    assert report.rungs["words"] == len(lost) > 8 and report.still_blank == 0
    assert any(each.state == "repaired" for each in lost)
    for each in lost:
        assert _words(each.text) == _words(texts[each.id])
        assert (each.text == texts[each.id]) == (each.state == "repaired")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_what_no_index_knows_is_composed_and_says_so(folder: Path, texts: dict[str, str]) -> None:
    """With confidence, method, similarity and sources, and never as true."""
    lose_index(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        rebuilt = [each for each in now(memory, texts) if each.state == "reconstructed"]
    assert report.rungs["compose"] == report.reconstructed == len(rebuilt) > 0
    for each in rebuilt:
        assert each.repair is not None and each.text != texts[each.id]
        assert each.repair.rung == "compose" and each.repair.cycle == 1 and each.repair.method
        assert each.repair.confidence is not None and 0 < each.repair.confidence < 1


def test_true_bytes_replace_what_stood_for_them(folder: Path, texts: dict[str, str]) -> None:
    """When the files come back, so do the texts, and the registry knows their words again."""
    before = of_spread(files(folder))
    away = folder.parent / "away"
    away.mkdir()
    lose_index(folder)
    for path in segment_files(folder)[:9]:
        shutil.move(path, away)
    with open_at(folder) as memory:
        assert memory.dream(in_process=True).reconstructed > 0
        for path in away.iterdir():
            shutil.copy(path, folder / "segments")
        report = memory.dream(in_process=True)
        assert report.still_blank == 0 and scores(memory) == {}
        assert all(each.state == "intact" and each.text == texts[each.id] for each in now(memory, texts))
        word = turn(2).split()[-1].strip(".")
        assert memory.search(word, mode="words").hits
        assert memory.blanks() == []
    assert {name: files(folder).get(name) for name in before} == before


def test_a_snapshot_gives_records_back_byte_for_byte(folder: Path, texts: dict[str, str]) -> None:
    """It is the same memory, so even the files are as they were."""
    before = of_spread(files(folder))
    with open_at(folder, read_only=True) as memory:
        memory.export(folder.parent / "memory.tar", format="archive")
    lose_beyond_parity(folder, 12)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True, sources=[folder.parent / "memory.tar"])
        assert report.rungs["replica"] > 0 and report.still_blank == report.reconstructed == 0
    assert {name: files(folder).get(name) for name in before} == before


def test_an_export_gives_texts_back(folder: Path, texts: dict[str, str]) -> None:
    """Its text is proven by the digest; nothing is taken that has another."""
    with open_at(folder, read_only=True) as memory:
        memory.export(folder.parent / "lines.jsonl")
    told = (folder.parent / "lines.jsonl").read_text()
    wrong = told.replace("Ann 4: ", "Eve 4: ")
    (folder.parent / "lines.jsonl").write_text(wrong)
    lose_sketches(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True, sources=[folder.parent / "lines.jsonl"])
        assert report.rungs["replica"] > 20
        assert not any(each.text.startswith("Eve") for each in now(memory, texts))


def test_an_ingested_file_gives_texts_back(tmp_path: Path) -> None:
    """The memory remembers where it took them from."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "river.md").write_text("# Rivers\n\n" + "\n\n".join(turn(number) for number in range(40)))
    folder = tmp_path / "memory"
    with open_at(folder) as memory:
        memory.ingest(notes)
        memory.rest()
        memory.rest()
        texts = {each.id: each.text for each in memory.list(limit=100).items}
    lose_sketches(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        assert report.rungs["source"] > 10 and "words" not in report.rungs
        assert all(each.text == texts[each.id] for each in now(memory, texts))


def test_neighbours_of_an_overlapping_split_give_texts_back(tmp_path: Path) -> None:
    """Each piece stands in its two neighbours, half and half."""
    folder = tmp_path / "memory"
    whole = "".join(turn(number) for number in range(0, 80, 2))
    with open_at(folder) as memory:
        texts = {}
        for start in range(0, 12_000, 200):
            piece = whole[start : start + 400]
            source = Source(path="book.txt", span=(start, start + 400))
            each = memory.add(piece, source=source, position=float(start))
            texts[each.id] = piece
        memory.rest()
        memory.rest()
    lose_sketches(folder)
    lose(segment_files(folder)[n] for n in (0, 2, 4, 6, 8, 10, 12, 14, 16))
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        assert report.rungs["overlap"] > 0
        assert all(e.text == texts[e.id] for e in now(memory, texts) if e.state in ("intact", "repaired"))


class Writer:
    """A language model that says the same thing every time, or fails."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.asked: list[ModelRequest] = []

    def rebuild(self, request: ModelRequest) -> str:
        self.asked.append(request)
        if self.text is None:
            raise ModelError("nobody answers", reason="unreachable")
        return self.text


def test_a_model_is_kept_only_where_it_is_better(folder: Path, texts: dict[str, str]) -> None:
    """One that writes nonsense changes nothing, and one that fails is soon not asked any more."""
    lose_index(folder)
    lose_beyond_parity(folder)
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    third = Path(shutil.copytree(folder, folder.parent / "third"))
    with open_at(folder) as memory:
        plain = memory.dream(in_process=True)
        expected = {each.id: each.text for each in now(memory, texts)}
    nonsense, silent = Writer("Completely unrelated words."), Writer(None)
    with open_at(other) as memory:
        memory.dream(model=nonsense)
        assert {each.id: each.text for each in now(memory, texts)} == expected
    with open_at(third) as memory:
        report = memory.dream(model=silent)
        assert {each.id: each.text for each in now(memory, texts)} == expected
    assert len(nonsense.asked) == plain.reconstructed
    assert len(silent.asked) == report.reasons["language model: unreachable"] == 3


class Failing:
    """An embedder that works until it is told to fail."""

    def __init__(self) -> None:
        self.inner = HashEmbedder()
        self.works = True

    @property
    def fingerprint(self) -> Fingerprint:
        return self.inner.fingerprint

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self.works:
            raise EmbedderError("The endpoint is gone.")
        return self.inner.embed(texts)


def test_without_an_embedder_the_cycle_goes_on(folder: Path, texts: dict[str, str]) -> None:
    """Nothing stays blank because of it."""
    lose_index(folder)
    lose_sketches(folder)
    lose_beyond_parity(folder)
    embedder = Failing()
    with Memory.open(folder, embedder=embedder, settings=SETTINGS) as memory:
        embedder.works = False
        report = memory.dream(in_process=True)
        assert report.status == "completed" and report.still_blank == 0 and report.reconstructed > 0


def test_nothing_of_another_owner_is_ever_context(tmp_path: Path) -> None:
    """Two users' talks lie side by side in the same files; a reconstruction quotes only its own."""
    folder = tmp_path / "memory"
    owners: dict[str, str] = {}
    with open_at(folder) as memory:
        for number in range(60):
            user, word = ("ann", "alpha") if number % 2 else ("bob", "omega")
            text = " ".join(f"{word}{number}x{at} {word} said." for at in range(40))
            owners[memory.add(text, user=user, session=user).id] = word
        memory.rest()
        memory.rest()
    lose_index(folder)
    lose_sketches(folder)
    lose_beyond_parity(folder)
    with open_at(folder) as memory:
        memory.dream(in_process=True)
        for id, word in owners.items():
            text = memory.get(id).text
            assert ("omega" if word == "alpha" else "alpha") not in text


def test_a_lost_update_never_brings_the_older_text_back(folder: Path, texts: dict[str, str]) -> None:
    """Not from a replica that has only that, and not from the words of it."""
    replica = Path(shutil.copytree(folder, folder.parent / "replica"))
    id = next(id for id, text in texts.items() if text.startswith("Ann 3:"))
    with open_at(folder) as memory:
        memory.update(id, text="Something else altogether, decided by the committee in May.")
        for path in (*(folder / "segments").glob("0*.seg"), *(folder / "mirror").glob("0*.seg")):
            data = bytearray(path.read_bytes())
            at = data.find(b"altogether")
            if at >= 0:
                data[at] ^= 1
                path.write_bytes(data)
        memory.dream(in_process=True, sources=[replica])
        now = memory.get(id)
        assert now.version == 2 and now.text != texts[id]


def test_a_circle_and_a_lost_parent_do_not_end_a_dream(tmp_path: Path) -> None:
    """Whatever a tree looks like, the cycle goes on."""
    folder = tmp_path / "memory"
    with open_at(folder) as memory:
        first = memory.add(turn(100), user="u")
        second = memory.add(turn(102), parent=first.id, user="u")
        others = [memory.add(turn(200 + at), parent=second.id, user="u") for at in range(40)]
        memory.rest()
        memory.rest()
        with memory._store.registry.transaction() as db:
            db.execute(
                "UPDATE fragments SET parent=? WHERE id=?",
                (bytes.fromhex(second.id), bytes.fromhex(first.id)),
            )
            db.execute("UPDATE fragments SET parent=? WHERE id=?", (bytes(16), bytes.fromhex(others[3].id)))
        lose_sketches(folder)
        lose_beyond_parity(folder)
        report = memory.dream(in_process=True, exact=False)
        assert report.status == "completed" and report.still_blank == 0


def test_what_nothing_is_left_of_stays_blank_and_says_why(tmp_path: Path) -> None:
    """A count with a reason, never a silence."""
    folder = tmp_path / "memory"
    with open_at(folder) as memory:
        ids = [memory.add(turn(300 + 2 * at), user=f"user {at}").id for at in range(24)]
        memory.rest()
        memory.rest()
    lose_index(folder)
    lose_sketches(folder)
    lose_beyond_parity(folder, 10)
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        blank = [id for id in ids if memory.get(id).state == "blank"]
        assert report.still_blank == len(blank) > 0
        assert report.reasons["neither words, sketch nor context are left"] == len(blank)
        assert {each.id for each in memory.blanks()} == set(blank)
