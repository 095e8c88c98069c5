"""mem0's `Memory` over CARMA: change one import line and keep the calls.

    from carma.integrations.mem0 import Memory  # was: from mem0 import Memory

`add` stores what it is given, word for word: CARMA asks no language model, so nothing is extracted, merged or
dropped behind the caller's back (mem0's `infer=False`). Whoever wants facts instead of messages gives a
function `extract`, and `infer=True` uses it. Rejected: to take `infer=True` and store the messages anyway,
because a caller who asked for facts would never learn that there are none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from carma.integrations.mem0_calls import Calls, Extract
from carma.integrations.steps import Bound, awaited, now

if TYPE_CHECKING:
    from carma.integrations.steps import AnyMemory

__all__ = ["AsyncMemory", "Memory"]

_LOG = logging.getLogger(__name__)


class _Opened:
    """The memory underneath: one that is open (then it stays open), or the folder of one."""

    def __init__(
        self, memory: AnyMemory | str | os.PathLike[str] | None = None, *, extract: Extract | None = None
    ) -> None:
        self._own = memory is None or isinstance(memory, (str, os.PathLike))
        if memory is None or isinstance(memory, (str, os.PathLike)):
            from carma.memory.memory import Memory as Local  # Heavy, and not needed over a client.

            memory = Local.open(_folder(memory))
        self._steps = Bound(memory, Calls(extract))

    @classmethod
    def from_config(cls, config_dict: Mapping[str, Any] | None = None) -> Self:
        """By mem0's configuration: `{"carma": {"path": …}}` says where, and nothing else of it is needed."""
        given = dict(config_dict or {})
        path = (given.pop("carma", None) or {}).get("path")
        if given:
            _LOG.info("not needed here, and left aside: %s", ", ".join(sorted(given)))
        return cls(path)


class Memory(_Opened):
    """mem0's `Memory`.

    memory: a `Memory` or `Client` that is open, or a folder; else CARMA_STORE, else `~/.carma/mem0`. extract:
    facts from messages, for `infer=True`.
    """

    add = now(Calls.add)
    delete = now(Calls.delete)
    delete_all = now(Calls.delete_all)
    get = now(Calls.get)
    get_all = now(Calls.get_all)
    history = now(Calls.history)
    reset = now(Calls.reset)
    search = now(Calls.search)
    update = now(Calls.update)

    def close(self) -> None:
        """Close the memory, if this opened it."""
        if self._own:
            self._steps.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMemory(_Opened):
    """mem0's `AsyncMemory`: as `Memory`, awaited; also over an `AsyncMemory` or `AsyncClient` of CARMA."""

    add = awaited(Calls.add)
    delete = awaited(Calls.delete)
    delete_all = awaited(Calls.delete_all)
    get = awaited(Calls.get)
    get_all = awaited(Calls.get_all)
    history = awaited(Calls.history)
    reset = awaited(Calls.reset)
    search = awaited(Calls.search)
    update = awaited(Calls.update)

    async def close(self) -> None:
        """Close the memory, if this opened it."""
        if self._own:
            self._steps.memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _folder(given: str | os.PathLike[str] | None) -> Path:
    named = given or os.environ.get("CARMA_STORE")
    return Path(named).expanduser() if named else Path.home() / ".carma" / "mem0"
