"""Draining: how a server ends on SIGTERM without anybody losing what was acknowledged.

At the signal, in this order: readiness goes, streams end with an id to resume from, dreams are asked to end,
no connection is accepted any more, requests that run are answered, the audit log is copied once more, and the
memories are closed. All of it has one bound; when that is over the process ends where it stands. That loses
nothing: acknowledged means durable, and closing only makes the next start faster. A second signal ends it at
once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from carma.errors import CannotListen
from carma.serve.log import Log
from carma.serve.settings import ServeSettings

__all__ = ["DrainingServer"]

_CLOSING_SHARE = 0.5
"""Of the bound, for answering; the rest is for closing."""
_GOODBYE_S = 2.0
"""So long a TLS connection waits for the other side's goodbye."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class DrainingServer(uvicorn.Server):
    """uvicorn's server, ended in our order.

    ready: called when requests are answered. begin: called on the event loop when the end begins. log: told.
    After `drain_s` of the settings the process ends, if a signal asked for it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        begin: Callable[[], None],
        settings: ServeSettings,
        log: Log,
    ) -> None:
        super().__init__(config)
        bound_s = settings.drain_s
        self._handshake_s = settings.head_s
        self._ready = ready
        self._begin = begin
        self._owns_process = False
        self._bound_s = bound_s
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last = threading.Timer(bound_s, self._give_up)
        self._last.daemon = True
        self.ending = False

    @classmethod
    def answering_s(cls, bound_s: float) -> int:
        """How long requests that run may go on, in whole seconds."""
        return max(1, int(bound_s * _CLOSING_SHARE))

    async def startup(self, sockets: Any = None) -> None:
        """Listen. uvicorn's own would wait a minute for a TLS handshake, and end the process if it cannot.

        Raises CannotListen.
        """
        self._loop = asyncio.get_running_loop()
        config = self.config
        await self.lifespan.startup()
        tls: dict[str, Any] = {}
        if config.ssl is not None:
            tls = {
                "ssl": config.ssl,
                "ssl_handshake_timeout": self._handshake_s,
                "ssl_shutdown_timeout": _GOODBYE_S,
            }
        try:
            server = await self._loop.create_server(
                self._connection, config.host, config.port, backlog=config.backlog, **tls
            )
        except OSError as error:
            await self.lifespan.shutdown()
            raise CannotListen(f"{config.host} port {config.port} cannot be listened on.") from error
        self.servers = [server]
        self.started = True
        self._ready()

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Our own handlers; unlike uvicorn's the signal is not raised again, because it was obeyed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._owns_process = True
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        if self.ending:
            self.force_exit = True
            os._exit(0)
        self.end()

    def end(self) -> None:
        """Begin to end. From any thread."""
        if self.ending:
            return
        self.ending = True
        if self._owns_process:
            self._last.start()
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._begin_now)
        self.should_exit = True

    def ended(self) -> None:
        """Everything is closed in time."""
        self._last.cancel()

    def _begin_now(self) -> None:
        self._log.info("drain", bound_s=self._bound_s)
        self._begin()

    def _give_up(self) -> None:
        self._log.warning("drain-out-of-time", bound_s=self._bound_s)
        os._exit(0)
