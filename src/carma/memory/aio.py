"""`AsyncMemory`: the same verbs, awaitable.

There is no second implementation: every verb runs `Memory`'s in a thread of a small pool, so an event loop is
never held up by a disk. The types are those of `Memory`, taken over by `_twin`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from carma.memory.memory import Memory
from carma.models import Act

__all__ = ["AsyncMemory"]

P = ParamSpec("P")
R = TypeVar("R")
_THREADS = 32


def _twin(verb: Callable[Concatenate[Memory, P], R]) -> Callable[Concatenate[AsyncMemory, P], Awaitable[R]]:
    """The awaitable form of a verb of `Memory`."""

    async def call(self: AsyncMemory, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(partial(verb, self._memory, *args, **kwargs))

    return cast("Callable[Concatenate[AsyncMemory, P], Awaitable[R]]", wraps(verb)(call))


class AsyncMemory:
    """A memory for asyncio. Made by `await AsyncMemory.open(path)`; use it in an `async with` block or await
    `close()`.

    A cancelled call stops waiting; what it asked for may still be done. `sync` is the `Memory` underneath.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="carma-async")
        self._closed = False

    @classmethod
    async def open(cls, path: str | Path, **options: Any) -> Self:
        """As `Memory.open`."""
        return cls(await asyncio.to_thread(partial(Memory.open, path, **options)))

    @classmethod
    async def encrypt(cls, path: str | Path, **options: Any) -> dict[str, Any]:
        """As `Memory.encrypt`."""
        return await asyncio.to_thread(partial(Memory.encrypt, path, **options))

    @property
    def sync(self) -> Memory:
        """The memory itself."""
        return self._memory

    @property
    def path(self) -> str:
        """The folder."""
        return self._memory.path

    @property
    def read_only(self) -> bool:
        """Whether this memory can only be read."""
        return self._memory.read_only

    def acting(self, act: Act) -> AbstractContextManager[None]:
        """As `Memory.acting`: `with memory.acting(act): await memory.add(…)`."""
        return self._memory.acting(act)

    async def _run(self, call: Callable[[], R]) -> R:
        if self._closed:
            return call()  # It raises at once what a closed memory raises; closing again does nothing.
        # The context goes along: who acts (`acting`) is a part of it.
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, call)

    async def close(self) -> None:
        """As `Memory.close`; idempotent."""
        await self._run(self._memory.close)
        self._closed = True
        self._pool.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    accept = _twin(Memory.accept)
    acts = _twin(Memory.acts)
    acts_copied = _twin(Memory.acts_copied)
    add = _twin(Memory.add)
    add_many = _twin(Memory.add_many)
    answered = _twin(Memory.answered)
    blanks = _twin(Memory.blanks)
    children = _twin(Memory.children)
    clear_breaker = _twin(Memory.clear_breaker)
    compact = _twin(Memory.compact)
    count = _twin(Memory.count)
    delete = _twin(Memory.delete)
    doctor = _twin(Memory.doctor)
    dream = _twin(Memory.dream)
    dreams = _twin(Memory.dreams)
    export = _twin(Memory.export)
    flush = _twin(Memory.flush)
    get = _twin(Memory.get)
    get_many = _twin(Memory.get_many)
    history = _twin(Memory.history)
    import_ = _twin(Memory.import_)
    ingest = _twin(Memory.ingest)
    list = _twin(Memory.list)
    parent = _twin(Memory.parent)
    reembed = _twin(Memory.reembed)
    reject = _twin(Memory.reject)
    repair_index = _twin(Memory.repair_index)
    rest = _twin(Memory.rest)
    look = _twin(Memory.look)
    scan = _twin(Memory.scan)
    search = _twin(Memory.search)
    search_many = _twin(Memory.search_many)
    show_dream = _twin(Memory.show_dream)
    snapshot = _twin(Memory.snapshot)
    stats = _twin(Memory.stats)
    topology = _twin(Memory.topology)
    tree = _twin(Memory.tree)
    update = _twin(Memory.update)
