"""The async twin: the same verbs, no second implementation."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from carma import AsyncMemory, Memory
from carma.errors import FragmentNotFound, MemoryClosed
from carma.testing.embedder import HashEmbedder

VERBS = {name for name, value in inspect.getmembers(Memory, inspect.isfunction) if not name.startswith("_")}


def test_every_verb_has_its_twin_with_the_same_arguments() -> None:
    """No verb is missing, and none takes other arguments."""
    for name in VERBS - {"acting", "close"}:  # A context manager, and one that ends the pool too.
        twin = getattr(AsyncMemory, name)
        assert inspect.signature(twin) == inspect.signature(getattr(Memory, name)), name
        assert twin.__doc__ == getattr(Memory, name).__doc__
    assert inspect.iscoroutinefunction(AsyncMemory.close) and inspect.iscoroutinefunction(AsyncMemory.add)


def test_it_may_be_closed_again_and_says_that_it_is(tmp_path: Path) -> None:
    """As `Memory` does: closing is idempotent, by two at once too, and a verb afterwards is a typed error."""

    async def run() -> None:
        memory = await AsyncMemory.open(tmp_path / "memory", embedder=HashEmbedder())
        await memory.add_many(f"text {n}" for n in range(200))
        await asyncio.gather(*(memory.close() for _ in range(8)))
        await memory.close()
        with pytest.raises(MemoryClosed):
            await memory.count()

    asyncio.run(run())


def test_verbs_can_be_awaited_together(tmp_path: Path) -> None:
    """Concurrent writes are all there; errors are the same errors."""

    async def run() -> None:
        async with await AsyncMemory.open(tmp_path / "memory", embedder=HashEmbedder()) as memory:
            made = await asyncio.gather(*(memory.add(f"text {n}") for n in range(30)))
            assert await memory.count() == 30
            assert (await memory.get(made[3].id)).text == made[3].text
            assert (await memory.search("text 7", mode="words")).hits
            with pytest.raises(FragmentNotFound):
                await memory.get("0" * 32)

    asyncio.run(run())
