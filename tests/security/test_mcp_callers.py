"""Callers of an MCP server that stands in front of a server: one question that fails is one that fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from carma.access.keys.making import make_static_key
from carma.errors import CarmaError, ServerUnreachable, Unauthorized
from carma.integrations import mcp_keys
from carma.integrations.mcp_keys import ServerKeys
from carma.ports.clock import SystemEntropy


class _Client:
    """Stands for a client whose server is away, or has revoked the key."""

    def __init__(self) -> None:
        self.error: CarmaError | None = None
        self.closed = False

    async def dreams(self, count: int) -> list[Any]:
        if self.error is not None:
            raise self.error
        return []

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("error", [ServerUnreachable("It is away."), Unauthorized("It was revoked.")])
def test_a_known_callers_client_is_closed_only_where_the_key_is_no_longer_good(
    error: CarmaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other calls of the same key are under way in it: a server that was away for a moment ends none."""
    monkeypatch.setattr(mcp_keys, "_TRUSTED_S", 0.0)
    made: list[_Client] = []

    def opens(key: str) -> Any:
        made.append(_Client())
        return made[-1]

    async def ask() -> None:
        keys, key = ServerKeys(opens), make_static_key(SystemEntropy(), bytes(32), "r")[1].text
        first = await keys(key)
        made[0].error = error
        with pytest.raises(type(error)):
            await keys(key)
        made[0].error = None
        assert made[0].closed is isinstance(error, Unauthorized)
        again = await keys(key)
        assert (again.memory is first.memory) is not made[0].closed
        await keys.close()

    asyncio.run(ask())
