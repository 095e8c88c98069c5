"""An encrypted memory heals: every exact rung proves by the keyed digest, also in a process of its own."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from carma import Memory
from carma.access.vault.datakey import DataKeyCipher
from carma.access.vault.vault import Vault
from carma.config import Settings
from carma.errors import CarmaError, Shredded
from carma.healing.bytescan import scan_bytes
from carma.healing.words import Restorer
from carma.healing.worker import DreamProcess, command, key_from
from carma.ports.disk import LocalDisk
from carma.store.sealing import Sealing
from carma.testing import StandInCipher

from .conftest import Open

TEXTS = [f"The ferry number {number} leaves the north pier at {number % 24} o'clock." for number in range(40)]
LONG = "Nobody knows why the old lighthouse keeper paints his door again every autumn. " * 6


def at_rest(memory: Memory, texts: list[str]) -> dict[str, str]:
    """Texts in a memory of which nothing lingers, closed; by id."""
    said = {memory.add(text, metadata={"n": at}).id: text for at, text in enumerate(texts)}
    memory.flush()
    memory.compact(linger_s=0)
    memory.close()
    return said


def damage(folder: Path, *, parity: bool, segments: int = 1) -> None:
    """Remove segments of the spread; with `parity` also all of that but two files, and so more segments."""
    segments += 2 * parity
    for path in sorted((folder / "segments").glob("c*"))[:segments]:
        path.unlink()
    if parity:
        columns = sorted((folder / "parity").iterdir())
        for path in columns[:1] + columns[2:-1]:
            path.unlink()


def states(memory: Memory, said: dict[str, str]) -> dict[str, str]:
    """The state of every fragment, of which those that claim to be true are."""
    found: dict[str, str] = {}
    for id, text in said.items():
        fragment = memory.get(id)
        assert fragment.text == text or fragment.state in ("blank", "reconstructed")
        found[id] = fragment.state
    return found


def test_parity_gives_everything_back_bit_for_bit(tmp_path: Path, open_memory: Open) -> None:
    """A lost segment is decoded in the read, and restored by a dream byte for byte."""
    folder = tmp_path / "memory"
    said = at_rest(open_memory(), TEXTS)
    before = {path.name: path.read_bytes() for path in (folder / "segments").glob("c*")}
    damage(folder, parity=False, segments=3)
    with open_memory() as memory:
        assert set(states(memory, said).values()) == {"intact", "repaired"}
        report = memory.dream(in_process=True)
        assert (report.status, report.still_blank) == ("completed", 0)
        assert memory.scan(deep=True).healthy
    assert {name: (folder / "segments" / name).read_bytes() for name in before} == before


def test_short_copies_prove_themselves_by_the_keyed_digest(tmp_path: Path, open_memory: Open) -> None:
    """Where parity is gone too, the sealed copies still hold short texts to the letter."""
    said = at_rest(open_memory(), TEXTS)
    damage(tmp_path / "memory", parity=True)
    with open_memory() as memory:
        found = states(memory, said)
        assert set(found.values()) == {"intact", "repaired"} and "repaired" in found.values()
        memory.dream(in_process=True)
        assert {fragment.state for fragment in memory.list()} <= {"intact", "repaired"}


def test_words_give_a_text_back_that_no_copy_holds(tmp_path: Path, open_memory: Open) -> None:
    """The encrypted word index and the keyed digest together prove the true text."""
    memory = open_memory(settings=Settings(sketch_bytes=0))
    said = at_rest(memory, [LONG, *TEXTS])
    damage(tmp_path / "memory", parity=True, segments=2)
    with open_memory(settings=Settings(sketch_bytes=0)) as memory:
        lost = {id for id, state in states(memory, said).items() if state == "blank"}
        assert lost
        report = memory.dream(in_process=True)
        assert report.rungs.get("words", 0) >= len(lost)
        assert {memory.get(id).state for id in lost} <= {"repaired", "reconstructed"}
        assert any(memory.get(id).state == "repaired" for id in lost)


@pytest.mark.parametrize("kind", ["snapshot", "archive", "jsonl", "folder"])
def test_a_source_gives_texts_back(tmp_path: Path, open_memory: Open, kind: str) -> None:
    """Encrypted copies of the same owner, a plain export, and the files that texts were ingested from."""
    folder, settings = tmp_path / "memory", Settings(sketch_bytes=0)
    texts = tmp_path / "notes"
    texts.mkdir()
    for number in range(12):
        (texts / f"note{number}.md").write_text(f"# Note {number}\n\n{LONG} {number}\n")
    memory = open_memory(settings=settings)
    memory.ingest(texts)
    memory.flush()
    said = {each.id: each.text for each in memory.list(limit=200)}
    source = tmp_path / f"source.{kind}"
    if kind == "snapshot":
        memory.snapshot(source)
    elif kind != "folder":
        memory.export(source, format=kind)
    memory.compact(linger_s=0)
    memory.close()
    damage(folder, parity=True, segments=2)
    shutil.rmtree(folder / "index")
    with open_memory(settings=settings) as memory:
        lost = {id for id, state in states(memory, said).items() if state == "blank"}
        assert lost
        if kind == "folder":
            report = memory.dream(in_process=True, sources=[texts])
            assert report.rungs.get("source", 0) >= 1
        else:
            shutil.move(texts, tmp_path / "moved")
            report = memory.dream(in_process=True, sources=[source])
            assert report.rungs.get("replica", 0) >= 1
        assert set(states(memory, said).values()) <= {"intact", "repaired"}


def test_a_copy_of_another_owner_gives_nothing(tmp_path: Path, open_memory: Open) -> None:
    """It is named as a source that cannot be used."""
    said = at_rest(open_memory(settings=Settings(sketch_bytes=0)), TEXTS)
    at_rest(open_memory("bob", cipher=StandInCipher("bob")), TEXTS)
    damage(tmp_path / "memory", parity=True)
    shutil.rmtree(tmp_path / "memory" / "index")
    with open_memory(settings=Settings(sketch_bytes=0)) as memory:
        report = memory.dream(in_process=True, sources=[tmp_path / "bob"])
        assert report.reasons["a source is encrypted by another key"] == 1
        assert "replica" not in report.rungs
        states(memory, said)


def test_restored_texts_are_tried_against_the_keyed_digest() -> None:
    """The plain digest of the same text proves nothing there."""
    sealing = Sealing(StandInCipher(), "m")
    text = "Hello, harbour: the ferry is late."
    restorer = Restorer([text] * 5, digest_of=sealing.digest, budget_ms=None)
    tokens = ["Hello", "harbour", "the", "ferry", "is", "late"]
    assert restorer.restore(tokens, digest=sealing.text_digest(text)).exact
    assert not restorer.restore(tokens, digest=Sealing().text_digest(text), variants=500).exact


# A process of its own


def test_a_dream_of_its_own_process_has_the_key(tmp_path: Path, vault: Vault, open_memory: Open) -> None:
    """It heals an encrypted memory; the key is on no command line and in no environment."""
    said = at_rest(open_memory(vault=vault, owner="alice", embedder=None), TEXTS[:8])
    damage(tmp_path / "memory", parity=False)
    key = vault.cipher("alice").hand_over()
    seen: list[bytes] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # It has ended meanwhile.
                    if b"--key-pipe" in (said := line.read_bytes()):
                        seen.extend((said, line.with_name("environ").read_bytes()))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with open_memory(vault=vault, owner="alice", embedder=None) as memory:
            report = memory.dream()
            assert (report.status, report.still_blank, report.error) == ("completed", 0, None)
            assert report.files_repaired == 1
            assert set(states(memory, said).values()) == {"intact"}
    finally:
        ended.set()
        watcher.join()
    assert any(str(tmp_path).encode() in each for each in seen)
    for form in (key, key.hex().encode()):
        assert not any(form in each for each in seen)


def test_a_dream_of_its_own_process_ends_when_its_key_is_shredded(
    tmp_path: Path, vault: Vault, open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the key in its memory: at the next thing that it tells it is stopped."""
    at_rest(open_memory(vault=vault, owner="alice", embedder=None), TEXTS[:8])
    damage(tmp_path / "memory", parity=False)
    stopped: list[bool] = []
    stop = DreamProcess.stop

    def noted(process: DreamProcess) -> None:
        stopped.append(True)
        stop(process)

    monkeypatch.setattr(DreamProcess, "stop", noted)
    memory = open_memory(vault=vault, owner="alice", embedder=None)
    told: list[str] = []

    def shred(done: int, total: int, what: str) -> None:
        told.append(what)
        if len(told) == 1:
            vault.shred("alice")
            time.sleep(0.02)

    with suppress(CarmaError):
        memory.dream(progress=shred)
    assert len(told) == 1 or stopped
    with pytest.raises(Shredded):
        memory.list()


def test_a_key_comes_through_a_pipe_once() -> None:
    """What is read is the key and nothing else, and the descriptor is closed."""
    reading, writing = os.pipe()
    os.write(writing, bytes(range(32)))
    os.close(writing)
    assert key_from(reading) == bytes(range(32))
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reading)
    from carma.healing.dream import Wishes

    line = command("/memory", Wishes(), Settings(), 5)
    assert line[line.index("--key-pipe") + 1] == "5"
    assert DataKeyCipher(bytes(range(32))).hand_over() == bytes(range(32))


# Without the key


def test_bytes_are_proven_without_the_key(tmp_path: Path, open_memory: Open) -> None:
    """What is damaged is found, and whether parity still gives it back, by somebody who can read nothing."""
    folder = tmp_path / "memory"
    at_rest(open_memory(), TEXTS)
    with open_memory() as memory:
        memory.add("in the tail of the log")
        shutil.copytree(folder, tmp_path / "copy")
    folder = tmp_path / "copy"
    for deep in (False, True):
        report = scan_bytes(LocalDisk(), str(folder), deep=deep)
        assert report.healthy and report.deep is deep and report.files > 20
    assert report.records > len(TEXTS)
    segment = min((folder / "segments").glob("c*"))
    flip(segment, 150)
    flip(max((folder / "mirror").glob("0*")), 130)
    column = min((folder / "parity").iterdir())
    flip(column, column.stat().st_size - 20)
    report = scan_bytes(LocalDisk(), str(folder), deep=True)
    assert {each.path for each in report.findings} == {
        f"segments/{segment.name}", f"parity/{column.name}", f"mirror/{max(folder.glob('mirror/0*')).name}",
    }  # fmt: skip
    assert all(each.redundant for each in report.findings)
    assert (report.damaged, report.lost) == (3, 0)
    assert next(each for each in report.findings if each.path.startswith("segments")).id
    for path in sorted((folder / "parity").iterdir())[4:]:
        path.unlink()
    for path in sorted((folder / "segments").glob("c*"))[:9]:
        path.unlink()
    report = scan_bytes(LocalDisk(), str(folder), deep=True)
    assert report.lost > 0 and not all(each.redundant for each in report.findings)
    assert {each.kind for each in report.findings} >= {"missing file"}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
