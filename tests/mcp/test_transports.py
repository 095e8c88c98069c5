"""`carma mcp` as agents start it and reach it: processes of their own, and the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from carma.cli.app import app
from carma.memory.memory import Memory
from carma.testing.embedder import HashEmbedder
from mcp import Client, StdioServerParameters
from tests.serve.running import Running, running

ASK = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARMA_", "XDG_"))}
    return kept | {"HOME": str(tmp_path), "CARMA_STORE": str(tmp_path / "memory")}


def carma(home: dict[str, str], *arguments: str) -> Any:
    """A command, in this process."""
    return CliRunner().invoke(app, list(arguments), env=home)


def key(home: dict[str, str], user: str, letters: str, *more: str) -> str:
    """A new key."""
    made = carma(home, "keys", "create", "--user", user, "--permissions", letters, *more)
    assert made.exit_code == 0, made.output
    text: str = made.stdout.strip()
    return text


@contextmanager
def served(home: dict[str, str], *arguments: str) -> Iterator[str]:
    """`carma mcp --http …` in a process; its address without the path."""
    command = [sys.executable, "-m", "carma", "mcp", "--http", "127.0.0.1:0", "--json", *arguments]
    process = subprocess.Popen(command, env=home, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["ready"].removesuffix("/mcp")
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode in (0, -15)


async def used(server: Any, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    async with Client(server, read_timeout_seconds=60) as client:
        assert len((await client.list_tools()).tools) == 6
        return [await client.call_tool(name, given) for name, given in calls]


def over_http(url: str, key: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """Tool calls over streamable HTTP, with a static key."""

    async def use() -> list[Any]:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
            return await used(streamable_http_client(f"{url}/mcp", http_client=http), *calls)

    return asyncio.run(use())


def test_an_agent_starts_it_over_stdio(home: dict[str, str]) -> None:
    """Remember in one process, recall in the next; standard output carries the protocol and nothing else."""
    Memory.open(home["CARMA_STORE"], embedder=HashEmbedder()).close()
    server = StdioServerParameters(command=sys.executable, args=["-m", "carma", "mcp"], env=home)
    (made,) = asyncio.run(used(server, ("remember", {"text": "Ann takes her tea green."})))
    assert not made.is_error
    read_only = StdioServerParameters(
        command=sys.executable, args=["-m", "carma", "mcp", "--read-only"], env=home
    )
    found, refused = asyncio.run(
        used(read_only, ("recall", {"query": "green tea"}), ("forget", {"id": made.structured_content["id"]}))
    )
    assert [hit["text"] for hit in found.structured_content["hits"]] == ["Ann takes her tea green."]
    assert refused.is_error and "'write'" in refused.content[0].text


def test_callers_over_http_show_a_static_key(home: dict[str, str]) -> None:
    """The key says what may be done; no key, a wrong one, a root key and a foreign page are refused."""
    with Memory.open(home["CARMA_STORE"], embedder=HashEmbedder()) as memory:
        memory.add("Ann takes her tea green.")
    assert carma(home, "mcp", "--http", "127.0.0.1:0").exit_code == 21
    keys = {letters: key(home, "local", letters, "--static") for letters in ("r", "rw")}
    root, other = key(home, "local", "rw"), key(home, "eve", "rw", "--static")
    with served(home) as url:
        found, refused = over_http(url, keys["r"], ("recall", {"query": "tea"}), ("remember", {"text": "x"}))
        assert found.structured_content["hits"][0]["text"] == "Ann takes her tea green."
        assert "'write'" in refused.content[0].text
        (made,) = over_http(url, keys["rw"], ("remember", {"text": "The door is blue."}))
        assert not made.is_error
        with httpx2.Client(base_url=url, headers=HEADERS) as http:
            for shown in ("", "Bearer x", f"Bearer {root}", f"Bearer {other}", f"Basic {keys['r']}"):
                answer = http.post("/mcp", json=ASK, headers={"authorization": shown} if shown else {})
                assert answer.status_code == 401 and answer.headers["www-authenticate"]
                assert answer.json()["type"].startswith("urn:carma:error:") and answer.json()["hint"]
                assert "_quantum_" not in answer.text and "Traceback" not in answer.text
            good = {"authorization": f"Bearer {keys['r']}"}
            for name, foreign in (("origin", "https://evil.example"), ("host", "evil.example")):
                assert http.post("/mcp", json=ASK, headers=good | {name: foreign}).status_code in (403, 421)
            assert http.post("/mcp", content=b"x" * 5_000_000, headers=good).status_code == 413
        assert carma(home, "keys", "revoke", keys["r"].split("_")[2]).exit_code == 0
        with httpx2.Client(base_url=url, headers=HEADERS | good) as http:
            assert http.post("/mcp", json=ASK).status_code == 401


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data") as found:
        yield found


def test_it_stands_in_front_of_a_server(home: dict[str, str], server: Running) -> None:
    """Over HTTP each caller reaches their own seat; over stdio the key is that of the environment."""
    ann, bob = server.join("ann")[1], server.join("bob")[1]
    with served(home, "--url", server.url) as url:
        (made,) = over_http(url, ann, ("remember", {"text": "Ann takes her tea green."}))
        assert not made.is_error
        mine, state = over_http(url, ann, ("recall", {"query": "tea"}), ("status", {}))
        assert len(mine.structured_content["hits"]) == 1 and state.structured_content["blanks"] == 0
        theirs, gone = over_http(
            url, bob, ("recall", {"query": "tea"}), ("forget", {"id": made.structured_content["id"]})
        )
        assert theirs.structured_content["hits"] == [] and "fragment-not-found" in gone.content[0].text
        with httpx2.Client(base_url=url, headers=HEADERS) as http:
            wrong = {"authorization": f"Bearer {ann[:-8]}00000000"}
            assert http.post("/mcp", json=ASK, headers=wrong).status_code == 401
    stdio = StdioServerParameters(
        command=sys.executable, args=["-m", "carma", "mcp"],
        env=home | {"CARMA_URL": server.url, "CARMA_KEY": ann},
    )  # fmt: skip
    (found,) = asyncio.run(used(stdio, ("recall", {"query": "tea"})))
    assert len(found.structured_content["hits"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--http", "8361"), 2, "HOST:PORT"),
        (("--http", "0.0.0.0:0"), 2, "in clear"),
        (("--http", "127.0.0.1:0", "--read-only"), 2, "key says"),
        (("--http", "127.0.0.1:65536"), 2, "HOST:PORT"),
        (("--http", "127.0.0.1:0", "--tls-key", "x"), 2, "both files"),
        (("--url", "http://127.0.0.1:1", "--store", "x"), 2, "two memories"),
        (("--url", "http://memory.example"), 2, "not encrypted"),
        (("--url", "http://127.0.0.1:1"), 2, "no key"),
    ],
)
def test_mistakes_are_told_in_a_line(
    home: dict[str, str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    """With what to do, and nothing on standard output."""
    ran = carma(home, "mcp", *arguments)
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert said in ran.stderr and "Traceback" not in ran.stderr
