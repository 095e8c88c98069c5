"""Server-sent events: a dream, while it runs.

Every event has an id, `cycle-number`, so a stream that was cut off is resumed where it ended: the browser
sends `Last-Event-ID` by itself, and so does our client. When the server is about to end, the stream says so
and ends with an id to resume from. The last event of a dream is its report. A stream outlives the request
that began it, so the key is looked at again while it lasts.

Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import StreamingResponse

from carma.reports import DreamReport
from carma.serve.dreams import Feed
from carma.serve.shapes import encode

__all__ = ["EventStream", "Listener", "last_number", "tell_feed", "tell_log"]

_POLL_S = 1.0
Look = Callable[[], Any]


class EventStream(StreamingResponse):
    """An answer that is a stream of events. ended: called once, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        super().__init__(events, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


def last_number(header: str | None, cycle: int) -> int:
    """The number behind which a stream of this cycle goes on; 0 for all of it."""
    if header is None:
        return 0
    of, _, number = header.partition("-")
    mine = of == str(cycle) and number.isascii() and number.isdigit() and len(number) < 16
    return int(number) if mine else 0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who follows a dream, and what may end it.

    draining: set when the server is about to end. heartbeat_s: how often silence is broken. may_go_on: asked
    once a second; False where the key was revoked meanwhile. report: awaited for the dream as it stands.
    """

    draining: asyncio.Event
    heartbeat_s: float
    may_go_on: Callable[[], bool]
    report: Look


async def tell_feed(feed: Feed, after: int, listener: Listener) -> AsyncIterator[bytes]:
    """What a dream of this server tells, behind the number `after`, until it is over."""
    cycle, number = feed.report.cycle, after
    bell = feed.listen()
    silent_s = 0.0
    try:
        yield b"retry: 1000\n\n"
        while listener.may_go_on():
            bell.clear()
            for event in feed.after(number):
                number = event.number
                value = {"cycle": cycle, "done": event.done, "total": event.total, "what": event.what}
                yield _event(f"{cycle}-{number}", "progress", json.dumps(value).encode())
            if feed.over:
                yield _event(f"{cycle}-{number + 1}", "report", encode(await listener.report()))
                return
            if listener.draining.is_set():
                yield _event(f"{cycle}-{number}", "drain", b'{"resume":true}')
                return
            waited_s = min(_POLL_S, listener.heartbeat_s)
            silent_s = 0.0 if await _either(bell, listener.draining, waited_s) else silent_s + waited_s
            if silent_s >= listener.heartbeat_s:
                silent_s = 0.0
                yield b": alive\n\n"
    finally:
        feed.leave(bell)


async def tell_log(cycle: int, listener: Listener) -> AsyncIterator[bytes]:
    """A dream that somebody else runs: what the log says of it, until it is over."""
    yield b"retry: 1000\n\n"
    silent_s = 0.0
    while listener.may_go_on():
        found: DreamReport = await listener.report()
        if found.status not in ("pending", "running"):
            yield _event(f"{cycle}-0", "report", encode(found))
            return
        if listener.draining.is_set():
            yield _event(f"{cycle}-0", "drain", b'{"resume":true}')
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(listener.draining.wait(), _POLL_S)
        silent_s += _POLL_S
        if silent_s >= listener.heartbeat_s:
            silent_s = 0.0
            yield b": alive\n\n"


async def _either(first: asyncio.Event, second: asyncio.Event, timeout_s: float) -> bool:
    """Wait until one of two events is set; False if neither was in time."""
    waits = [asyncio.ensure_future(each.wait()) for each in (first, second)]
    try:
        done, _ = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:  # Also where the reader is gone and this wait is cancelled.
        for each in waits:
            each.cancel()


def _event(id: str, kind: str, data: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), kind.encode(), data)
