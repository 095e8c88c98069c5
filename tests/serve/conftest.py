"""A real server on a loopback port for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

from .running import Running, running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with encrypted seats and the usual bounds.

    Its embedder is one that no other process can make, so dreams need none to be started.
    """
    settings = ServeSettings(port=0, dashboard=False)
    folder = tmp_path_factory.mktemp("served")
    with running(folder / "data", settings, embedder=HashEmbedder(48)) as found:
        yield found
