"""What the routes of a server share. Made once, in `carma.serve.server`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from carma.access.keys.authority import Principal
from carma.access.keys.idempotency import Idempotency
from carma.access.keys.store import KeyStore
from carma.access.limits import Limiter, Profile
from carma.errors import CarmaError
from carma.ports.clock import Clock, Entropy
from carma.serve.audit import AuditBook
from carma.serve.block import Block
from carma.serve.dreams import Dreams
from carma.serve.meter import Meter
from carma.serve.metrics import Metrics
from carma.serve.settings import ServeSettings
from carma.serve.workers import Workers

__all__ = ["Services"]

_ROTATIONS = Profile("rotations", rate_per_s=1 / 60, burst=30)
"""New keys of one account: each is kept for a day after its end, and every server reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of a running server.

    profile: what each key may ask. draining: set when it is about to end. streams: how many event streams
    each account holds. rotations: how often accounts get new keys.
    """

    settings: ServeSettings
    block: Block
    workers: Workers
    dreams: Dreams
    keys: KeyStore
    meter: Meter
    profile: Profile
    metrics: Metrics
    audit: AuditBook
    clock: Clock
    entropy: Entropy
    idempotency: Idempotency = field(default_factory=Idempotency)
    rotations: Limiter = field(default_factory=lambda: Limiter({_ROTATIONS.name: _ROTATIONS}))
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    streams: dict[str, int] = field(default_factory=dict)

    def may_rotate(self, account: str) -> None:
        """Count a rotation of one of the account's keys. Raises TooManyRequests."""
        self.rotations.take(_ROTATIONS.name, account, self.clock.monotonic())

    def holds(self, principal: Principal) -> bool:
        """Whether a key that was admitted once still opens its account: for what outlives its request."""
        try:
            key = self.keys.get(principal.name)
            self.block.accounts.get(principal.account)
        except CarmaError:
            return False
        return key.state != "revoked" and self.clock.now() < key.until()
