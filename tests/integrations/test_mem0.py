"""mem0's names over a memory: what its callers do works, and what went wrong there does not happen here."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carma.errors import InvalidInput, VersionConflict
from carma.integrations.mem0 import AsyncMemory, Memory
from carma.integrations.mem0_items import InvalidCall
from carma.memory import memory as carma_memory

from .losing import lose_all, opened

TALK = [
    {"role": "system", "content": "You are kind."},
    {"role": "user", "name": "ann", "content": "I drink green tea."},
    {"role": "assistant", "content": [{"type": "text", "text": "Noted: green tea."}, {"type": "image_url"}]},
]
NAMES = {
    "add": ["messages", "user_id", "agent_id", "run_id", "metadata", "expiration_date", "infer"],
    "search": ["query", "top_k", "filters", "threshold", "rerank", "explain"],
    "get_all": ["filters", "top_k"],
    "get": ["memory_id"],
    "update": ["memory_id", "text", "metadata", "expiration_date", "data"],
    "delete": ["memory_id"],
    "delete_all": ["user_id", "agent_id", "run_id"],
    "history": ["memory_id"],
    "reset": [],
}
"""Names and arguments of mem0 2.2."""


@pytest.fixture
def mem0(memory: carma_memory.Memory) -> Memory:
    return Memory(memory)


def texts(answer: dict[str, Any]) -> list[str]:
    return [each["memory"] for each in answer["results"]]


@pytest.mark.parametrize("kind", [Memory, AsyncMemory])
def test_it_has_mem0s_calls_and_arguments(kind: type) -> None:
    """Every call of mem0 takes the arguments that it takes there, by the same names."""
    for name, arguments in NAMES.items():
        parameters = list(inspect.signature(getattr(kind, name)).parameters)
        assert set(arguments) <= set(parameters), name


def test_messages_are_remembered_word_for_word(mem0: Memory) -> None:
    """One memory for each message but the system's, with who said it; nothing is extracted or merged."""
    answer = mem0.add(TALK, user_id="ann", agent_id="tea-bot", run_id="r1", metadata={"topic": "tea"})
    assert texts(answer) == ["I drink green tea.", "Noted: green tea."]
    assert [(each["event"], each["role"], each["actor_id"]) for each in answer["results"]] == [
        ("ADD", "user", "ann"),
        ("ADD", "assistant", None),
    ]
    first = mem0.get(answer["results"][0]["id"])
    assert first is not None
    assert (first["memory"], first["user_id"], first["agent_id"], first["run_id"]) == (
        "I drink green tea.", "ann", "tea-bot", "r1",
    )  # fmt: skip
    assert first["metadata"] == {"topic": "tea"} and first["role"] == "user" and first["state"] == "intact"
    assert datetime.fromisoformat(first["created_at"]).tzinfo is not None and first["updated_at"] is None


def test_facts_need_a_function_of_the_callers(memory: carma_memory.Memory) -> None:
    """infer=True without one is refused; with one, its facts are stored, unless infer=False."""
    with pytest.raises(InvalidCall, match="language model"):
        Memory(memory).add("I like tea", user_id="ann", infer=True)
    asked: list[Any] = []

    def extract(messages: list[dict[str, Any]]) -> list[str]:
        asked.append(messages)
        return ["Likes green tea", "  "]

    mem0 = Memory(memory, extract=extract)
    assert texts(mem0.add(TALK, user_id="ann")) == ["Likes green tea"]
    assert [each["role"] for each in asked[0]] == ["user", "assistant"]
    assert texts(mem0.add("I like tea", user_id="ann", infer=False)) == ["I like tea"]


def test_a_search_is_scoped_and_filtered(mem0: Memory) -> None:
    """By owner, metadata with mem0's operators, and score; the old names beside `filters` work too."""
    mem0.add("green tea in the morning", user_id="ann", metadata={"stars": 5, "kind": "drink"})
    mem0.add("black tea in the evening", user_id="ann", metadata={"stars": 2, "kind": "drink"})
    mem0.add("green tea at noon", user_id="bob", metadata={"stars": 5})
    assert texts(mem0.search("green tea", filters={"user_id": "bob"})) == ["green tea at noon"]
    assert texts(mem0.search("green tea", user_id="bob", limit=1)) == ["green tea at noon"]
    best = mem0.search("green tea", filters={"user_id": "ann"}, top_k=1, explain=True)["results"][0]
    assert best["memory"] == "green tea in the morning" and best["score"] > 0 and best["score_details"]
    conditions: list[tuple[dict[str, Any], list[str]]] = [
        ({"stars": {"gte": 3}}, ["green tea in the morning"]),
        ({"stars": [1, 2]}, ["black tea in the evening"]),
        ({"kind": "drink", "NOT": [{"stars": 5}]}, ["black tea in the evening"]),
        ({"OR": [{"stars": 2}, {"stars": 5}]}, ["green tea in the morning", "black tea in the evening"]),
        ({"missing": "*"}, []),
    ]
    for condition, expected in conditions:
        found = mem0.get_all(filters={"user_id": "ann", **condition})
        assert sorted(texts(found)) == sorted(expected), condition
    either = mem0.get_all(filters={"OR": [{"user_id": "ann"}, {"user_id": "bob"}], "user_id": {"ne": "eve"}})
    assert len(either["results"]) == 3
    assert texts(mem0.search("green tea", user_id="ann", threshold=5.0)) == []


def test_deleting_all_of_one_user_touches_nobody_else(memory: carma_memory.Memory) -> None:
    """mem0#3746 wiped every user. Here all ids that are given must match, and none is refused."""
    mem0 = Memory(memory)
    for user in ("ann", "bob"):
        for run in ("r1", "r2"):
            mem0.add(
                [{"role": "user", "content": f"{user} {run} {n}"} for n in range(3)], user_id=user, run_id=run
            )
    note = memory.add("Not made by mem0's calls", user="ann")
    mem0.delete_all(user_id="ann", run_id="r1")
    assert len(mem0.get_all(user_id="ann", top_k=100)["results"]) == 3
    mem0.delete_all(user_id="ann")
    assert mem0.get_all(user_id="ann")["results"] == []
    assert len(mem0.get_all(user_id="bob", top_k=100)["results"]) == 6
    for nobody in ({}, {"user_id": None}, {"user_id": ""}, {"user_id": "  "}, {"user_id": {"ne": "x"}}):
        with pytest.raises(ValueError, match=r"given|text"):
            mem0.delete_all(**nobody)  # type: ignore[arg-type]
    assert len(mem0.get_all(user_id="bob", top_k=100)["results"]) == 6
    mem0.reset()
    assert memory.list().items == (memory.get(note.id),)


OWNERS = st.sampled_from(["ann", "bob", "ann ", "a", "anna", "ANN", "*", "%", "' OR 1=1 --"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=st.lists(OWNERS, min_size=1, max_size=6), gone=OWNERS)
def test_only_the_named_owner_is_forgotten(memory: carma_memory.Memory, owners: list[str], gone: str) -> None:
    """Whatever the names look like: afterwards the named owner has nothing, and all others everything."""
    mem0 = Memory(memory)
    mem0.reset()
    for number, owner in enumerate(owners):
        mem0.add(f"text {number}", user_id=owner)
    mem0.delete_all(user_id=gone)
    left = sorted(each.user or "" for each in memory.list())
    assert left == sorted(owner.strip() for owner in owners if owner.strip() != gone.strip())


def test_metadata_moves_nothing_to_another_owner(mem0: Memory) -> None:
    """`user_id` in free metadata is no scope, neither when it is added nor later."""
    made = mem0.add("tea", user_id="ann", metadata={"user_id": "bob", "x": 1})["results"][0]["id"]
    mem0.update(made, metadata={"user_id": "bob", "y": 2})
    found = mem0.get(made)
    assert found is not None and found["user_id"] == "ann" and found["metadata"] == {"x": 1, "y": 2}
    assert mem0.get_all(user_id="bob")["results"] == []


def test_an_update_and_its_history(mem0: Memory) -> None:
    """Text, metadata and expiry change; each change is told with what was before; of a deletion only that."""
    id = mem0.add("I like tea", user_id="ann", metadata={"a": 1})["results"][0]["id"]
    assert mem0.update(id, text="I like coffee") == {"message": "Memory updated successfully!"}
    mem0.update(id, data="I like cocoa", metadata={"b": 2})
    told = mem0.history(id)
    assert [(each["event"], each["old_memory"], each["new_memory"]) for each in told] == [
        ("ADD", None, "I like tea"),
        ("UPDATE", "I like tea", "I like coffee"),
        ("UPDATE", "I like coffee", "I like cocoa"),
    ]
    mem0.delete(id)
    (end,) = mem0.history(id)
    assert (end["event"], end["old_memory"], end["new_memory"]) == ("DELETE", None, None)
    assert end["is_deleted"]
    assert mem0.get(id) is None and mem0.history("0" * 32) == []
    for call in (mem0.delete, lambda id: mem0.update(id, text="x")):
        with pytest.raises(ValueError, match="no memory"):
            call(id)
    with pytest.raises(ValueError, match="None of text"):
        mem0.update(id)


def test_memories_expire_at_the_end_of_their_day(mem0: Memory) -> None:
    """The last day is shown as it was given; yesterday's are hidden."""
    today = datetime.now(UTC).date()
    kept = mem0.add("kept", user_id="ann", expiration_date=today)["results"][0]["id"]
    mem0.add("gone", user_id="ann", expiration_date=(today - timedelta(days=1)).isoformat())
    assert texts(mem0.get_all(user_id="ann")) == ["kept"]
    assert mem0.get(kept)["expiration_date"] == today.isoformat()  # type: ignore[index]
    mem0.update(kept, expiration_date=None)
    assert "expiration_date" not in mem0.get(kept)  # type: ignore[operator]
    for wrong in ("soon", 7, "2027-13-01"):
        with pytest.raises(ValueError, match="expiration_date"):
            mem0.add("x", user_id="ann", expiration_date=wrong)
    assert mem0.add("x", user_id="ann", expiration_date=date(2199, 1, 1))["results"]


def test_two_who_change_a_memory_at_once_notice(memory: carma_memory.Memory) -> None:
    """An update that was overtaken is refused instead of undoing the other's."""
    mem0 = Memory(memory)
    id = mem0.add("one", user_id="ann")["results"][0]["id"]
    steps = mem0._steps.calls.update(id, text="mine")
    wanted = next(steps)
    read = memory.get(*wanted.args)
    memory.update(id, "theirs")
    change = steps.send(read)
    with pytest.raises(VersionConflict):
        memory.update(*change.args, **change.kwargs)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda mem0: mem0.add("x"), "user_id"),
        (lambda mem0: mem0.add(5, user_id="a"), "messages"),
        (lambda mem0: mem0.add([{"content": "x"}], user_id="a"), "role"),
        (lambda mem0: mem0.add([{"role": "user"}], user_id="a"), "content"),
        (lambda mem0: mem0.search("x"), "user_id"),
        (lambda mem0: mem0.search("x", filters={"topic": "tea"}), "user_id"),
        (lambda mem0: mem0.search("x", filters=["a"]), "mapping"),
        (lambda mem0: mem0.search("x", user_id="a", filters={"user_id": "b"}), "twice"),
        (lambda mem0: mem0.search("x", user_id="a", filters={"t": {"icontains": "x"}}), "icontains"),
        (lambda mem0: mem0.get_all(user_id="a", top_k=0), "top_k"),
        (lambda mem0: mem0.get_all(user_id="a", filters={"AND": ["x"]}), "mapping"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(mem0: Memory, call: Any, said: str) -> None:
    """Short, typed, a ValueError as there, and with a hint."""
    with pytest.raises(ValueError, match=said) as caught:
        call(mem0)
    assert isinstance(caught.value, InvalidInput) and caught.value.hint


def test_what_is_lost_says_so(tmp_path: Path) -> None:
    """A damaged memory is listed with its state and reason, and an empty text."""
    folder = tmp_path / "m"
    with opened(folder) as memory:
        Memory(memory).add([{"role": "user", "content": f"tea {n}"} for n in range(24)], user_id="ann")
    lose_all(folder)
    with opened(folder) as memory:
        found = Memory(memory).search("tea", user_id="ann", top_k=1, threshold=None)
        assert found["results"][0]["memory"] == "" and found["results"][0]["state"] == "blank"
        assert found["results"][0]["reason"] and found["degraded"]


def test_it_opens_and_closes_a_memory_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments where CARMA_STORE says; by a path; by a configuration of mem0."""
    monkeypatch.setenv("CARMA_STORE", str(tmp_path / "m"))
    with Memory() as mem0:
        mem0.add("tea", user_id="ann")
    config = {"carma": {"path": str(tmp_path / "m")}, "llm": {"provider": "openai"}, "version": "v1.1"}
    with Memory.from_config(config) as mem0:
        assert texts(mem0.get_all(user_id="ann")) == ["tea"]

    async def use() -> None:
        async with AsyncMemory(tmp_path / "m") as mem0:
            await mem0.add("cups", user_id="ann")
            assert texts(await mem0.get_all(filters={"user_id": "ann"})) == ["tea", "cups"]
            await mem0.delete_all(user_id="ann")

    asyncio.run(use())
    with Memory(tmp_path / "m") as mem0:
        assert texts(mem0.get_all(user_id="ann")) == []
