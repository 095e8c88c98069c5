"""A LangGraph `BaseStore` over a memory: what agents put there is proven on every read, and heals.

    from carma import Memory
    from carma.integrations.langgraph import CarmaStore

    graph = builder.compile(store=CarmaStore(Memory.open("notes")))

Put, get, search by meaning and by filter, namespaces, `index` and `ttl` are those of LangGraph. What is
damaged comes back as an item whose value says so under `carma`; it is never an empty answer. Rejected: an
embedder of the store's own, because a memory has one already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from carma.errors import MissingExtra
from carma.ports.clock import Clock, SystemClock

try:
    from langgraph.store.base import BaseStore, Op, Result, TTLConfig
except ImportError as error:
    raise MissingExtra(
        "LangGraph is not installed.", hint="Install it with `pip install 'carma-memory[langgraph]'`."
    ) from error

from carma.integrations.langgraph_items import WHOLE
from carma.integrations.langgraph_steps import StoreSteps
from carma.integrations.steps import Bound

if TYPE_CHECKING:
    from carma.integrations.steps import AnyMemory

__all__ = ["CarmaStore"]


class CarmaStore(BaseStore):
    """A store for agents, in a memory.

    memory: open, of any kind; it stays open. fields: paths of what a search is to find in an item, unless
    `put(index=…)` says it (`$`: the whole value as JSON). ttl: LangGraph's configuration of expiry; expired
    items are never shown. user, agent: keep this store apart from others in the same memory.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: AnyMemory,
        *,
        fields: Sequence[str] = (WHOLE,),
        ttl: TTLConfig | None = None,
        user: str | None = None,
        agent: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        scope = {name: value for name, value in (("user", user), ("agent", agent)) if value is not None}
        self.ttl_config = ttl
        self._bound = Bound(memory)
        self._steps = StoreSteps(fields, scope, clock or SystemClock())

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry operations out, in order. Raises InvalidInput, TooLarge, and what the memory raises."""
        return self._bound.run(self._steps.batch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, without holding up the event loop."""
        return await self._bound.arun(self._steps.batch(ops))
