"""One Chromium and one server for all tests of the dashboard; each test has an account of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.dashboard.browsing import Visitor, Windows, chromium
from tests.dashboard.harm import SETTINGS
from tests.serve.running import ALL, Running, running

Visit = Callable[..., Visitor]
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server, with encrypted seats."""
    with running(tmp_path_factory.mktemp("dashboard") / "data", memory=SETTINGS) as run:
        yield run


@pytest.fixture(scope="package")
def windows() -> Iterator[Windows]:
    """A real Chromium."""
    with chromium() as windows:
        yield windows


@pytest.fixture
def visit(windows: Windows, run: Running) -> Iterator[Visit]:
    """Makes a visitor with an account of their own, signed in unless told otherwise; at the end none of them
    may have caused an error in the browser or a request to another host.
    """
    yield from _visiting(windows, run)


@pytest.fixture(scope="module")
def visit_all(windows: Windows, run: Running) -> Iterator[Visit]:
    """As `visit`, for a visitor whom all tests of a module share."""
    yield from _visiting(windows, run)


def _visiting(windows: Windows, run: Running) -> Iterator[Visit]:
    visitors = []

    def visiting(permissions: str = ALL, *, signed_in: bool = True) -> Visitor:
        account, key = run.join(f"visitor {next(_numbers)}", permissions)
        visitor = Visitor(windows, run, account, key)
        visitors.append(visitor)
        if signed_in:
            visitor.enter()
        return visitor

    yield visiting
    for visitor in visitors:
        visitor.leave()
    for visitor in visitors:
        assert not visitor.errors
        assert not visitor.strangers
