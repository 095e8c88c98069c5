"""The audit trail as a whole: from a change in a memory to a proof that somebody else can check."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from carma import Memory
from carma.access.audit.counts import Counts
from carma.access.audit.events import Events
from carma.access.audit.leaves import leaf_for_block, leaf_for_denial
from carma.access.audit.trail import AuditTrail, published_keys
from carma.access.audit.verify import verify_log
from carma.access.journal import Journal
from carma.errors import AuditUnavailable, KekMissing
from carma.memory.act_source import ActSource
from carma.models import Act
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk
from carma.testing.faults import Refuse

from .making import leaf

ALICE = Act(account="alice@example.com", operation="fragments.add", key="carma_alicekey", request_id="req-7")
TEXT = "The spare key hangs behind the blue door."


def leaves(trail: AuditTrail) -> list[dict[str, object]]:
    return [json.loads(entry) for _, entry in trail.log.reader().entries()]


def audited(tmp_path: Path, memory: Memory) -> AuditTrail:
    trail = AuditTrail(tmp_path / "audit")
    trail.follow(ActSource(memory, "alice@example.com", trail.key_of))
    return trail


def test_what_is_done_in_a_memory_is_in_the_log_once(tmp_path: Path) -> None:
    """Changes and dreams, copied once, also when the trail and the memory were opened again."""
    for _ in range(2):
        with Memory.open(tmp_path / "memory", embedder="hash") as memory, audited(tmp_path, memory) as trail:
            with memory.acting(ALICE):
                memory.add(TEXT)
            assert trail.sequence() == 1 and trail.sequence() == 0
    with AuditTrail(tmp_path / "audit") as trail:
        found = leaves(trail)
        owner = trail.key_of("alice@example.com")
        assert owner is not None
        assert [each["owner"] for each in found] == [owner.owner("alice@example.com")] * 2
        assert trail.log.reader().size == 2


def test_no_file_of_the_log_holds_text_names_or_keys(tmp_path: Path) -> None:
    """What others may read says nothing of the text, the account, the key, the request or the fragment."""
    with Memory.open(tmp_path / "memory", embedder="hash") as memory, audited(tmp_path, memory) as trail:
        with memory.acting(ALICE):
            fragment = memory.add(TEXT, metadata={"colour": "ultramarine"})
        trail.note(
            leaf_for_denial(
                trail.new_event(), trail.now_ms(), "fragments.add", trail.operator, "mallory",
                fingerprint="carma_mallory", reason="permission",
            )
        )  # fmt: skip
        trail.sequence()
        secret = trail.log.signer._classic.private_bytes_raw()
    hidden = [
        "spare", "hangs", "behind", "blue door", "ultramarine", "alice", "example.com", "carma_alicekey",
        "req-7", fragment.id, "mallory",
    ]  # fmt: skip
    for path in (tmp_path / "audit" / "log").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [each for each in hidden if each.encode() in data], path
        assert secret not in data


def test_a_memory_put_back_from_a_snapshot_brings_nothing_twice(tmp_path: Path) -> None:
    """An older copy in the memory's place: its old acts are known, its new ones are copied."""
    path = tmp_path / "memory"
    with Memory.open(path, embedder="hash") as memory, memory.acting(ALICE):
        memory.add("one")
    shutil.copytree(path, tmp_path / "backup")
    with Memory.open(path) as memory, audited(tmp_path, memory) as trail:
        with memory.acting(ALICE):
            memory.add_many(["two", "three"])
        assert trail.sequence() == 2
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "backup", path)
    with Memory.open(path) as memory, audited(tmp_path, memory) as trail:
        for number in range(3):
            with memory.acting(ALICE):
                memory.add(f"another {number}")
        assert trail.sequence() == 3
        events = [each["event"] for each in leaves(trail)]
        assert len(events) == len(set(events)) == 5


def test_acts_wait_in_the_memory_until_they_are_copied(tmp_path: Path) -> None:
    """A rest without the log's disk loses none; a memory that is lost takes only what was not copied."""
    with Memory.open(tmp_path / "memory", embedder="hash") as memory:
        for number in range(300):
            with memory.acting(ALICE):
                memory.add(f"number {number}")
        memory.rest()
        with audited(tmp_path, memory) as trail:
            assert trail.sequence() == 300
        memory.rest()
        memory.compact()
        assert len(list(memory.acts())) == 1
        with memory.acting(ALICE):
            memory.add("one more")
        with audited(tmp_path, memory) as trail:
            assert trail.sequence() == 1


def test_a_shredded_owner_is_not_told_and_not_missing(tmp_path: Path) -> None:
    """Acts that waited when the owner's audit key was destroyed: leaves without anything of theirs."""
    with Memory.open(tmp_path / "memory", embedder="hash") as memory, audited(tmp_path, memory) as trail:
        with memory.acting(ALICE):
            memory.add(TEXT)
            trail.sequence()
            memory.add(TEXT)
        trail.keys.shred("alice@example.com")
        assert trail.sequence() == 1
        told, withheld = leaves(trail)
        assert "owner" in told and "owner" not in withheld and withheld["withheld"] == "shredded"
        assert trail.key_of("alice@example.com") is None


# The queue and the counts


def test_events_wait_in_four_copies_until_they_are_copied() -> None:
    """They outlive the process, are copied once, and leave when there are enough of them."""
    disk = SimulatedDisk()
    clock = SimulatedClock()
    for start in (0, 1_500):
        queue = Events(Journal(disk, "/events", clock=clock))
        queue.add([leaf(number) for number in range(start, start + 1_500)])
    waiting = list(Events(Journal(disk, "/events", clock=clock)).waiting(0))
    assert [int(each.leaf.event, 16) for each in waiting] == list(range(3_000))
    queue.copied(waiting[-1].position)
    again = Events(Journal(disk, "/events", clock=clock))
    assert [each.position for each in again.waiting(0)] == [waiting[-1].position]
    again.add([leaf(9_000)])
    assert [each.position for each in queue.waiting(waiting[-1].position)] == [waiting[-1].position + 1]


def test_an_event_that_cannot_be_stored_is_audit_unavailable() -> None:
    """A full queue, or a disk that refuses: whoever asked must not go on."""
    disk = SimulatedDisk()
    queue = Events(Journal(disk, "/events", clock=SimulatedClock()), most_waiting=3)
    queue.add([leaf(1), leaf(2)])
    with pytest.raises(AuditUnavailable, match="wait"):
        queue.add([leaf(3), leaf(4)])
    disk.faults = [Refuse(disk.calls + 1, "full", calls=1_000)]
    with pytest.raises(AuditUnavailable, match="cannot be stored"):
        queue.add([leaf(3)])
    disk.faults = []
    assert len(list(queue.waiting(0))) == 2


def test_reads_and_forgeries_are_counted_by_the_minute(tmp_path: Path) -> None:
    """One leaf for each owner and minute, one for all forgeries; fifty thousand of them are one number."""
    clock = SimulatedClock(1_750_000_020.0)
    trail = AuditTrail(tmp_path / "audit", clock=clock, entropy=SeededEntropy(3))
    for _ in range(50_000):
        trail.counts.forgery()
    for account in ("alice", "bob", "alice"):
        trail.counts.read(account)
    assert trail.sequence() == 0
    clock.advance(60)
    trail.counts.read("alice")
    assert trail.sequence() == 3
    trail.close()
    with AuditTrail(tmp_path / "audit", clock=clock) as trail:
        trail.sequence()
        found = leaves(trail)
        alice = trail.key_of("alice")
    assert alice is not None
    assert [(each["kind"], each["count"]) for each in found] == [
        ("reads", 2), ("reads", 1), ("forgeries", 50_000), ("reads", 1),
    ]  # fmt: skip
    assert [each.get("owner") == alice.owner("alice") for each in found] == [True, False, False, True]


def test_more_owners_than_the_bound_are_counted_together() -> None:
    """Counting stays bounded whoever asks."""
    clock = SimulatedClock()
    counts = Counts(lambda account: None, clock, SeededEntropy(1), most_owners=100)
    for number in range(110):
        counts.read(f"owner {number}")
        counts.read("owner 5")
    made = counts.leaves(all=True)
    assert len(made) == 101 and sum(each.numbers["count"] for each in made) == 220


# Keys and places


class Wrapping:
    """A key-encryption key that only turns bytes around. For tests of who calls it."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        return b"wrapped" + secret[::-1]

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        assert wrapped.startswith(b"wrapped")
        return wrapped[7:][::-1]


def test_the_signing_keys_are_wrapped_where_there_is_a_key_for_it(tmp_path: Path) -> None:
    """With one, nobody opens them without it, and no file holds them; without one they stay as they are."""
    with AuditTrail(tmp_path / "a", kek=Wrapping(), name="example.com/mine") as trail:
        secret = trail.log.signer._classic.private_bytes_raw()
        trail.note(leaf(1))
        trail.sequence()
    assert trail.log.signer.name == "example.com/mine"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    with pytest.raises(KekMissing):
        AuditTrail(tmp_path / "a")
    with AuditTrail(tmp_path / "a", kek=Wrapping()) as trail:
        assert trail.log.size == 1
    with AuditTrail(tmp_path / "b") as plain:
        name = plain.log.signer.name
    with AuditTrail(tmp_path / "b", kek=Wrapping()) as plain:
        assert plain.log.signer.name == name


def test_blocks_are_leaves_that_name_no_network() -> None:
    """Scope, reason and end are told; the network only as a tag of the operator's key."""
    disk = SimulatedDisk()
    trail = AuditTrail("/audit", disk=disk, clock=SimulatedClock(), entropy=SeededEntropy(4))
    block = leaf_for_block(
        trail.new_event(), trail.now_ms(), "blocks.set", trail.operator, scope="source",
        subject="203.0.113.7/32", reason="forgeries", until_ms=trail.now_ms() + 60_000,
    )  # fmt: skip
    trail.note(block)
    trail.sequence()
    assert leaves(trail)[0]["subject"] == trail.operator.tag("subject", "203.0.113.7/32")
    keys = published_keys(disk, "/audit/log")
    assert verify_log(disk, "/audit/log", keys).sound


def test_an_audit_log_that_cannot_be_opened_is_audit_unavailable() -> None:
    """A disk that refuses everything."""
    disk = SimulatedDisk()
    disk.read_only = True
    with pytest.raises(AuditUnavailable):
        AuditTrail("/audit", disk=disk, clock=SimulatedClock(), entropy=SeededEntropy(4))
