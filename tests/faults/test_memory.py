"""The same promises through `Memory`: what a caller was told is there after any crash, and damage is a
blank.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from carma import Memory
from carma.config import Settings
from carma.errors import FormatTooNew, FragmentNotFound, NetworkFileSystem, StorageError
from carma.ports.netfs import refuse_network_file_system
from carma.store.identity import MEMORY_FORMAT, Identity, write_identity
from carma.testing import HashEmbedder, Refuse, SeededEntropy, SimulatedClock, SimulatedDisk

from .snapshots import left_before

SHARDS = 4
KILLED_EVERY = 3
"""Power is lost at every call of the disk port; that a process dies, which leaves more, is sampled, and so
are refusals."""

Told = dict[str, set[str | None]]
"""For each id the texts that a reader may get; None for a deletion."""


def open_on(disk: SimulatedDisk, clock: SimulatedClock | None = None) -> Memory:
    return Memory.open(
        "/memory", embedder=HashEmbedder(8), settings=Settings(segment_bytes=3_000), disk=disk,
        clock=clock or SimulatedClock(), entropy=SeededEntropy(disk.calls),
    )  # fmt: skip


def work(memory: Memory, told: Told, clock: SimulatedClock) -> None:
    """Add, update, delete, compact and sweep."""
    root = memory.add("a folder", kind="folder").id
    told[root] = {"a folder"}
    ids = []
    for number in range(6):
        ids.append(memory.add(f"turn {number} " * 30, parent=root, metadata={"number": number}).id)
        told[ids[-1]] = {f"turn {number} " * 30}
    for fragment in memory.add_many([f"one of many {number}" for number in range(4)], user="u"):
        told[fragment.id] = {fragment.text}
    for id in ids[:3]:
        told[id].add("changed")
        memory.update(id, "changed")
        told[id] = {"changed"}
    told[ids[4]].add(None)
    memory.delete(ids[4])
    told[ids[4]] = {None}
    memory.compact()
    clock.advance(601)
    memory.rest()
    memory.search("turn 1", limit=3)
    told[ids[5]].add("the last")
    memory.update(ids[5], "the last")
    told[ids[5]] = {"the last"}
    memory.close()


def calls() -> int:
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    work(open_on(disk, clock), {}, clock)
    return disk.calls


CALLS = calls()


def check(disk: SimulatedDisk, told: Told) -> None:
    memory = open_on(disk)
    for id, texts in told.items():
        try:
            found: str | None = memory.get(id).text
        except FragmentNotFound:
            found = None
        assert found in texts
    listed = {fragment.id for fragment in memory.list(limit=100)}
    assert {id for id, texts in told.items() if None not in texts} <= listed
    hits = memory.search("folder", mode="words")
    assert [hit.text for hit in hits if hit.text == "a folder"] or not told
    memory.close()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_a_caller_was_told_outlives_a_crash_at_any_call(shard: int) -> None:
    """Killed, or without power, at each call of the disk port."""
    places = range(1 + shard, CALLS + 1, SHARDS)
    found = left_before(places, Told(), lambda disk, told, clock: work(open_on(disk, clock), told, clock))
    assert [at for at, _, _ in found] == list(places)
    for at, disk, told in found:
        check(disk.power_loss(at), told)
        if at // SHARDS % KILLED_EVERY == 0:
            check(disk, told)


@pytest.mark.parametrize("reason", ["io", "full"])
def test_a_disk_that_refuses_gives_typed_errors_through_memory(reason: str) -> None:
    """Any call refused: a CarmaError or none at all, and everything told is there."""
    for at in range(2, CALLS + 1, 3 * SHARDS):
        clock, told = SimulatedClock(), Told()
        disk = SimulatedDisk([Refuse(at, reason)], clock=clock)  # type: ignore[arg-type]
        with suppress(StorageError):
            work(open_on(disk, clock), told, clock)
        disk.restart()
        check(disk, told)


@pytest.mark.parametrize("where", ["tail", "spread", "spread that nothing names"])
def test_a_record_that_rotted_with_its_redundancy_is_a_blank_to_a_caller(where: str) -> None:
    """`get` and `list` give the placeholder with its reason; the others are intact; a new text ends it.

    The redundancy of the tail is its mirror, that of a record at rest its stripe's shards and its short copy.
    """
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    memory = open_on(disk, clock)
    kept, lost = (memory.add(text).id for text in ("kept", "something that rots"))
    if where != "tail":
        memory.close()
        clock.advance(601)
        memory = open_on(disk, clock)
        memory.compact(linger_s=0)
        memory.close()
        for path in [path for path in disk.paths() if "/parity/" in path]:
            # A file of two records has one shard, at its end; the first ends with it.
            disk.put(path, disk.contents(path)[:-1]) if path.endswith("-0.par") else disk.remove(path)
        if where == "spread that nothing names":
            disk.remove("/memory/parity")
    rotten = [path for path in disk.paths() if b"that rots" in disk.contents(path)]
    assert len(rotten) == (2 if where == "tail" else 1)
    for path in rotten:
        disk.put(path, disk.contents(path).replace(b"that rots", b"that rotz"))
    disk.restart()
    memory = open_on(disk)
    assert memory.get(kept).text == "kept"
    blank = memory.get(lost)
    assert (blank.state, blank.text) == ("blank", "")
    assert blank.blank is not None
    assert blank.blank.reason == "bad digest"
    assert {fragment.state for fragment in memory.list()} == {"intact", "blank"}
    memory.update(lost, "written again")
    assert memory.get(lost).text == "written again"
    memory.close()


def test_a_newer_format_is_refused_and_not_touched() -> None:
    """FormatTooNew, whether memory.json can be proven or only says so."""
    for damaged in (False, True):
        disk = SimulatedDisk()
        disk.mkdir("/memory")
        write_identity(disk, "/memory", Identity("00" * 16, 0.0, format=MEMORY_FORMAT + 1))
        if damaged:
            path = "/memory/memory.json"
            disk.put(path, disk.contents(path).replace(b'"digest": "', b'"digest": "new '))
        before = disk.contents("/memory/memory.json")
        with pytest.raises(FormatTooNew):
            open_on(disk)
        assert disk.paths() == ["/memory/memory.json"]
        assert disk.contents("/memory/memory.json") == before


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: object, kind: str) -> None:
    """By the mount table; a local one, or a table that cannot be read, is not."""
    table = f"{tmp_path}/mountinfo"
    with open(table, "w", encoding="utf-8") as file:
        file.write("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        file.write(f"30 21 0:40 / {tmp_path}/far rw - {kind} server:/x rw\n")
    with pytest.raises(NetworkFileSystem):
        refuse_network_file_system(f"{tmp_path}/far/memory", table)
    refuse_network_file_system(f"{tmp_path}/near/memory", table)
    refuse_network_file_system(f"{tmp_path}/far/memory", f"{tmp_path}/no-table")
