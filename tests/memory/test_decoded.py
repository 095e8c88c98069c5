"""What a read decoded: kept as it was proven, within a bound, and not where bytes are to be gone for good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from carma.memory.decoded import Decoded
from carma.memory.memory import Memory
from carma.ports.disk import Disk, LocalDisk, write_whole
from carma.store.record import HEADER_BYTES, NO_ID, RecordKind, encode_header
from carma.store.scan import Intact, record_at
from carma.testing import HashEmbedder, SimulatedDisk


def record(offset: int, text: bytes) -> Intact:
    header = encode_header(RecordKind.FRAGMENT, 1, 1, 0, NO_ID, 7, offset, text)
    return record_at(header + text, 0, 7, offset)


def test_the_oldest_go_when_there_is_no_room() -> None:
    """Never more bytes than the bound; what was asked for last stays longest."""
    kept = Decoded(3 * (HEADER_BYTES + 250))
    for offset in range(3):
        kept.keep(record(offset, bytes(250)))
    assert kept.get(7, 0) is not None
    kept.keep(record(3, bytes(250)))
    assert [kept.get(7, offset) is not None for offset in range(4)] == [True, False, True, True]
    kept.keep(record(4, bytes(2_000)))
    assert all(kept.get(7, offset) is None for offset in range(5))


def test_what_was_kept_twice_takes_its_room_once() -> None:
    """A record that is decoded again takes the place of the one before."""
    kept = Decoded(3 * (HEADER_BYTES + 250))
    for _ in range(10):
        kept.keep(record(0, bytes(250)))
    kept.keep(record(1, bytes(250)))
    assert kept.get(7, 0) == record(0, bytes(250)) and kept.get(7, 1) is not None


def damaged(folder: Path, texts: list[str]) -> list[str]:
    """A memory at rest, every segment of which is gone but not its parity; the ids of its texts."""
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        ids = [each.id for each in memory.add_many([{"text": text} for text in texts])]
        memory.rest()
    next((folder / "segments").glob("c*.seg")).unlink()
    return ids


def repaired(memory: Memory, ids: list[str]) -> list[str]:
    return [id for id in ids if memory.get(id).state == "repaired"]


def test_a_decoded_text_is_had_again_without_its_parity(tmp_path: Path) -> None:
    """Twice the true text; the second time also when nothing is left that it could be decoded from."""
    folder = tmp_path / "memory"
    texts = [f"The text with the number {at}, and some more words." for at in range(60)]
    ids = damaged(folder, texts)
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        lost = repaired(memory, ids)
        assert lost
        for path in (folder / "parity").glob("*.par"):
            path.unlink()
        again = [memory.get(id) for id in lost]
        assert [each.text for each in again] == [texts[ids.index(id)] for id in lost]
        assert {each.state for each in again} == {"repaired"}


def test_nothing_decoded_is_kept_over_a_purge(tmp_path: Path) -> None:
    """Removing bytes for good removes what reads had decoded too."""
    folder = tmp_path / "memory"
    ids = damaged(folder, [f"The text with the number {at}." for at in range(60)])
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        lost = repaired(memory, ids)
        kept = memory._reader._kept
        assert kept._bytes > 0
        memory.delete(lost[0], purge=True)
        assert kept._bytes == 0
        assert all(memory.get(id).state in ("intact", "repaired") for id in ids if id != lost[0])


@pytest.mark.parametrize("kind", ["local", "simulated"])
def test_an_open_file_knows_whether_its_name_was_given_away(kind: str, tmp_path: Path) -> None:
    """Another file in its place, or none: then it has to be opened anew."""
    disk: Disk = LocalDisk() if kind == "local" else SimulatedDisk()
    folder = str(tmp_path) if kind == "local" else "/folder"
    disk.mkdir(folder)
    path = os.path.join(folder, "one")
    write_whole(disk, path, b"first")
    file = disk.open(path)
    assert file.has_its_name()
    write_whole(disk, f"{path}.new", b"second")
    disk.rename(f"{path}.new", path)
    assert not file.has_its_name()
    second = disk.open(path)
    disk.unlink(path)
    assert not second.has_its_name()
