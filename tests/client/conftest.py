"""A client on a simulated network, with a key that the real authority on its other end knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.vault.kek import KeyEncryptionKey
from carma.client.opening import AllVerbs, Opened
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk

from .network import URL, Network


class World:
    """One server, one key, one client. `stored` are the texts that the server was asked to add."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        journal = Journal(SimulatedDisk(), "/data/keys", clock=self.clock)
        self.keys = KeyStore(journal, KeyEncryptionKey(bytes(range(32))), clock=self.clock)
        self.network = Network(self.keys, self.handle, self.clock)
        self.stored: list[str] = []
        self.events: dict[str, Any] = {}

    def client(self, kind: Any = "root", **options: Any) -> Opened:
        """A client with a new key of this kind."""
        key, _ = self.keys.create("ada", "rwha", kind=kind)
        options = {"clock": self.clock, "entropy": SeededEntropy(3), **options}
        return Opened(URL, key.text, **options)

    def verbs(self, kind: Any = "root", **options: Any) -> AllVerbs:
        """Its verbs, as steps."""
        return self.client(kind, **options)._verbs

    def handle(self, method: str, target: str, body: Any) -> Any:
        """What the server answers; it is asked once for each idempotency key."""
        if method == "POST" and target == "/v1/fragments":
            self.stored += [item["text"] for item in body["items"]]
            return {"items": [{"id": f"{n:032x}", **item} for n, item in enumerate(body["items"])]}
        if target.startswith("/v1/dreams"):
            return {"cycle": 7, "status": "completed", "exact": 4}
        if target.startswith("/v1/keys"):
            key, _ = self.keys.create("ada", "rwha")
            return {"key": key.text, "fingerprint": key.fingerprint, "permissions": "rwha",
                    "old_fingerprint": "old", "old_works_until": None}  # fmt: skip
        return {"items": [], "cursor": None, "target": target, "body": body}


@pytest.fixture
def world() -> World:
    return World()


Make = Callable[[], World]
