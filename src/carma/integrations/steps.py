"""One algorithm for memories that block and for memories that are awaited.

An adapter's method is a generator: it yields the verb it wants called and is sent the answer. `Bound.run`
drives it over `Memory` and `Client`, `Bound.arun` awaits it over `AsyncMemory` and `AsyncClient`, and each
also takes the other kind where that is possible. Rejected: every method twice, once with `await` in it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from carma.errors import InvalidInput
from carma.models import Fragment, Page

if TYPE_CHECKING:
    from carma.client.aio import AsyncClient
    from carma.client.client import Client
    from carma.memory.aio import AsyncMemory
    from carma.memory.memory import Memory

    AnyMemory: TypeAlias = Memory | AsyncMemory | Client | AsyncClient

__all__ = ["Bound", "Call", "Steps", "awaited", "call", "now", "pages"]

P = ParamSpec("P")
R = TypeVar("R")
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A verb that is to be called, with its arguments."""

    verb: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


Steps: TypeAlias = Generator[Call, Any, R]
"""What yields calls, is sent their answers, and returns an R."""


def call(verb: str, *args: Any, **kwargs: Any) -> Steps[Any]:
    """Call one verb; `yield from` it gives the answer."""
    return (yield Call(verb, args, kwargs))


def pages(most: int | None = None, **scope: Any) -> Steps[list[Fragment]]:
    """All fragments that `list` gives for `scope`, page by page; at most `most`."""
    found: list[Fragment] = []
    cursor: str | None = None
    while True:
        limit = _PAGE if most is None else min(_PAGE, most - len(found))
        page: Page = yield from call("list", limit=limit, cursor=cursor, **scope)
        found += page.items
        cursor = page.cursor
        if cursor is None or (most is not None and len(found) >= most):
            return found


class Bound:
    """A memory of any kind, how its verbs are called, and the object whose methods are the steps."""

    def __init__(self, memory: AnyMemory, calls: Any = None) -> None:
        self.memory: Any = memory
        self.calls = calls
        self.awaited = inspect.iscoroutinefunction(getattr(type(memory), "get", None))

    def run(self, steps: Steps[R]) -> R:
        """Carry the steps out. Raises what the verbs raise, and InvalidInput for an `AsyncClient`."""
        memory = getattr(self.memory, "sync", None) if self.awaited else self.memory
        if memory is None:
            steps.close()
            raise InvalidInput(
                f"A {type(self.memory).__name__} can only be awaited.",
                hint="Use the methods that are awaited, or give a Client.",
            )
        return _driven(memory, steps)

    async def arun(self, steps: Steps[R]) -> R:
        """Carry the steps out without holding up the event loop. Raises what the verbs raise."""
        if not self.awaited:
            return await asyncio.to_thread(_driven, self.memory, steps)
        try:
            wanted = next(steps)
            while True:
                try:
                    answer = await getattr(self.memory, wanted.verb)(*wanted.args, **wanted.kwargs)
                except Exception as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(answer)
        except StopIteration as end:
            value: R = end.value
            return value


class _HasSteps(Protocol):
    """What offers steps as methods: it holds a `Bound`."""

    _steps: Bound


def now(method: Callable[Concatenate[Any, P], Steps[R]]) -> Callable[Concatenate[_HasSteps, P], R]:
    """The method that carries out what the generator `method` of `Bound.calls` asks for."""

    def carried_out(self: _HasSteps, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._steps.run(method(self._steps.calls, *args, **kwargs))

    return cast("Callable[Concatenate[_HasSteps, P], R]", wraps(method)(carried_out))


def awaited(
    method: Callable[Concatenate[Any, P], Steps[R]],
) -> Callable[Concatenate[_HasSteps, P], Awaitable[R]]:
    """As `now`, awaited."""

    async def carried_out(self: _HasSteps, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._steps.arun(method(self._steps.calls, *args, **kwargs))

    return cast("Callable[Concatenate[_HasSteps, P], Awaitable[R]]", wraps(method)(carried_out))


def _driven(memory: Any, steps: Steps[R]) -> R:
    try:
        wanted = next(steps)
        while True:
            try:
                answer = getattr(memory, wanted.verb)(*wanted.args, **wanted.kwargs)
            except Exception as error:
                wanted = steps.throw(error)
            else:
                wanted = steps.send(answer)
    except StopIteration as end:
        value: R = end.value
        return value
