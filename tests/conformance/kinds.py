"""The surfaces that speak the verbs of `Memory`, brought to one form: a call that blocks.

`Spoken` is given any of them. A verb that has to be awaited is awaited on an event loop of its own, in
another thread; so the suite says each promise once and all of them keep it.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carma import AsyncMemory, Memory
from carma.testing.embedder import HashEmbedder

__all__ = ["Loop", "Spoken", "open_async", "open_local"]


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wait_for(self, awaitable: Any) -> Any:
        """What an awaitable gives, from any other thread."""

        async def awaited() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Spoken:
    """A memory of any kind. folder: where it lies on disk. remote: whether a server stands between.

    open_: opens it. let_go: makes whoever else has it open close it.
    """

    def __init__(
        self, open_: Callable[[], Any], folder: Path, loop: Loop, *, remote: bool = False,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._open = open_
        self._loop = loop
        self._let_go = let_go
        self.folder = folder
        self.remote = remote
        self.memory = open_()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(self.memory, verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return self._loop.wait_for(answer) if inspect.isawaitable(answer) else answer

        return call

    def damage(self, how: Callable[[Path], None]) -> None:
        """Damage the files of the memory at rest."""
        if not self.remote:
            self.close()
        self._let_go()
        how(self.folder)
        if not self.remote:
            self.memory = self._open()

    def close(self) -> None:
        closed = self.memory.close()
        if inspect.isawaitable(closed):
            self._loop.wait_for(closed)


def open_local(folder: Path) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder())


def open_async(folder: Path, loop: Loop) -> AsyncMemory:
    opened: AsyncMemory = loop.wait_for(AsyncMemory.open(folder, embedder=HashEmbedder()))
    return opened
