"""Every adapter over a client: what it does to a memory here, it does to one on a server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from carma import AsyncClient, Client
from carma.errors import Forbidden, InvalidInput
from carma.integrations import mem0
from carma.integrations.langchain import CarmaVectorStore
from carma.integrations.langgraph import CarmaStore
from carma.testing import HashEmbedder
from tests.serve.running import ALL, Running, running

NAMES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data", embedder=HashEmbedder()) as found:
        yield found


@pytest.fixture
def key(server: Running) -> Callable[..., str]:
    """Makes an account, and its key."""
    return lambda letters=ALL: server.join(f"user-{next(NAMES)}", letters)[1]


def test_documents(server: Running, key: Callable[..., str]) -> None:
    """Also more of them than one question can name, with ids of the caller's own."""
    ids = [f"{number}-{uuid4()}" for number in range(450)]
    with Client(server.url, key()) as client:
        store = CarmaVectorStore(client, user="ann")
        assert store.add_texts([f"tea number {number}" for number in range(450)], ids=ids) == ids
        assert store.add_texts(["green tea"], [{"n": 1}], ids=[ids[0]]) == [ids[0]]
        assert [each.id for each in store.get_by_ids(ids)] == ids
        assert store.similarity_search("green tea", k=1, filter={"n": 1})[0].id == ids[0]
        assert store.delete(ids[:9]) and [each.id for each in store.get_by_ids(ids)] == ids[9:]


def test_items(server: Running, key: Callable[..., str]) -> None:
    """Put, found by meaning and by filter, and gone; awaited and not."""
    opens = key()

    async def use() -> None:
        async with AsyncClient(server.url, opens) as client:
            store = CarmaStore(client, fields=["text"])
            await store.aput(("ann", "facts"), "tea", {"text": "green tea", "stars": 5}, ttl=60)
            assert (await store.asearch(("ann",), query="green tea"))[0].key == "tea"
            assert (await store.aget(("ann", "facts"), "tea")).value["stars"] == 5
            with pytest.raises(InvalidInput, match="awaited"):
                store.get(("ann", "facts"), "tea")

    asyncio.run(use())
    with Client(server.url, opens) as client:
        store = CarmaStore(client)
        assert [each.key for each in store.search((), filter={"stars": {"$gt": 4}})] == ["tea"]
        store.delete(("ann", "facts"), "tea")
        assert store.search(()) == [] and client.list().items == ()


def test_memories(server: Running, key: Callable[..., str]) -> None:
    """mem0's calls, awaited and not, over one account."""
    opens = key()
    with Client(server.url, opens) as client:
        memory = mem0.Memory(client)
        made = memory.add("I drink green tea.", user_id="ann")["results"][0]["id"]
        memory.update(made, text="I drink black tea.")
        assert memory.search("black tea", user_id="ann")["results"][0]["id"] == made
        assert [each["event"] for each in memory.history(made)] == ["ADD", "UPDATE"]

    async def use() -> None:
        async with AsyncClient(server.url, opens) as client:
            memory = mem0.AsyncMemory(client)
            assert (await memory.get(made))["memory"] == "I drink black tea."
            await memory.delete_all(user_id="ann")
            assert (await memory.get_all(user_id="ann"))["results"] == []

    asyncio.run(use())


def test_a_permission_that_is_missing_is_an_error(server: Running, key: Callable[..., str]) -> None:
    """Nothing is understood as empty because it may not be read."""
    with Client(server.url, key("w")) as client:
        for ask in (
            lambda: CarmaStore(client).search(()),
            lambda: CarmaVectorStore(client).similarity_search("tea"),
            lambda: mem0.Memory(client).get_all(user_id="ann"),
        ):
            with pytest.raises(Forbidden):
                ask()
