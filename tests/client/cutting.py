"""A real proxy on the way to a real server: it cuts connections when the request has been carried out.

It reads a request whole, asks the server, reads the answer whole, and only then does what its list of faults
says: give the answer, half of it, none of it, or a page of its own. Answers that say 401 are passed on
without a fault, so that each fault hits a request that the server has acted on.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Fault", "Proxy", "proxied"]

Fault = str | Callable[[], None]
"""`cut`, `half`, `gateway`, `drop` (before the server is asked), `` for none; or what to do before a cut."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nlost"


class Proxy:
    """One port of this machine that leads to another.

    faults: one for each request that is answered by more than 401. asked: the first lines of the requests
    that reached the server and were answered so. cut_streams: after how many bytes the next streams are cut.
    """

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.faults: deque[Fault] = deque()
        self.cut_streams: deque[int] = deque()
        self.asked: list[str] = []
        self._tasks: set[asyncio.Task[None] | None] = set()
        """Held here: a task whose client has left is otherwise held by nobody while the server is silent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Carry one request and its answer; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        request = head + await reader.readexactly(_length(head))
        if self.faults and self.faults[0] == "drop":
            self.faults.popleft()
            return False
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            back.write(request)
            answer = await there.readuntil(b"\r\n\r\n")
            if b"text/event-stream" in answer.lower():
                return await self._stream(answer, there, writer)
            answer += await there.readexactly(_length(answer))
        finally:
            back.transport.abort()
        if answer.startswith(b"HTTP/1.1 401"):
            writer.write(answer)
            return True
        self.asked.append(request.partition(b" HTTP/")[0].decode())
        return await self._hurt(answer, writer)

    async def _hurt(self, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        fault = self.faults.popleft() if self.faults else ""
        if callable(fault):
            await asyncio.to_thread(fault)
            return False
        if fault == "half":
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
        elif fault == "gateway":
            writer.write(_GATEWAY)
        elif not fault:
            writer.write(answer)
        return fault in ("", "gateway")

    async def _stream(self, begun: bytes, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        left = self.cut_streams.popleft() if self.cut_streams else 10**9
        writer.write(begun)
        while left > 0 and (piece := await there.read(min(left, 65_536))):
            writer.write(piece)
            await writer.drain()
            left -= len(piece)
        return False


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


@contextmanager
def proxied(to: int) -> Iterator[Proxy]:
    """A proxy in a thread of its own, in front of the port `to`."""
    proxy, ready = Proxy(to), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_until(proxy, ready, stop)))
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _until(proxy: Proxy, ready: threading.Event, stop: asyncio.Event) -> None:
    await proxy.serve(ready, stop)
    quiet = 0
    while quiet < 10:  # A connection that was just accepted becomes a task some turns later.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        quiet = 0 if others else quiet + 1
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.002)
