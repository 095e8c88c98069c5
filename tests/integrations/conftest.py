"""A memory for adapters, and what awaits the tests of others' suites."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from carma.memory.memory import Memory
from carma.testing.embedder import HashEmbedder

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Await the tests that are coroutines: LangChain's suite leaves that to whoever runs it."""
    if HERE not in pyfuncitem.path.parents or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**wanted))
    return True


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """An empty memory with a fast, deterministic embedder."""
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as opened:
        yield opened
