"""Answers have a bound in bytes: pages are shorter, anything else is 413, and the memory of the process stays
small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from carma import AsyncClient, Client
from carma.errors import TooLarge
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

from .asking import remember
from .processes import Estate, Process, serving
from .running import Running, running

BOUND = 64 * 2**10
LONG = 10 * 2**10
COUNT = 20
MB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose answers are short."""
    settings = ServeSettings(port=0, dashboard=False, answer_bytes=BOUND)
    folder = tmp_path_factory.mktemp("bounded")
    with running(folder / "data", settings, embedder=HashEmbedder(48)) as found:
        yield found


@pytest.fixture(scope="module")
def key(server: Running) -> str:
    """The key of an account with twenty long texts below a first one that has as many versions."""
    key = server.join("writer")[1]
    with server.client(key) as client:
        top = remember(client, "The top.")["id"]
        for n in range(COUNT):
            remember(client, f"{n} {'apple ' * (LONG // 6)}", parent=top)
            changed = client.patch(f"/v1/fragments/{top}", json={"text": f"{n} {'pear ' * (LONG // 5)}"})
            assert changed.status_code == 200
    return key


def _top(client: httpx.Client) -> str:
    found: str = client.get("/v1/fragments", params={"parent": "none"}).json()["items"][0]["id"]
    return found


@pytest.mark.parametrize("query", ["limit=1000", "limit=1000&parent={top}", "limit=3"])
def test_pages_end_early_and_lead_through_everything(query: str, server: Running, key: str) -> None:
    """Each page has one fragment at least, and none is longer than the bound; each fragment comes once."""
    with server.client(key) as client:
        path = f"/v1/fragments?{query.format(top=_top(client))}"
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = client.get(path + (f"&cursor={cursor}" if cursor else ""))
            page = answer.json()
            assert page["items"] and len(answer.content) <= BOUND
            found += [each["id"] for each in page["items"]]
            cursor = page["cursor"]
        assert len(set(found)) == len(found) == COUNT + ("parent" not in query)


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/v1/fragments/{top}/history", None, "version"),
        ("GET", "/v1/tree", None, "depth"),
        ("GET", "/v1/tree?root={top}&depth=1", None, "depth"),
        ("POST", "/v1/search", {"query": "apple", "mode": "words", "limit": COUNT}, "limit"),
    ],
)
def test_what_has_no_pages_is_refused(
    method: str, path: str, body: Any, said: str, server: Running, key: str
) -> None:
    """413 TooLarge, whose hint says what to ask instead."""
    with server.client(key) as client:
        answer = client.request(method, path.format(top=_top(client)), json=body)
        problem = answer.json()
        assert (answer.status_code, problem["title"]) == (413, "TooLarge"), answer.text
        assert "answer_bytes" in problem["detail"] and said in problem["hint"]


def test_what_the_refusal_names_is_answered(server: Running, key: str) -> None:
    """One version, a smaller depth, a smaller limit, and the topology, which shows no texts."""
    with server.client(key) as client:
        top = _top(client)
        assert client.get(f"/v1/fragments/{top}?version=7").json()["text"].startswith("5 pear")
        assert client.get("/v1/tree?depth=0").json()["children"][0]["more"] == COUNT
        body = {"query": "apple", "mode": "words", "limit": 3}
        assert len(client.post("/v1/search", json=body).json()["hits"]) == 3
        assert len(client.get("/v1/topology").json()["spots"]) == COUNT + 1
        assert client.get("/v1/usage").json()["limits"]["answer_bytes"] == BOUND


def test_one_fragment_is_answered_whatever_its_length(server: Running) -> None:
    """What was stored can be had, by id and by page, and by the history of one version."""
    with server.user() as client:
        made = [remember(client, f"{n}\x01" * BOUND) for n in range(2)]
        page = client.get("/v1/fragments").json()
        assert [each["id"] for each in page["items"]] == [made[0]["id"]]
        rest = client.get("/v1/fragments", params={"cursor": page["cursor"]}).json()
        assert [each["text"] for each in rest["items"]] == ["1\x01" * BOUND] and rest["cursor"] is None
        for path in (made[0]["id"], f"{made[0]['id']}/history"):
            assert len(client.get(f"/v1/fragments/{path}").content) > BOUND


def test_the_clients_of_carma_follow_the_cursors(server: Running, key: str) -> None:
    """`children` and pages by hand find everything; the refusal is the same error as here."""
    with Client(server.url, key) as memory:
        top = memory.list(parent=None)[0].id
        assert len(memory.children(top)) == COUNT
        found, cursor = 0, None
        while True:
            page = memory.list(limit=100, cursor=cursor)
            found, cursor = found + len(page), page.cursor
            if cursor is None:
                break
        assert found == COUNT + 1
        with pytest.raises(TooLarge, match="answer_bytes"):
            memory.history(top)


async def _awaited(url: str, key: str) -> int:
    async with AsyncClient(url, key) as memory:
        return len(await memory.children((await memory.list(parent=None))[0].id))


def test_the_awaited_client_follows_them_too(server: Running, key: str) -> None:
    """The same steps drive both."""
    import asyncio

    assert asyncio.run(_awaited(server.url, key)) == COUNT


def settled_mb(process: Process) -> float:
    """What the process holds when nothing that it began by itself goes on: indexes loaded, texts embedded."""
    before, now = 0.0, process.resident_mb
    deadline = time.monotonic() + 30
    while abs(now - before) > 1 and time.monotonic() < deadline:
        time.sleep(1.5)
        before, now = now, process.resident_mb
    return now


def test_the_process_stays_small_whatever_is_asked(tmp_path: Path) -> None:
    """An owner of 48 MiB of texts asks for all of them at once, in every way there is: the server holds a few
    answers, not all of it.
    """
    estate = Estate(tmp_path)
    key = estate.join("ada")
    with serving(estate, answer_bytes=2 * MB) as process:
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=process.url, headers=headers, timeout=60) as client:
            top = remember(client, "The top.")["id"]
            for n in range(24):
                remember(client, f"{n} {'apple ' * (MB // 6)}")
                assert client.patch(f"/v1/fragments/{top}", json={"text": f"{n} " * (MB // 3)}).is_success
            client.get("/v1/fragments?limit=1000")
            client.post("/v1/search", json={"query": "top", "limit": 1})
            before = settled_mb(process)
            process.forget_peak()
            for path in ("fragments?limit=1000", "tree", f"fragments/{top}/history", "topology"):
                client.get(f"/v1/{path}").read()
            client.post("/v1/search", json={"query": "apple", "mode": "words", "limit": 1_000})
            client.get(f"/v1/fragments/{top}?version=3")
            grown = process.peak_mb - before
    assert grown <= 32, f"{grown:.1f} MB"
