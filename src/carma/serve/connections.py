"""Connections: how many, how slow, and how long their headers may be.

uvicorn parses HTTP fast and trusts that someone in front of it keeps order; here nobody stands in front. So
its protocol gets the bounds it lacks: headers come whole in time and are not longer than they may be, so do
trailers, requests do not pile up behind one that runs, an answer that nobody reads is given up, and when the
server is full the connection goes that has sent no request for longest, so that an honest one gets in.
Rejected: uvicorn's own `limit_concurrency`, which answers 503 to whoever comes last: a flood would shut
everybody else out.

Slow bodies are the matter of `body`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from carma.errors import CarmaError, HeadersTooLarge, RequestRefused, RequestTooSlow
from carma.serve.guard import answer_tag
from carma.serve.problems import problem_of
from carma.serve.settings import ServeSettings
from carma.uml.squares import as_text, square_of

__all__ = ["Connection", "Crowd", "connection_maker"]

_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
_WRITE_LOOK_S = 10.0
_WRITE_LEAST_BYTES = 64 * 2**10
"""Whoever reads less of an answer than this within a look does not read it."""


class Crowd:
    """All connections of a server, and which of them may go first when it is full. most: so many."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._all: set[Connection] = set()
        self._new: OrderedDict[Connection, None] = OrderedDict()
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self.evicted = 0
        """How many had to go."""

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, one: Connection) -> None:
        """A connection was made. If the server is full, another one goes, or this one."""
        if len(self._all) >= self.most:
            place = self._new or self._idle
            victim = next(iter(place), one)
            self.evicted += 1
            self.leave(victim)
            victim.abort()
            if victim is one:
                return
        self._all.add(one)
        self._new[one] = None

    def busy(self, one: Connection) -> None:
        """It has sent a request."""
        self._new.pop(one, None)
        self._idle.pop(one, None)

    def idle(self, one: Connection) -> None:
        """Its request was answered."""
        if one in self._all:
            self._idle[one] = None

    def leave(self, one: Connection) -> None:
        """It is gone."""
        self._all.discard(one)
        self._new.pop(one, None)
        self._idle.pop(one, None)


class Connection(HttpToolsProtocol):
    """One connection, bounded."""

    def __init__(self, *, crowd: Crowd, settings: ServeSettings, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd
        self._bounds = settings
        self._in_head = True
        self._loose_bytes = 0
        """Bytes that came since the parser last made something of them: a head, or a piece of a body."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._refusal: CarmaError | None = None

    def abort(self) -> None:
        """Close it at once."""
        self._stop_timers()
        if self.transport is not None:
            self.transport.abort()

    # From the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        self._crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._loose_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal or RequestRefused("This is not HTTP as it must be."))
        if self._loose_bytes > self._bounds.head_bytes:
            self._refuse(HeadersTooLarge(f"The headers have more than {self._bounds.head_bytes} bytes."))

    def handle_websocket_upgrade(self) -> None:
        self._stop_timers()
        self._crowd.leave(self)
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(_WRITE_LOOK_S, self._look_at_writing)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # From the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._in_head, self._loose_bytes = True, 0
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
        # Else a trailer, behind a body in pieces. It decides nothing here, so it is thrown away.

    def on_headers_complete(self) -> None:
        self._in_head, self._loose_bytes = False, 0
        self._stop_head_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._bounds.head_bytes or len(self.headers) > self._bounds.headers_most:
            self._turn_down(
                HeadersTooLarge(
                    f"Headers have at most {self._bounds.head_bytes} bytes "
                    f"and {self._bounds.headers_most} lines."
                )
            )
        if self.parser.should_upgrade() and not self._should_upgrade():
            self._turn_down(RequestRefused("Nothing is upgraded here, and nothing is connected through."))
        if len(self.pipeline) >= self._bounds.pipeline_most:
            self._turn_down(RequestRefused("Too many requests were sent before the first was answered."))
        self._crowd.busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._loose_bytes = 0
        super().on_message_complete()
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and self.timeout_keep_alive_task is None:
            # The rest of a body that nobody wanted came after the answer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline:
            self._crowd.idle(self)

    # Bounds

    def _await_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self._bounds.head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._loose_bytes:
            self._refuse(RequestTooSlow(f"The headers did not come whole in {self._bounds.head_s:g} s."))
        else:
            self.transport.close()

    def _look_at_writing(self) -> None:
        self._write_timer = None
        left = self.transport.get_write_buffer_size()
        if left > self._unsent - _WRITE_LEAST_BYTES:
            self.abort()
            return
        self._unsent = left
        self._write_timer = self.loop.call_later(_WRITE_LOOK_S, self._look_at_writing)

    def _turn_down(self, error: CarmaError) -> NoReturn:
        """Out of the parser, which goes no further then."""
        self._refusal = error
        raise ValueError(error.code)

    def _refuse(self, error: CarmaError) -> None:
        """Answer what never became a request, and close."""
        self._refusal = error
        self._stop_timers()
        if self.transport.is_closing():
            return
        running = self.cycle
        if running is not None and not running.response_complete:
            if self.pipeline or running.response_started or not running.more_body:
                self.transport.close()  # An answer is on its way: nothing fits in between.
                return
            # Its body is what was refused, so it will never be whole: nobody waits for it any longer.
            running.disconnected = True
            running.message_event.set()
        id = secrets.token_hex(8)
        body = json.dumps(problem_of(error, id)).encode()
        square = as_text(square_of(answer_tag(None, id)))
        head = (
            f"HTTP/1.1 {error.status} {_REASONS.get(error.status, 'Refused')}\r\n"
            "content-type: application/problem+json\r\ncache-control: no-store\r\n"
            f"x-request-id: {id}\r\ncarma-square: {square}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def connection_maker(crowd: Crowd, settings: ServeSettings) -> Callable[..., Connection]:
    """What uvicorn makes its connections with."""

    def make(**given: Any) -> Connection:
        return Connection(crowd=crowd, settings=settings, **given)

    return make
