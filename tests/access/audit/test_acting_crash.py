"""A change and its note are in the same append: there is never one without the other."""

from __future__ import annotations

from contextlib import suppress

import pytest

from carma import Settings
from carma.memory.acting import Actor
from carma.memory.ids import IdMaker
from carma.models import Act
from carma.store.commit import View
from carma.store.entry import Draft
from carma.store.payload import Content, encode_content
from carma.store.record import RecordKind, text_digest
from carma.store.store import Store, open_store
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk
from carma.testing.faults import Crash, SimulatedCrash


def keyed(key: str) -> Act:
    return Act(account="alice", operation="fragments.add", idempotency_key=key, body_digest=b"a" * 32)


def draft(number: int) -> Draft:
    text = f"fragment {number} " + "word " * (300 if number % 3 == 0 else 3)
    content = Content(text)
    id = number.to_bytes(16, "big")
    return Draft(RecordKind.FRAGMENT, id, 1, encode_content(content), text_digest(text), content)


def opened(disk: SimulatedDisk) -> tuple[Store, Actor]:
    clock = SimulatedClock()
    store = open_store(disk, "/memory", Settings(segment_bytes=6_000), clock, SeededEntropy(1))
    return store, Actor(store, IdMaker(clock, SeededEntropy(2)))


def work(disk: SimulatedDisk, acknowledged: set[int]) -> None:
    """Write several fragments at a time on somebody's behalf."""
    store, actor = opened(disk)
    number = 0
    for count in (3, 1, 4, 2, 5):
        group = range(number + 1, number + count + 1)

        def prepare(view: View, group: range = group) -> list[Draft]:
            return [draft(each) for each in group]

        with actor.acting(keyed(f"key {number}")):
            actor.commit(prepare)
        acknowledged.update(group)
        number += count
    store.close()


def whole(disk: SimulatedDisk) -> set[int]:
    """The fragments that are there; each stands in exactly one note, and each note's are all there."""
    store, actor = opened(disk)
    store.settle()
    rows = store.registry.rows("SELECT id FROM fragments WHERE live")
    there = {int.from_bytes(row[0], "big") for row in rows}
    noted = [int(id, 16) for each in actor.acts(0) for id, _ in each.written]
    assert sorted(noted) == sorted(there)
    store.close()
    return there


@pytest.mark.parametrize("power", [False, True])
def test_a_change_and_its_note_stand_or_fall_together(power: bool) -> None:
    """After a crash or a power loss at any call: no change without its note, and no note without it."""
    disk = SimulatedDisk()
    work(disk, set())
    halves = 0
    for at in range(1, disk.calls + 1):
        acknowledged: set[int] = set()
        disk = SimulatedDisk([Crash(at, "middle")], seed=at)
        with suppress(SimulatedCrash):
            work(disk, acknowledged)
        if power:
            disk = disk.power_loss(at)
        disk.restart()
        there = whole(disk)
        assert acknowledged <= there, f"died at call {at}"
        halves += any("half" in path or path.endswith(".torn") for path in disk.paths())
    assert halves > 3


def test_a_follower_never_sees_half_a_change() -> None:
    """A process that looks on while another dies in the middle of a write: all of it, or nothing yet."""
    partial = 0
    for at in range(1, 120):
        disk = SimulatedDisk(seed=at)
        looking, actor = opened(disk)
        disk.faults = [Crash(disk.calls + at, "middle")]
        with suppress(SimulatedCrash):
            work(disk, set())
        disk.faults = []
        looking.refresh()
        looking.settle()
        number, offset = looking.cursor
        path = f"/memory/segments/{number:06d}.seg"
        partial += path in disk.paths() and offset < len(disk.contents(path))
        there = {row[0].hex() for row in looking.registry.rows("SELECT id FROM fragments WHERE live")}
        assert {id for each in actor.acts(0) for id, _ in each.written} == there
    assert partial > 3
