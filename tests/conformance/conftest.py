"""Each test runs over every surface that speaks the verbs of `Memory`: here, awaited, and over a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from carma import AsyncClient, Client
from carma.access.data import DataFolder, unlock
from carma.serve.household import Household, open_household
from carma.testing.embedder import HashEmbedder
from tests.serve.running import ALL, Running, running

from .kinds import Loop, Spoken, open_async, open_local

KINDS = ("Memory", "AsyncMemory", "Client", "AsyncClient")


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """Where what has to be awaited is awaited."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real server on a port of this machine, with encrypted seats."""
    with running(tmp_path_factory.mktemp("server") / "data", embedder=HashEmbedder()) as found:
        yield found


@pytest.fixture(scope="session")
def office(server: Running) -> Iterator[Household]:
    """The data directory as another process would open it, to add accounts."""
    household = open_household(unlock(DataFolder(server.data), server.environ))
    yield household
    household.close()


Make = Callable[[str], Spoken]


@pytest.fixture(scope="session")
def make(
    tmp_path_factory: pytest.TempPathFactory, loop: Loop, request: pytest.FixtureRequest
) -> Iterator[Make]:
    """Makes an empty memory of a kind."""
    made: list[Spoken] = []

    def make(kind: str) -> Spoken:
        if kind.endswith("Memory"):
            folder = tmp_path_factory.mktemp("here") / "memory"
            opens = (lambda: open_local(folder)) if kind == "Memory" else lambda: open_async(folder, loop)
            made.append(Spoken(opens, folder, loop))
        else:
            server, office = (request.getfixturevalue(name) for name in ("server", "office"))
            made.append(_remote(server, office, kind, loop))
        return made[-1]

    yield make
    for spoken in made:
        spoken.close()


def _remote(server: Running, office: Household, kind: str, loop: Loop) -> Spoken:
    """A client of a new account."""
    joined = office.churn().join(uuid4().hex, ALL)
    seat = server.server.services.block.seat(joined.account.id)
    opens: Any = Client if kind == "Client" else AsyncClient
    return Spoken(
        lambda: opens(server.url, joined.key.text), seat.folder, loop, remote=True,
        let_go=lambda: server.let_go(joined.account),
    )  # fmt: skip


@pytest.fixture(scope="session")
def shared(make: Make) -> Callable[[str], Spoken]:
    """One memory of each kind for all tests."""
    made: dict[str, Spoken] = {}
    return lambda kind: made.setdefault(kind, made.get(kind) or make(kind))


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, shared: Callable[[str], Spoken]) -> Spoken:
    """A memory of each kind, in which nothing is left of other tests but history."""
    spoken = shared(request.param)
    while page := spoken.list(limit=1_000).items:
        for each in page:
            spoken.delete(each.id)
    return spoken


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest, make: Make) -> Iterator[Spoken]:
    """A new memory of each kind, to be damaged."""
    spoken = make(request.param)
    yield spoken
    spoken.close()
