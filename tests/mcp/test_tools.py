"""The six tools, called by the SDK's own client in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from carma import AsyncMemory, Memory
from carma.integrations.mcp import Caller, mcp_server
from carma.testing.embedder import HashEmbedder
from mcp import Client
from tests.integrations.losing import lose_all, opened

READ = frozenset({"read"})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as memory:
        yield memory


def called(caller: Caller, *calls: tuple[str, dict[str, Any]], **options: Any) -> list[Any]:
    """The results of tool calls, one after the other, over one connection."""

    async def call() -> list[Any]:
        async with Client(mcp_server(caller)) as client:
            return [await client.call_tool(name, given, **options) for name, given in calls]

    return asyncio.run(call())


def answer(result: Any) -> Any:
    assert not result.is_error, result.content
    return result.structured_content


def refusal(result: Any) -> str:
    assert result.is_error
    text: str = result.content[0].text
    assert "Traceback" not in text and len(text) < 400
    return text


def test_the_tools_are_those_an_agent_needs(memory: Memory) -> None:
    """Six of them, each with a description, arguments that are explained, a shape, and hints for the host."""

    async def listed() -> Any:
        async with Client(mcp_server(Caller(memory))) as client:
            assert client.instructions and "heals" in client.instructions
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(listed())}
    assert set(tools) == {"remember", "recall", "forget", "history", "status", "heal"}
    for tool in tools.values():
        assert tool.description and tool.output_schema and tool.annotations
        assert "context" not in tool.input_schema["properties"]
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), (tool.name, name)
    assert tools["recall"].annotations.read_only_hint and tools["forget"].annotations.destructive_hint
    assert tools["recall"].input_schema["required"] == ["query"]


@pytest.mark.parametrize("awaited", [False, True])
def test_an_agent_remembers_recalls_and_forgets(memory: Memory, awaited: bool) -> None:
    """The whole life of a fact, over a memory that blocks and one that is awaited."""
    caller = Caller(AsyncMemory(memory) if awaited else memory)
    fact = {"text": "Ann takes her tea green.", "kind": "preference", "metadata": {"topic": "tea"}}
    first, again, other = called(
        caller, ("remember", fact), ("remember", fact), ("remember", {"text": "The door is blue."})
    )
    id = answer(first)["id"]
    assert answer(again) == answer(first) and answer(other)["id"] != id
    (found,) = called(caller, ("recall", {"query": "green tea", "where": {"topic": "tea"}}))
    (hit,) = answer(found)["hits"]
    assert (hit["id"], hit["text"], hit["metadata"]) == (id, fact["text"], {"topic": "tea"})
    assert hit["score"] > 0 and "state" not in hit and answer(found)["degraded"] == []
    memory.update(id, "Ann takes her tea black.")
    once = {"id": id}
    told, gone, missing = called(caller, ("history", once), ("forget", once), ("forget", once))
    assert [each["text"] for each in answer(told)["versions"]] == [fact["text"], "Ann takes her tea black."]
    assert answer(gone) == {"deleted": 1}
    assert "fragment-not-found: There is no fragment" in refusal(missing)


def test_users_are_kept_apart(memory: Memory) -> None:
    """What is remembered for one user is not recalled for another."""
    caller = Caller(memory)
    called(caller, ("remember", {"text": "tea", "user": "ann"}))
    found, nothing = called(
        caller, ("recall", {"query": "tea", "user": "ann"}), ("recall", {"query": "tea", "user": "bob"})
    )
    assert len(answer(found)["hits"]) == 1 and answer(nothing)["hits"] == []


def test_what_is_lost_is_told_and_healed(tmp_path: Path) -> None:
    """A blank hit says why; status advises; heal reports counts, with progress on the way."""
    folder = tmp_path / "m"
    with opened(folder) as memory:
        memory.add_many([f"The harbour {n} {Random(n).randbytes(150).hex()}" for n in range(6)])
    lose_all(folder)
    said: list[tuple[float, float | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        said.append((progress, total))

    with opened(folder) as memory:
        caller = Caller(memory)
        (found,) = called(caller, ("recall", {"query": "harbour", "limit": 1}))
        dry, done, state = called(
            caller,
            ("heal", {"dry_run": True}),
            ("heal", {"budget_s": 30}),
            ("status", {}),
            progress_callback=listen,
        )
    assert answer(found)["hits"][0]["state"] == "blank" and answer(found)["hits"][0]["reason"]
    assert answer(found)["degraded"]
    for each in (dry, done):
        counts = answer(each)
        assert counts["status"] == "completed"
        assert counts["exact"] + counts["reconstructed"] + counts["still_blank"] == 6
    assert answer(done)["damaged"] == 6
    assert (
        answer(state)["blanks"] == answer(done)["still_blank"] and answer(state)["last_dream"] == "completed"
    )
    assert said


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("recall", {"query": "  "}, "invalid-input: The query is empty."),
        ("recall", {"query": "x", "where": {"$near": 1}}, "invalid-filter: "),
        ("recall", {"query": "x", "limit": 1000}, "limit"),
        ("remember", {}, "text"),
        ("remember", {"text": " "}, "invalid-input: The text is empty."),
        ("forget", {"id": "7"}, "invalid-input: '7' is not a fragment id"),
        ("history", {"id": "f" * 32}, "fragment-not-found: "),
        ("heal", {"budget_s": -1}, "budget_s"),
    ],
)
def test_errors_are_short_and_say_what_to_do(
    memory: Memory, tool: str, given: dict[str, Any], said: str
) -> None:
    """A code and a hint where the memory refused, the name of the argument where its shape is wrong."""
    (result,) = called(Caller(memory), (tool, given))
    assert said in refusal(result)


def test_a_permission_that_is_missing_is_named(memory: Memory) -> None:
    """A caller that may only read reads, and changes nothing."""
    memory.add("tea")
    read, written, healed = called(
        Caller(memory, READ), ("recall", {"query": "tea"}), ("remember", {"text": "x"}), ("heal", {})
    )
    assert answer(read)["hits"]
    assert "'write'" in refusal(written) and "'heal'" in refusal(healed)
    assert memory.count() == 1
