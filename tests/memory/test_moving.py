"""Export, import, snapshot, compaction, purge: moving a memory and leaving things behind."""

from __future__ import annotations

import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from carma.config import Settings
from carma.errors import ArchiveDamaged, InvalidInput, MemoryExists, MemoryNotFound, ReadOnlyMemory
from carma.memory.memory import Memory
from tests.memory.conftest import Open


def filled(memory: Memory) -> dict[str, dict[str, object]]:
    """A memory with a tree, versions, a deletion and a given vector; what it shows of each fragment."""
    top = memory.add("top", kind="folder", metadata={"a": [1, {"b": None}]}, user="ann")
    child = memory.add("child", parent=top.id, created=5.0, expires=9e12)
    memory.update(child.id, "child, changed")
    memory.add("with a vector", vector=np.eye(64)[5])
    memory.delete(memory.add("deleted").id)
    return shown(memory)


def shown(memory: Memory) -> dict[str, dict[str, object]]:
    out = {}
    for fragment in memory.list():
        value = fragment.to_dict()
        value.pop("seq")
        value.pop("position")
        out[fragment.id] = value
    return out


@pytest.mark.parametrize("format", ["jsonl", "archive"])
def test_an_export_imported_elsewhere_shows_the_same(open_memory: Open, tmp_path: Path, format: str) -> None:
    """Ids, versions, times, metadata, order and given vectors arrive; importing again changes nothing."""
    source = open_memory("source")
    before = filled(source)
    source.export(tmp_path / "out", format=format)
    target = open_memory("target")
    target.import_(tmp_path / "out")
    assert shown(target) == before
    assert [item.text for item in target.children()] == [item.text for item in source.children()]
    assert target.search(vector=np.eye(64)[5], mode="vector", limit=1)[0].text == "with a vector"
    again = target.import_(tmp_path / "out")
    assert again["imported"] == 0 and shown(target) == before


def test_an_archive_keeps_every_version_and_every_deletion(open_memory: Open, tmp_path: Path) -> None:
    """History arrives whole, and what was deleted at the source is deleted here too."""
    source, target = open_memory("source"), open_memory("target")
    kept = source.add("one")
    source.export(tmp_path / "first", format="archive")
    target.import_(tmp_path / "first")
    source.update(kept.id, "two")
    gone = source.add("gone")
    source.delete(gone.id)
    source.export(tmp_path / "second", format="archive")
    target.import_(tmp_path / "second")
    assert [version.text for version in target.history(kept.id)] == ["one", "two"]
    assert target.history(gone.id)[-1].deleted
    source.delete(kept.id)
    source.export(tmp_path / "third", format="archive")
    target.import_(tmp_path / "third")
    assert target.count() == 0
    target.import_(tmp_path / "first")
    assert target.count() == 0, "a deleted text never comes back"


def test_a_damaged_export_is_named_and_keeps_what_was_read(open_memory: Open, tmp_path: Path) -> None:
    """The line with the damage is named; what stands before it is imported."""
    source = open_memory("source")
    source.add_many(["one", "two", "three"])
    source.export(tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    (tmp_path / "out.jsonl").write_text("\n".join([*lines[:3], lines[3].replace("three", "tree")]))
    target = open_memory("target")
    with pytest.raises(ArchiveDamaged, match="digest"):
        target.import_(tmp_path / "out.jsonl")
    assert [item.text for item in target.list()] == ["one", "two"]
    (tmp_path / "junk").write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(ArchiveDamaged, match="Line 1"):
        target.import_(tmp_path / "junk")
    with pytest.raises(InvalidInput):
        target.import_(tmp_path / "nowhere")


def test_an_export_never_overwrites(open_memory: Open, tmp_path: Path) -> None:
    """An existing file is left alone."""
    memory = open_memory()
    (tmp_path / "there").write_text("mine")
    with pytest.raises(MemoryExists):
        memory.export(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(InvalidInput):
        memory.export(tmp_path / "new", format="zip")


def test_a_snapshot_taken_while_writing_goes_on_is_a_whole_memory(open_memory: Open, tmp_path: Path) -> None:
    """The copy opens, holds everything from before it began, and nothing torn."""
    memory = open_memory(settings=Settings(segment_bytes=8192))
    before = {fragment.id for fragment in memory.add_many([f"early {n}" for n in range(50)])}
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            memory.add(f"late {n}")
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = memory.snapshot(tmp_path / "copy")
    finally:
        stop.set()
        writer.join()
    assert counts["segments"] > 0 and counts["damaged"] == 0
    copy = open_memory("copy")
    texts = {fragment.id: fragment.text for fragment in copy.list(limit=1000)}
    assert before <= set(texts) and all(text for text in texts.values())
    assert not [finding for finding in copy.doctor() if finding["level"] == "error"]
    with pytest.raises(MemoryExists):
        memory.snapshot(tmp_path / "copy")


def test_a_snapshot_holds_what_only_parity_still_gives(open_memory: Open, tmp_path: Path) -> None:
    """Files of the source are lost or damaged: the copy is whole all the same, and so is an archive."""
    memory = open_memory()
    texts = {each.id: each.text for each in memory.add_many([f"kept {n}" for n in range(40)])}
    memory.compact(linger_s=0.0)
    segments = sorted((tmp_path / "memory" / "segments").glob("c*"))
    segments[0].unlink()
    rotten = bytearray(segments[1].read_bytes())
    rotten[150] ^= 1
    segments[1].write_bytes(rotten)
    counts = memory.snapshot(tmp_path / "copy")
    assert counts["damaged"] == 0
    assert memory.export(tmp_path / "archive", format="archive")["damaged"] == 0
    assert {each.id: each.text for each in open_memory("copy").list()} == texts
    target = open_memory("target")
    assert target.import_(tmp_path / "archive")["imported"] == len(texts)
    assert {each.id: each.text for each in target.list()} == texts


def test_a_damaged_archive_is_named_wherever_it_is_damaged(open_memory: Open, tmp_path: Path) -> None:
    """A bit of an entry's head, an entry that is cut: never a silent end in the middle."""
    source = open_memory("source", settings=Settings(segment_bytes=4096))
    texts = [source.add(f"text {n} " + "x" * 300).text for n in range(60)]
    source.export(tmp_path / "whole", format="archive")
    whole = (tmp_path / "whole").read_bytes()
    with tarfile.open(tmp_path / "whole") as archive:
        heads = [member.offset for member in archive if member.isreg()]
        ends = [member.offset_data + member.size // 2 for member in archive if member.size > 100]
    assert len(heads) > 5
    target = open_memory("target")
    wrong = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (head + 130 for head in heads)]
    for number, data in enumerate([*wrong, *(whole[:end] for end in ends), whole[:-10_240]]):
        (tmp_path / "wrong").write_bytes(data)
        with pytest.raises(ArchiveDamaged):
            target.import_(tmp_path / "wrong")
        assert target.count() == 0, number
    target.import_(tmp_path / "whole")
    assert sorted(each.text for each in target.list(limit=100)) == sorted(texts)


def test_compaction_drops_the_dead_and_keeps_the_rest(open_memory: Open, settings: Settings) -> None:
    """Disk space comes back; every live text, its history within the policy and every deletion stay."""
    memory = open_memory(settings=settings)
    made = memory.add_many([f"text {n} " + "x" * 500 for n in range(100)])
    for fragment in made[:90]:
        memory.delete(fragment.id)
    kept = made[95]
    memory.update(kept.id, "changed")
    before = memory.stats()["bytes"]["segments"]
    counts = memory.compact(linger_s=0.0)
    assert counts["dropped"] >= 60 and counts["files_removed"] > 0
    assert memory.stats()["bytes"]["segments"] < before / 2
    assert memory.stats()["gaps"] == 0
    memory.close()
    again = open_memory(settings=settings)
    assert {fragment.id for fragment in again.list()} == {fragment.id for fragment in made[90:]}
    assert [version.version for version in again.history(kept.id)] == [1, 2]
    assert again.history(made[0].id)[-1].deleted
    assert not [finding for finding in again.doctor() if finding["level"] == "error"]


def test_readers_go_on_while_compaction_replaces_what_they_read(
    open_memory: Open, settings: Settings
) -> None:
    """Another open memory still reads every text after a compaction has moved it and removed the old file."""
    writer, reader = open_memory(settings=settings), open_memory(settings=settings)
    made = writer.add_many([f"text {n} " + "y" * 500 for n in range(60)])
    assert reader.get(made[50].id).text == made[50].text
    reader.search("text 50", mode="words")
    for fragment in made[:40]:
        writer.delete(fragment.id)
    writer.compact(linger_s=0.0)
    for fragment in made[40:]:
        assert reader.get(fragment.id).text == fragment.text
    assert reader.count() == 20
    assert all(hit.state == "intact" for hit in reader.search("text", limit=50))


def test_purge_leaves_no_trace_of_the_text_in_any_file(
    open_memory: Open, settings: Settings, tmp_path: Path
) -> None:
    """After it no byte sequence of the text is found in any file of the memory."""
    memory = open_memory(settings=settings)
    memory.add_many([f"harmless {n}" for n in range(20)])
    secret = memory.add("xylophonic quetzalcoatl", metadata={"name": "zanzibarian"}, user="ann")
    memory.update(secret.id, "xylophonic quetzalcoatl again")
    memory.flush()
    memory.search("quetzalcoatl")
    memory.delete(secret.id, purge=True)
    memory.close()
    for path in (tmp_path / "memory").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for word in (b"xylophon", b"quetzalcoatl", b"zanzibarian"):
                assert word not in data, f"{word!r} is still in {path.name}"
    assert open_memory(settings=settings).count() == 20


def test_the_json_lines_are_plain_json_with_documented_names(open_memory: Open, tmp_path: Path) -> None:
    """Other programs can read an export line by line."""
    memory = open_memory()
    memory.add("text", metadata={"k": "v"})
    memory.export(tmp_path / "out.jsonl")
    head, line = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert head["carma_export"] == 1 and line["text"] == "text" and line["metadata"] == {"k": "v"}


def test_a_missing_memory_is_not_made_where_none_was_asked_for(open_memory: Open) -> None:
    """`create=False` and `read_only` never make a folder."""
    with pytest.raises(MemoryNotFound):
        open_memory("nowhere", create=False)
    with pytest.raises(MemoryNotFound):
        open_memory("nowhere", read_only=True)


def test_a_read_only_memory_reads_searches_and_refuses_to_write(open_memory: Open) -> None:
    """Nothing below the folder changes, and what others write meanwhile is seen."""
    writer = open_memory()
    writer.add("the walrus and the carpenter")
    writer.flush()
    reader = open_memory(read_only=True)
    assert reader.search("walrus")[0].text == "the walrus and the carpenter"
    with pytest.raises(ReadOnlyMemory):
        reader.add("no")
    added = writer.add("of cabbages and kings")
    assert reader.get(added.id).text == "of cabbages and kings"
    assert reader.search("cabbages", mode="words")[0].id == added.id
