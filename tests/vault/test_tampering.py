"""Somebody with the files but not the key changes them, with every open digest made to fit: it is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from blake3 import blake3

from carma import Memory
from carma.errors import FragmentNotFound
from carma.ports.disk import LocalDisk
from carma.store.record import HEADER_BYTES, NO_DIGEST, RecordKind, encode_header
from carma.store.repair import record_bytes
from carma.store.scan import Intact, merge_copies
from carma.store.segments import COPIES, PARITY, Segments, is_log
from carma.testing import StandInCipher

from .conftest import Open


class Files:
    """The files of a closed memory, as somebody sees them who has no key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments = Segments(LocalDisk(), str(folder))

    def records(self, id: str) -> list[Intact]:
        """The records of a fragment, oldest version first, each once."""
        found: dict[int, Intact] = {}
        for number in self.segments.numbers():
            for item in merge_copies(*self.segments.both(number), number):
                if isinstance(item, Intact) and item.header.id.hex() == id:
                    found[item.header.seq] = item
        return [found[seq] for seq in sorted(found)]

    def put(self, at: Intact, payload: bytes, **header: int) -> None:
        """Write another payload in the place of a record, of the same length, under a header that fits."""
        h = at.header._replace(**header)
        assert len(payload) == h.length
        made = encode_header(
            h.kind, h.version, h.seq, h.time_ms, h.id, h.segment, h.offset, payload, h.text_digest, h.flags
        )
        for copy in COPIES if is_log(h.segment) else COPIES[:1]:
            path = Path(self.segments.path(copy, h.segment))
            data = bytearray(path.read_bytes())
            data[h.offset : h.offset + HEADER_BYTES + h.length] = made + payload
            path.write_bytes(data)

    def without_index(self) -> None:
        """The registry would know better."""
        shutil.rmtree(self.folder / "index")

    def without_parity(self) -> None:
        for path in (self.folder / "parity").iterdir():
            path.unlink()


TEXTS = [f"text number {number:02d}" for number in range(24)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "memory")


def same_state(memory: Memory, texts: dict[str, str]) -> set[str]:
    """Every text is the true one or a blank; the ids of those that are blank."""
    blank = set()
    for id, text in texts.items():
        fragment = memory.get(id)
        assert fragment.text == text or (fragment.state == "blank" and not fragment.text)
        if fragment.state == "blank":
            blank.add(id)
    return blank


@pytest.mark.parametrize("at_rest", [True, False])
def test_two_payloads_that_changed_places_are_noticed(open_memory: Open, files: Files, at_rest: bool) -> None:
    """Each is sealed for its own header: neither text is shown under the other's id."""
    memory = open_memory()
    texts = {memory.add(text).id: text for text in TEXTS}
    if at_rest:
        memory.close()
    else:
        shutil.copytree(files.folder, files.folder.with_name("tail"))
        files = Files(files.folder.with_name("tail"))
    first, second = list(texts)[:2]
    (one,), (other,) = files.records(first), files.records(second)
    files.put(one, other.payload)
    files.put(other, one.payload)
    files.without_index()
    with open_memory(files.folder.name) as memory:
        # At rest parity still gives the true ones.
        assert same_state(memory, texts) == (set() if at_rest else {first, second})
        report = memory.scan(deep=True)
        assert {each.id for each in report.findings if each.id} >= {first, second}
        assert report.damaged >= 2
        if at_rest:
            memory.dream(in_process=True)
            assert memory.scan(deep=True).healthy
            assert {memory.get(id).state for id in texts} == {"intact"}


def changed_twice(memory: Memory) -> tuple[list[str], str]:
    """A memory at rest in which one fragment has three versions; all ids, and that one's."""
    ids = [memory.add(text).id for text in TEXTS]
    memory.update(ids[3], "text number 98")
    memory.update(ids[3], "text number 99")
    memory.compact(linger_s=0)
    memory.close()
    return ids, ids[3]


def test_an_older_version_in_the_place_of_the_newest_is_noticed(open_memory: Open, files: Files) -> None:
    """Rolled back under the new header, and with a header of its own: it is never shown as the newest."""
    _, id = changed_twice(open_memory())
    _, old, new = files.records(id)
    assert (old.header.version, new.header.version) == (2, 3)
    keep = files.folder.with_name("kept")
    shutil.copytree(files.folder, keep)
    # The old record under the new one's place, number and version, and under the place alone.
    own = {"seq": old.header.seq, "version": 2, "time_ms": old.header.time_ms}
    for header in ({}, own):
        shutil.rmtree(files.folder)
        shutil.copytree(keep, files.folder)
        files.put(new, old.payload, **header)
        files.without_index()
        with open_memory() as memory:
            # The manifest names version 3, and parity still has it.
            assert (memory.get(id).text, memory.get(id).version) == ("text number 99", 3)
            assert not memory.scan(deep=True).healthy
    with open_memory() as memory:
        memory.dream(in_process=True)
        assert memory.scan(deep=True).healthy and memory.get(id).state == "intact"


def test_a_rolled_back_record_without_any_parity_is_a_blank(open_memory: Open, files: Files) -> None:
    """Where nothing gives the newest version back, the older one is still not shown for it."""
    ids, id = changed_twice(open_memory())
    _, old, new = files.records(id)
    files.put(new, old.payload)
    files.without_parity()
    files.without_index()
    with open_memory() as memory:
        assert memory.get(id).state == "blank"
        assert {memory.get(each).text for each in ids if each != id} == set(TEXTS) - {TEXTS[3]}


def test_a_forged_deletion_is_not_believed(open_memory: Open, files: Files) -> None:
    """Tombstones are sealed, though they say nothing: what a false one ends is a blank, and it is found."""
    memory = open_memory()
    id = memory.add("still wanted").id
    folder = files.folder.with_name("tail")
    shutil.copytree(files.folder, folder)
    segments = Segments(LocalDisk(), str(folder))
    number = segments.numbers()[-1]
    end = segments.size(number)
    forged = encode_header(RecordKind.TOMBSTONE, 2, 999, 1, bytes.fromhex(id), number, end, b"", NO_DIGEST, 1)
    for copy in COPIES:
        with open(segments.path(copy, number), "ab") as file:
            file.write(forged)
    for keep_index in (True, False):
        if not keep_index:
            Files(folder).without_index()
        with open_memory(folder.name) as other:
            assert other.get(id).state == "blank"
            assert other.count() == 1
            assert other.history(id)[0].text == "still wanted"
            assert not other.scan(deep=True).healthy


def test_a_manifest_is_not_written_by_somebody_else(open_memory: Open, files: Files) -> None:
    """Its open part is bound to its seal: with another length or number in it, it is no manifest."""
    with open_memory() as memory:
        texts = {memory.add(text).id: text for text in TEXTS}
    changed = 0
    for number in files.segments.columns():
        data = files.segments.read_all("segments", number) or b""
        for item in merge_copies(data, bytes, len(data), number):
            if isinstance(item, Intact) and item.header.kind == RecordKind.MANIFEST:
                # The digest of the first segment, so that the file itself would pass.
                digest = blake3(files.segments.read_all("segments", item.header.segment) or b"").digest(8)
                at = item.payload.find(b"\xa1s")
                payload = bytearray(item.payload)
                payload[at - 20] ^= 1
                files.put(item, bytes(payload))
                changed += len(digest) > 0
    assert changed == 4 and files.segments.columns()[0] >= PARITY
    files.without_index()
    with open_memory() as memory:
        assert same_state(memory, texts) == set()
        assert not memory.scan(deep=True).healthy


def test_records_of_another_memory_of_the_same_owner_are_not_taken(open_memory: Open, files: Files) -> None:
    """A seal names its memory."""
    ids = {}
    for name in ("memory", "other"):
        with open_memory(name) as memory:
            ids[name] = [memory.add(text).id for text in TEXTS]
            memory.compact(linger_s=0)
    other = Files(files.folder.with_name("other"))
    (mine,), (theirs,) = files.records(ids["memory"][0]), other.records(ids["other"][0])
    files.put(mine, theirs.payload)
    files.without_parity()
    files.without_index()
    with open_memory() as memory:
        assert memory.get(ids["memory"][0]).state == "blank"


def test_a_deletion_stays_a_deletion_when_its_record_is_replayed_elsewhere(
    open_memory: Open, files: Files
) -> None:
    """A true tombstone of one fragment does not end another one."""
    with open_memory() as memory:
        kept, gone = memory.add("kept").id, memory.add("gone").id
        memory.delete(gone)
    tombstone = files.records(gone)[-1]
    (record,) = files.records(kept)
    assert tombstone.header.kind == RecordKind.TOMBSTONE
    assert len(record_bytes(tombstone)) == HEADER_BYTES + StandInCipher.overhead
    h = record.header
    path = Path(files.segments.path("segments", h.segment))
    data = path.read_bytes()
    forged = encode_header(
        RecordKind.TOMBSTONE, 2, tombstone.header.seq, tombstone.header.time_ms, h.id, h.segment, len(data),
        tombstone.payload,
    )  # fmt: skip
    path.write_bytes(data + forged + tombstone.payload)
    files.without_index()
    with open_memory() as memory:
        assert memory.get(kept).text == "kept"
        assert not memory.scan(deep=True).healthy
        with pytest.raises(FragmentNotFound):
            memory.get(gone)
