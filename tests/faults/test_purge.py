"""Deleted text leaves no trace in any file, and no rung of the ladder brings it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carma import Memory
from carma.config import Settings
from carma.errors import FragmentNotFound
from carma.testing import HashEmbedder

SLICE = 12
"""So many characters of a deleted text in a row are a trace of it."""
SECRET = "The Zanzibarian quartermaster whispered xylophonic passphrases about Quoddamville nightly."
REPLACED = "An earlier Wolframite memorandum mentioned Brobdingnagian ledgers of Umbriel."
UNIQUE = (
    "zanzibarian",
    "quartermaster",
    "xylophonic",
    "passphrases",
    "quoddamville",
    "wolframite",
    "umbriel",
)
"""Words that no other text holds, as a word index keeps them."""
KEPT = "The harbour master counts herons at dawn and writes their number on a slate."


def open_at(folder: Path, **settings: float) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(8), settings=Settings(**settings))  # type: ignore[arg-type]


def fill(folder: Path, **settings: float) -> str:
    """A memory at rest, with a fragment that is to be deleted; its id. It had an older version and lies
    between others that are like it.
    """
    with open_at(folder, **settings) as memory:
        top = memory.add("A diary of the harbour.", kind="conversation")
        memory.add(KEPT, parent=top.id)
        secret = memory.add(REPLACED, parent=top.id, metadata={"note": "Zanzibarian"})
        memory.update(secret.id, SECRET)
        for number in range(6):
            memory.add(
                f"On day {number} the harbour was calm and the slate said {number * 7}.", parent=top.id
            )
        memory.flush(10)
        memory.search("whispered passphrases")
        memory.rest()
    with open_at(folder, **settings) as memory:
        assert memory.get(secret.id).text == SECRET
    return secret.id


def slices() -> Iterator[bytes]:
    for text in (SECRET, REPLACED):
        for form in (text, text.lower()):
            yield from (form[at : at + SLICE].encode() for at in range(len(form) - SLICE + 1))
    yield from (word.encode() for word in UNIQUE)


def traces(folder: Path) -> list[str]:
    """Files that hold a slice or a word of what was deleted."""
    wanted = list(slices())
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found += [
            f"{path.relative_to(folder)}: {each!r}" for each in wanted if each in data or each in data.lower()
        ][:1]
    return found


def check_gone(memory: Memory, id: str) -> None:
    """No verb gives the text back; the history knows that it was deleted and nothing else."""
    with pytest.raises(FragmentNotFound):
        memory.get(id)
    versions = memory.history(id)
    assert [(each.deleted, each.text) for each in versions] == [(True, "")]
    texts = [each.text for each in memory.list()]
    texts += [hit.text for word in UNIQUE for hit in memory.search(word, mode="words")]
    texts += [hit.text for hit in memory.search(SECRET, mode="vector")]
    assert not [text for text in texts if any(word in text.lower() for word in UNIQUE)]
    assert KEPT in texts
    assert not memory.blanks()


def purge(memory: Memory, id: str) -> None:
    memory.delete(id, purge=True)


def delete_and_dream(memory: Memory, id: str) -> None:
    memory.delete(id)
    assert memory.dream(in_process=True).status == "completed"


def delete_and_compact(memory: Memory, id: str) -> None:
    memory.delete(id)
    for _ in range(2):
        memory.rest()
        memory.compact(linger_s=0)
    assert memory.dream(in_process=True).status == "completed"


WAYS = [purge, delete_and_dream, delete_and_compact]
Way = Callable[[Memory, str], None]


def rotten(folder: Path) -> None:
    """A file of the spread is gone and another has a flipped bit."""
    paths = sorted(folder.glob("segments/c*"))
    paths[0].unlink()
    data = bytearray(paths[1].read_bytes())
    data[len(data) // 2] ^= 1
    paths[1].write_bytes(data)
    min(folder.glob("parity/*")).unlink()


@pytest.mark.parametrize("way", WAYS)
def test_what_was_deleted_leaves_no_trace(tmp_path: Path, way: Way) -> None:
    """Segments, mirror, parity, registry with its log, word indexes, vectors, quarantine."""
    id = fill(tmp_path)
    assert traces(tmp_path)
    with open_at(tmp_path) as memory:
        way(memory, id)
        check_gone(memory, id)
        assert traces(tmp_path) == []
    assert traces(tmp_path) == []
    with open_at(tmp_path) as memory:
        check_gone(memory, id)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_deleted_leaves_no_trace_where_files_were_damaged(tmp_path: Path, way: Way) -> None:
    """Damage that was there before the deletion, and quarantined originals of what was repaired."""
    id = fill(tmp_path)
    rotten(tmp_path)
    with open_at(tmp_path) as memory:
        assert memory.dream(in_process=True).files_repaired
        rotten(tmp_path)
    with open_at(tmp_path) as memory:
        way(memory, id)
        if traces(tmp_path):
            # A look that finds damage keeps the originals of what it repairs; the next one drops them.
            assert way is not purge
            assert {each.split("/")[0] for each in traces(tmp_path)} == {"quarantine"}
            assert memory.dream(in_process=True).status == "completed"
        check_gone(memory, id)
    assert traces(tmp_path) == []


@pytest.mark.parametrize("way", WAYS)
def test_no_rung_brings_back_what_was_deleted(tmp_path: Path, way: Way) -> None:
    """A dream is shown an old copy of the memory, an export of it and the file it came from."""
    folder, old, sources = (tmp_path / name for name in ("memory", "old", "sources"))
    sources.mkdir()
    (sources / "diary.txt").write_text(f"{KEPT}\n\n{SECRET}\n")
    fill(folder)
    with open_at(folder) as memory:
        memory.ingest(sources)
        ids = [each.id for each in memory.list(limit=100) if SECRET in each.text]
        assert len(ids) >= 2
        memory.rest()
    shutil.copytree(folder, old)
    with open_at(folder) as memory:
        for each in ids:
            way(memory, each)
    rotten(folder)
    with open_at(folder) as memory:
        for _ in range(2):
            dreamt = memory.dream(sources=[old, sources], in_process=True)
            assert dreamt.status == "completed"
            assert not [each for each in memory.list(limit=100) if "Zanzibarian" in each.text]
            for each in ids:
                with pytest.raises(FragmentNotFound):
                    memory.get(each)
                assert [version.deleted for version in memory.history(each)] == [True]
    assert traces(folder) == []


@pytest.mark.parametrize("purged", [True, False])
def test_what_was_rebuilt_from_a_deleted_text_goes_with_it(tmp_path: Path, purged: bool) -> None:
    """A reconstruction that quotes a fragment is dropped when that is deleted; purged, from every file. (Only
    deleted, a text stays in a spread together with a record that is lost, which waits there for its shards.)
    """
    with open_at(tmp_path, short_copies=False, linger_s=0.0) as memory:
        top = memory.add("A diary of the harbour.")
        secret = memory.add(SECRET, parent=top.id)
        lost = memory.add(f"{SECRET[:60]} so they said, {'and on ' * 60}", parent=top.id)
        memory.flush(10)
        memory.rest()
        memory.rest()
    for path in sorted(tmp_path.glob("segments/c*")):
        if b"so they said" in path.read_bytes() or b"A diary" in path.read_bytes():
            path.unlink()
    for path in sorted(tmp_path.glob("parity/*"))[1:]:
        path.unlink()
    shutil.rmtree(tmp_path / "index")
    for path in [*tmp_path.glob("segments/0*"), *tmp_path.glob("mirror/0*")]:
        if b"so they said" in path.read_bytes():
            path.unlink()
    with open_at(tmp_path, short_copies=False, linger_s=0.0) as memory:
        assert memory.get(lost.id).state == "blank"
        memory.dream(in_process=True)
        rebuilt = memory.get(lost.id)
        assert rebuilt.state == "reconstructed"
        assert rebuilt.repair is not None
        assert secret.id in rebuilt.repair.sources
        assert "Zanzibarian" in rebuilt.text
        memory.delete(secret.id, purge=purged)
        memory.clear_breaker()
        for _ in range(2):
            memory.dream(in_process=True)
        assert "anzibarian" not in memory.get(lost.id).text
        with pytest.raises(FragmentNotFound):
            memory.get(secret.id)
    if purged:
        assert traces(tmp_path) == []
