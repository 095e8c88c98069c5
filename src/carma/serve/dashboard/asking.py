"""How a page asks: under the key that signed in, checked anew each time, in the server's bounded workers.

Nothing is remembered as allowed. Before each question the visit, the key's state, its limits and its
permission are looked at, as for a request to `/v1`; a key that was revoked a moment ago opens nothing, in a
page that is open too. A change is made on behalf of the key and noted with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from carma.access.keys.authority import Principal
from carma.access.keys.permissions import NEEDS
from carma.errors import AccountNotFound, CarmaError, Unauthorized
from carma.memory.memory import Memory
from carma.models import Act
from carma.serve.dashboard.visits import Visit, Visits
from carma.serve.guard import Guard
from carma.serve.log import Log
from carma.serve.seat import Seat
from carma.serve.services import Services

__all__ = ["Asking", "Desk"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What all visits of a server share."""

    services: Services
    guard: Guard
    visits: Visits
    log: Log

    def holds(self, visit: Visit) -> bool:
        """Whether the key of a visit still opens its account."""
        services, principal = self.services, visit.principal
        try:
            key = services.keys.get(principal.name)
            services.block.accounts.get(principal.account)
        except CarmaError:
            return False
        return key.state != "revoked" and services.clock.now() < key.until()


class Asking:
    """What one visit may ask. Every call raises Unauthorized when the visit is over, TooManyRequests, Blocked
    and Forbidden as the HTTP interface does, and what the memory raises.
    """

    def __init__(self, desk: Desk, visit: Visit) -> None:
        self._desk = desk
        self.services = desk.services
        self.visit = visit
        self.log = desk.log

    @property
    def principal(self) -> Principal:
        """Who signed in."""
        return self.visit.principal

    @property
    def seat(self) -> Seat:
        """The seat of the account that signed in; there is no way to another."""
        return self.services.block.seat(self.principal.account)

    def may(self, operation: str) -> bool:
        """Whether the key has the permission, for what a page offers. What it asks is checked too."""
        return NEEDS[operation] in self.principal.permissions

    def check(self, operation: str, *, quiet: bool = False) -> str:
        """Whether the operation may be asked now; the id of the request. quiet: nobody did anything, a page
        asks by itself, so the visit does not last longer for it.
        """
        visit, services = self.visit, self.services
        if not self._desk.visits.goes_on(visit, touch=not quiet):
            raise Unauthorized("You are signed out.", hint="Sign in again.")
        if not self._desk.holds(visit):
            self._desk.visits.end(visit)
            raise Unauthorized("The key that signed in is no longer valid.", hint="Sign in with another key.")
        request_id = services.entropy.bytes(8).hex()
        self._desk.guard.let_in(self.principal, operation, request_id)
        services.meter.add(self.principal.account, operation, 0, 0)
        if NEEDS[operation] == "r":
            services.audit.read(self.principal.account)
        return request_id

    async def ask(self, operation: str, call: Callable[[Memory], T], *, quiet: bool = False) -> T:
        """What the account's memory answers."""
        self.check(operation, quiet=quiet)
        return await self.services.workers.ask(self._seat(), call)

    async def change(self, operation: str, call: Callable[[Memory], T]) -> T:
        """A change of the account's memory, noted with who made it."""
        act = self.act(operation)

        def changed(memory: Memory) -> T:
            with memory.acting(act):
                return call(memory)

        seat = self._seat()
        try:
            return await self.services.workers.ask(seat, changed)
        finally:
            self.services.audit.written(seat)

    async def run(self, operation: str, call: Callable[[], T]) -> T:
        """A call that needs no memory."""
        self.check(operation)
        return await self.services.workers.run(self._seat(), call)

    def act(self, operation: str) -> Act:
        """On whose behalf something is changed; checks as `check`."""
        principal, request_id = self.principal, self.check(operation)
        return Act(account=principal.account, operation=operation, key=principal.key, request_id=request_id)

    def _seat(self) -> Seat:
        try:
            return self.seat
        except AccountNotFound:
            self._desk.visits.end(self.visit)
            raise Unauthorized("The account is gone.") from None
