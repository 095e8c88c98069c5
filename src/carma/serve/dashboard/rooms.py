"""The pages behind the door, loaded and begun when the first of them is asked for.

NiceGUI takes a second and some tens of megabytes, which a server whose dashboard nobody opens need not spend.
It is one for the process: a process runs one server with open pages at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

__all__ = ["Rooms"]


class Rooms:
    """The application of the pages."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._app: Any = None

    async def open(self) -> Any:
        """The application, begun."""
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await self._begin()
        return self._app

    async def close(self) -> None:
        """End what was begun."""
        await self._stack.aclose()

    async def _begin(self) -> Any:
        house = await asyncio.to_thread(import_module, "carma.serve.dashboard.house")
        app = house.house()
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        return app
