"""Who calls over HTTP: a static key is looked up here, or is a server's to judge.

`LocalKeys` is for a memory of this machine and the keys of its data directory. `ServerKeys` stands in front
of `carma serve`: the key that a caller brings is the key that asks the server, so each caller reaches the
seat that is theirs and nothing else, and a revoked key fails at its next call.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from carma.access.keys.authority import Authority
from carma.access.keys.permissions import WORDS
from carma.access.keys.text import StaticKey, parse_secret
from carma.access.keys.wire import RequestHead
from carma.client.aio import AsyncClient
from carma.errors import Forbidden, StaticKeyRefused, Unauthorized
from carma.integrations.mcp_tools import Caller

if TYPE_CHECKING:
    from carma.integrations.steps import AnyMemory

__all__ = ["LocalKeys", "ServerKeys"]

_MOST_CALLERS = 256
_TRUSTED_S = 60.0


class LocalKeys:
    """Admits static keys of one account to one memory. secure: whether callers come over TLS or loopback."""

    def __init__(self, authority: Authority, account: str, memory: AnyMemory, *, secure: bool) -> None:
        self._authority = authority
        self._account = account
        self._memory = memory
        self._secure = secure

    async def __call__(self, key: str) -> Caller:
        """Who calls. Raises Unauthorized and its kinds, KeyMalformed."""
        head = RequestHead("POST", "/mcp", f"Bearer {key}" if key else "", secure=self._secure)
        principal = self._authority.admit(head, time.time()).principal
        if principal.account != self._account:
            raise Unauthorized("The key is that of another account.")
        return Caller(self._memory, _words(principal.permissions))


class ServerKeys:
    """Admits static keys that a server admits; each caller has a client of their own.

    opens: makes a client with a key.
    """

    def __init__(self, opens: Callable[[str], AsyncClient]) -> None:
        self._opens = opens
        self._callers: OrderedDict[bytes, tuple[Caller, AsyncClient, float]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def __call__(self, key: str) -> Caller:
        """Who calls; the server is asked once a minute. Raises what the server raises."""
        parsed = parse_secret(key) if key else None
        if not isinstance(parsed, StaticKey):
            raise StaticKeyRefused("Callers over HTTP show a static key.", hint="Make one with --static.")
        name = hashlib.sha256(key.encode()).digest()
        found = self._callers.get(name)
        if found is not None and time.monotonic() - found[2] < _TRUSTED_S:
            self._callers.move_to_end(name)
            return found[0]
        client = found[1] if found is not None else self._opens(key)
        try:
            await client.dreams(1)
        except Forbidden:
            pass  # A key that may only write is a good key too.
        except BaseException as error:
            if found is None or isinstance(error, Unauthorized):
                self._callers.pop(name, None)
                await client.close()
            # Else only this question failed; other calls of the same key are under way in the client.
            raise
        caller = Caller(client, _words(parsed.permissions))
        async with self._lock:
            first = self._callers.get(name)
            if first is not None and first[1] is not client:  # The same key came twice at once.
                await client.close()
                return first[0]
            self._callers[name] = (caller, client, time.monotonic())
            self._callers.move_to_end(name)
            while len(self._callers) > _MOST_CALLERS:
                _, (_, old, _) = self._callers.popitem(last=False)
                await old.close()
        return caller

    async def close(self) -> None:
        """Close every client."""
        for _, client, _ in self._callers.values():
            await client.close()
        self._callers.clear()


def _words(letters: str) -> frozenset[str]:
    return frozenset(WORDS[letter] for letter in letters)
