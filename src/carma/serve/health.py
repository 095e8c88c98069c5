"""Whether the server lives, and whether it is of use.

`/healthz` says that the process answers, and nothing else. `/readyz` says whether requests are served, and
how whole the memories are that the block hosts: from what was seen last, never by asking them now, so that a
probe costs nothing. A damaged seat is named by its number and makes nobody else unready; what makes the
server unready is what every request needs: keys that can be read, and not being about to end.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from carma.access.keys.store import KeyStore
from carma.errors import CarmaError
from carma.ports.clock import Clock
from carma.serve.block import Block
from carma.serve.call import JSON, Answer

__all__ = ["Health"]

_CACHED_S = 1.0
_LIVING = Answer(b'{"status":"ok"}', headers={"cache-control": "no-store"})


class Health:
    """Answers the two questions for one server."""

    def __init__(self, block: Block, keys: KeyStore, draining: asyncio.Event, clock: Clock) -> None:
        self._block = block
        self._keys = keys
        self._draining = draining
        self._clock = clock
        self._known: tuple[float, Answer] | None = None

    def living(self) -> Answer:
        """`/healthz`."""
        return _LIVING

    def ready(self) -> Answer:
        """`/readyz`; the same for a second, unless the server is about to end."""
        now = self._clock.monotonic()
        if self._known is None or now - self._known[0] >= _CACHED_S or self._draining.is_set():
            self._known = (now, self._look())
        return self._known[1]

    def _look(self) -> Answer:
        reasons: list[str] = []
        if self._draining.is_set():
            reasons.append("draining")
        try:
            self._keys.keys()
            value = self.seats()
        except CarmaError as error:
            reasons.append(error.code)
            value = {}
        status = "unready" if reasons else "degraded" if value.get("degraded") else "ready"
        body = json.dumps({"status": status, "reasons": reasons, **value}).encode()
        return Answer(body, status=503 if reasons else 200, media=JSON, headers={"cache-control": "no-store"})

    def seats(self) -> dict[str, Any]:
        """The integrity of all seats, as they were last seen. Raises what the accounts' journal raises."""
        seats = self._block.health()
        degraded = [each for each in seats if each.condition == "degraded"]
        checked = [each.checked for each in seats if each.checked]
        return {
            "seats": {
                "capacity": self._block.accounts.seats,
                "taken": len(seats),
                "open": self._block.open_seats,
                "looked_at": len(checked),
            },
            "degraded": [{"seat": each.seat, "reason": each.reason} for each in degraded],
            "fragments": sum(each.fragments for each in seats),
            "blanks": sum(each.blanks for each in seats),
            "reconstructed": sum(each.reconstructed for each in seats),
            "pending_vectors": sum(each.pending for each in seats),
            "oldest_look": min(checked, default=None),
        }
