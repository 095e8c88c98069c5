"""Acting: each change is noted with the change and for whom, and a repeated request changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from carma import AsyncMemory, Memory, Settings
from carma.errors import AuditUnavailable, FragmentNotFound, InvalidInput, RequestRepeated
from carma.models import Act, Acted
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk

ALICE = Act(account="alice", operation="fragments.add", key="carma_alice", request_id="r1")


def keyed(key: str, body: bytes = b"a" * 32) -> Act:
    return Act(account="alice", operation="fragments.add", idempotency_key=key, body_digest=body)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory", embedder="hash") as opened:
        yield opened


def reopened(memory: Memory, *, without_index: bool = False, **settings: object) -> Memory:
    memory.close()
    if without_index:
        shutil.rmtree(Path(memory.path) / "index")
    return Memory.open(memory.path, settings=Settings(**settings))


def acts(memory: Memory, after: int = 0) -> list[Acted]:
    return list(memory.acts(after=after))


# What is noted


def test_each_change_is_noted_with_what_it_changed(memory: Memory) -> None:
    """Adding, updating and deleting: one note each, with ids, versions, account, key and request."""
    with memory.acting(ALICE):
        first, second = memory.add_many(["one", "two"])
        memory.update(first.id, "one more")
        memory.delete(second.id)
    assert [(each.written, each.ended) for each in acts(memory)] == [
        (((first.id, 1), (second.id, 1)), ()), (((first.id, 2),), ()), ((), ((second.id, 2),)),
    ]  # fmt: skip
    assert {(each.account, each.key, each.request_id) for each in acts(memory)} == {
        ("alice", "carma_alice", "r1")
    }
    assert len({each.event for each in acts(memory)}) == 3


def test_nothing_is_noted_where_nobody_acts(memory: Memory) -> None:
    """Outside of a block, of another memory's block, and for a change that was refused."""
    memory.add("nobody's")
    with memory.acting(ALICE), pytest.raises(FragmentNotFound):
        memory.delete("f" * 32)
    with Memory.open(Path(memory.path).parent / "other", embedder="hash") as other, memory.acting(ALICE):
        other.add("not for alice")
        assert acts(other) == []
    assert acts(memory) == []


def test_reads_are_not_changed_by_notes(memory: Memory) -> None:
    """Counts, lists and searches show fragments and no notes."""
    with memory.acting(ALICE):
        added = memory.add("the only one")
    assert memory.count() == 1 and [each.id for each in memory.list()] == [added.id]
    assert memory.scan(deep=True).healthy


def test_the_act_of_each_thread_is_its_own(memory: Memory) -> None:
    """Writers that share one append each get the note of their own act."""

    def write(name: str) -> None:
        with memory.acting(Act(account=name, operation="fragments.add")):
            for number in range(10):
                memory.add(f"{name} {number}")

    threads = [threading.Thread(target=write, args=(f"owner{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = acts(memory)
    assert len(found) == 80
    for each in found:
        assert memory.get(each.written[0][0]).text.startswith(f"{each.account} ")


def test_the_act_of_a_task_goes_along_to_its_thread(tmp_path: Path) -> None:
    """`AsyncMemory` runs verbs in a pool; each task's act is the one that was set around its call."""

    async def main() -> list[Acted]:
        async with await AsyncMemory.open(tmp_path / "memory", embedder="hash") as memory:

            async def one(name: str) -> None:
                with memory.acting(Act(account=name, operation="fragments.add", idempotency_key=name)):
                    await memory.add(name)

            await asyncio.gather(*(one(f"owner{number}") for number in range(8)))
            await memory.add("nobody's")
            assert (await memory.answered("owner3")) is not None
            return acts(memory.sync)

    found = asyncio.run(main())
    assert sorted(each.account or "" for each in found) == [f"owner{number}" for number in range(8)]


def test_a_change_of_many_writes_is_noted_in_parts(memory: Memory, tmp_path: Path) -> None:
    """Ingest: a note when it begins, one for each write, and the Idempotency-Key at the end, once."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nText of page {number}.\n")
    with memory.acting(keyed("k")):
        memory.ingest(folder)
        with pytest.raises(RequestRepeated):
            memory.ingest(folder)
    noted = {id for each in acts(memory) for id, _ in each.written}
    assert noted == {each.id for each in memory.list(limit=100)}
    assert memory.answered("k") is not None
    with memory.acting(ALICE):
        memory.export(tmp_path / "out.jsonl")
        memory.clear_breaker()
    assert acts(memory)[-1].written == ()


def test_dreams_are_acts_of_nobody(memory: Memory) -> None:
    """A cycle is there when it began and when it ended, with its counts, and with events of its own."""
    lost = memory.add("to be lost")
    memory.rest()
    with memory.acting(ALICE):
        memory.dream(in_process=True)
    found = [each for each in acts(memory) if each.kind == "dream"]
    assert found and found[-1].account is None and found[-1].operation.startswith("dream.")
    assert found[-1].counts["cycle"] == 1
    assert [each.operation for each in acts(memory) if each.kind == "change"] == ["fragments.add"]
    assert memory.get(lost.id).text == "to be lost"


# Idempotency


def test_a_repeated_request_is_answered_and_not_carried_out(memory: Memory) -> None:
    """Its ids and versions, in the order of the answer; the body's digest is there to compare."""
    with memory.acting(keyed("k1", b"b" * 32)):
        first = memory.add("hello")
    with memory.acting(keyed("k1")), pytest.raises(RequestRepeated) as repeated:
        memory.add("hello")
    answered = memory.answered("k1")
    assert answered is not None and repeated.value.answered == answered
    assert (answered.ids, answered.versions, answered.body_digest) == ((first.id,), (1,), b"b" * 32)
    assert memory.count() == 1 and memory.answered("k2") is None


def test_answers_are_in_the_order_of_the_items(memory: Memory) -> None:
    """What was there already, what came twice, and what was new: each in its place."""
    old = memory.add("old")
    texts = [
        {"text": "new", "dedupe": True},
        {"text": "old", "dedupe": True},
        {"text": "new", "dedupe": True},
    ]
    with memory.acting(keyed("k")):
        made = memory.add_many(texts)
    answered = memory.answered("k")
    assert answered is not None
    assert list(answered.ids) == [made[0].id, old.id, made[0].id] == [each.id for each in made]
    with memory.acting(keyed("gone")):
        memory.delete(old.id)
    assert memory.answered("gone").ids == (old.id,)


def test_an_answer_outlives_index_and_rest(memory: Memory) -> None:
    """Without the index, after a rest that spread everything, and after both."""
    with memory.acting(keyed("k1")):
        added = memory.add("kept")
    for without_index, rest in ((True, False), (False, True), (True, True)):
        if rest:
            memory.rest()
        memory = reopened(memory, without_index=without_index)
        assert memory.answered("k1").ids == (added.id,)
        assert [each.written for each in acts(memory)] == [((added.id, 1),)]
        with memory.acting(keyed("k1")), pytest.raises(RequestRepeated):
            memory.add("kept")
    memory.close()


def test_only_one_of_many_racing_requests_is_carried_out(memory: Memory) -> None:
    """Threads of two memories on one folder, all with one key: one change, the others are refused."""
    outcomes: list[str] = []

    def write(each: Memory) -> None:
        with each.acting(keyed("same")):
            try:
                each.add("once")
                outcomes.append("made")
            except RequestRepeated:
                outcomes.append("refused")

    with Memory.open(memory.path) as other:
        threads = [threading.Thread(target=write, args=((memory, other)[n % 2],)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("made") == 1 and len(outcomes) == 12
        assert memory.count() == other.count() == 1


def test_an_idempotency_key_expires() -> None:
    """After `idempotency_hours` the key is free again, and its note may go."""
    clock, disk = SimulatedClock(), SimulatedDisk()
    with Memory.open("/memory", disk=disk, clock=clock, entropy=SeededEntropy(), embedder="hash") as memory:
        with memory.acting(keyed("k")):
            memory.add("first")
        clock.advance(23 * 3_600)
        assert memory.answered("k") is not None
        clock.advance(2 * 3_600)
        assert memory.answered("k") is None
        with memory.acting(keyed("k")):
            memory.add("second")
        assert memory.count() == 2


@pytest.mark.parametrize("change", [
    {"account": ""}, {"account": "a" * 513}, {"operation": "Two Words"}, {"operation": ""},
    {"idempotency_key": ""}, {"idempotency_key": "k" * 513}, {"body_digest": b"short"}, {"key": "\ud800"},
])  # fmt: skip
def test_an_act_that_cannot_be_noted_is_refused(memory: Memory, change: dict[str, object]) -> None:
    """Before anything is written."""
    given = {"account": "alice", "operation": "fragments.add"}
    with pytest.raises(InvalidInput), memory.acting(Act(**{**given, **change})):
        memory.add("never")
    assert memory.count() == 0


# Keeping and forgetting


def test_rest_keeps_what_was_not_copied_and_forgets_the_rest() -> None:
    """Notes wait through rests; once copied they go, except the last, and keys that are still valid."""
    clock, disk = SimulatedClock(), SimulatedDisk()
    ports = {"disk": disk, "clock": clock, "entropy": SeededEntropy(), "embedder": "hash"}
    with Memory.open("/memory", **ports) as memory:
        for number in range(10):
            with memory.acting(keyed(f"k{number}") if number % 2 else ALICE):
                memory.add(f"number {number}")
        memory.rest()
        noted = [each.seq for each in acts(memory)]
        assert len(noted) == 10
        memory.acts_copied(noted[7])
        memory.rest()
        memory.compact()
        left = [each.seq for each in acts(memory)]
        assert left == [noted[1], noted[3], noted[5], noted[7], noted[8], noted[9]]
        clock.advance(25 * 3_600)
        memory.add("so that there is something to do")
        memory.rest()
        memory.compact()
        assert [each.seq for each in acts(memory)] == noted[7:]
    disk.remove("/memory/index")
    with Memory.open("/memory", **ports) as memory:
        assert [each.seq for each in acts(memory)] == noted[7:]
        assert memory.scan(deep=True).healthy and memory.count() == 11


def test_changes_stop_where_too_many_acts_wait(tmp_path: Path) -> None:
    """AuditUnavailable for who acts, and nothing is written; when they were copied it goes on."""
    settings = Settings(acts_waiting=5)
    with Memory.open(tmp_path / "memory", embedder="hash", settings=settings) as memory:
        with memory.acting(ALICE):
            for number in range(5):
                memory.add(f"number {number}")
            with pytest.raises(AuditUnavailable):
                memory.add("one too many")
            memory.acts_copied(acts(memory)[-1].seq)
            memory.add("on it goes")
        assert memory.count() == 6
