"""A busy owner has bounds of their own, below those of the server: the others find room."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from carma.access.keys.authority import Principal
from carma.client.operations import OPERATIONS
from carma.errors import ServerBusy
from carma.serve.body import BodyReader
from carma.serve.call import Call
from carma.serve.guard import Admission
from carma.serve.settings import ServeSettings
from carma.serve.workers import Workers


class _Seat:
    """Stands for a seat; its calls need no memory."""


@pytest.mark.parametrize("kind", ["run", "read"])
def test_one_owner_cannot_take_every_place_to_wait_in(kind: str) -> None:
    """With all they may have taken, the next call of theirs is refused, and another's is carried out."""
    settings = ServeSettings(threads=4, waiting_most=16, seat_calls_most=2)
    go = threading.Event()

    async def flood() -> None:
        workers = Workers(settings)
        busy: Any = _Seat()
        quiet: Any = _Seat()
        ask = getattr(workers, kind)
        calls = [asyncio.ensure_future(ask(busy, go.wait)) for _ in range(50)]
        try:
            await asyncio.sleep(0)
            refused = [call for call in calls if call.done()]
            assert len(refused) == 44, "2 run, 4 wait"
            assert all(isinstance(call.exception(), ServerBusy) for call in refused)
            assert await asyncio.wait_for(workers.run(quiet, lambda: "done"), 5) == "done"
        finally:
            go.set()
            await asyncio.gather(*calls, return_exceptions=True)
            workers.close()
        assert workers.inside == 0

    asyncio.run(flood())


def _call(account: str, length: int) -> Call:
    headers = {"content-length": str(length), "authorization": "Bearer x"}
    call = Call(OPERATIONS["add"], {}, "id", headers, b"", "local")
    call.admission = Admission(Principal(account, "key", "w", "name"), b"")
    return call


def test_one_owner_cannot_take_all_the_room_for_bodies() -> None:
    """Who sends large bodies and never ends them is refused the next one; another account's body is read; and
    what was held is free afterwards.
    """
    settings = ServeSettings(body_bytes=1_000, bodies_bytes=4_000)

    async def flood() -> None:
        reader = BodyReader(settings, None)
        never = asyncio.Event()

        def slow() -> Any:
            came = [{"type": "http.request", "body": b"x" * 900, "more_body": True}]

            async def receive() -> Any:
                if not came:
                    await never.wait()
                return came.pop()

            return receive

        async def whole() -> Any:
            return {"type": "http.request", "body": b'{"text": "x"}'}

        async def read(call: Call, receive: Any) -> None:
            try:
                await reader.read(call, receive, "POST", "/v1/fragments")
            finally:
                reader.release(call)

        calls = [asyncio.ensure_future(read(_call("busy", 1_000), slow())) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        refused = [call for call in calls if call.done()]
        assert len(refused) == 3 and all(isinstance(call.exception(), ServerBusy) for call in refused)
        await read(_call("quiet", 13), whole)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert reader.held_bytes == 0 and not reader._held_of

    asyncio.run(flood())
