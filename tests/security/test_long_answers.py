"""A long answer to one asker keeps nobody else waiting while it is packed or sealed."""

from __future__ import annotations

import asyncio
import gzip
import os
from typing import Any

import pytest

from carma.ports.clock import SystemEntropy
from carma.serve.call import Answer
from carma.serve.outgoing import Outgoing


@pytest.mark.parametrize(("size", "waits"), [(2**20, False), (10_000, True)])
def test_a_long_answer_is_packed_beside_the_event_loop(size: int, waits: bool) -> None:
    """Others run meanwhile; a short one is packed at once, which takes less time than to hand it over."""
    body = os.urandom(size // 2).hex().encode()
    sent: list[Any] = []
    turns = 0

    async def send(message: Any) -> None:
        sent.append(message)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def answer() -> int:
        beside = asyncio.ensure_future(others())
        await asyncio.sleep(0)
        before = turns
        await Outgoing(send, {"accept-encoding": "gzip"}, "id", 1_024, SystemEntropy()).answer(Answer(body))
        beside.cancel()
        return turns - before

    passed = asyncio.run(answer())
    assert (passed == 0) is waits
    assert (b"content-encoding", b"gzip") in sent[0]["headers"]
    assert gzip.decompress(sent[1]["body"]) == body
