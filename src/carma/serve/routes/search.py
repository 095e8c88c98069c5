"""Search, and the look over everything: topology."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request

from carma.memory.at_hand import is_at_hand
from carma.memory.memory import Memory
from carma.reports import Topology
from carma.serve.call import Answer, Call, call_of
from carma.serve.requests import NoQuery, Search, TopologyQuery
from carma.serve.routes.describe import body_of, bounded, described
from carma.serve.services import Services
from carma.serve.shapes import Found, encode, encode_found

__all__ = ["search_now", "search_routes"]

_PRIVATE = {"cache-control": "private, no-cache"}
_FEW_HITS = 20
"""Reading and proving so many takes about half a millisecond."""


def search_routes(router: APIRouter, services: Services) -> None:
    """The routes that find."""

    @described(router, "search", Found, body=Search)
    async def search(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """Find fragments by meaning and words; every hit is proven when it is read."""
        return await search_now(call_of(request.scope), services)

    @described(router, "topology", Topology)
    async def topology(request: Request, query: Annotated[TopologyQuery, Query()]) -> Answer:
        """Every fragment with its state, the tree, and the threads between what is close in meaning."""
        call = call_of(request.scope)
        limit = bounded(query, "limit", services.settings.topology_most)

        def work(memory: Memory) -> bytes:
            return encode(memory.topology(threads=query.threads, limit=limit))

        return Answer(await services.workers.ask(call.seat, work), headers=_PRIVATE)


async def search_now(call: Call, services: Services) -> Answer:
    """The answer to a search."""
    asked = body_of(call, Search)
    given = asked.arguments() | {"limit": bounded(asked, "limit", services.settings.page_most)}

    def work(memory: Memory) -> bytes:
        result = memory.search(**given)
        services.metrics.searched(result)
        return encode_found(result)

    ready = _found_now(call, asked, work)
    if ready is not None:
        return Answer(ready, headers=_PRIVATE)
    return Answer(await services.workers.ask(call.seat, work), headers=_PRIVATE)


def _found_now(call: Call, asked: Search, work: Callable[[Memory], bytes]) -> bytes | None:
    """The answer without a thread, where the memory is open and whole and nothing is to be waited for.

    Such a search takes half a millisecond, and handing it to a thread costs as much when many ask at once.
    """
    simple = asked.limit <= _FEW_HITS and asked.where is None and asked.under is None and not asked.diversity
    if not simple or call.seat.health.condition == "degraded":
        return None
    with call.seat.use_open() as memory:
        if memory is None or not is_at_hand(memory, asked.query or None, asked.vector or None, asked.mode):
            return None
        return work(memory)
