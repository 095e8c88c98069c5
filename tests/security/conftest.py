"""A server with an account that has a fragment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from carma.serve.accounts import Account
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, running


@dataclass(frozen=True)
class World:
    """A server, an account of it, and the id of a fragment there."""

    server: Running
    ada: Account
    id: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for a file of tests. Sources are not blocked in it: the tests come from one address."""
    folder: Path = tmp_path_factory.mktemp("server")
    settings = ServeSettings(port=0, dashboard=False, never_blocked=("127.0.0.0/8",))
    with running(folder / "data", settings) as server:
        ada, key = server.join("ada")
        added = server.client(key).post("/v1/fragments", json={"items": [{"text": "The boat."}]})
        yield World(server, ada, added.json()["items"][0]["id"])
