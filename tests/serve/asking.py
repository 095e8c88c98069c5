"""A request that is right for each of the 17 operations, made from the table that the server routes by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from carma.client.operations import OPERATIONS

NOBODYS: Final = "0" * 31 + "1"
"""An id that no fragment has."""
BODIES: Final[Mapping[str, dict[str, Any]]] = {
    "add": {"text": "The spare key hangs behind the blue door."},
    "update": {"text": "The spare key lies under the third stone."},
    "search": {"query": "Where is the spare key?"},
    "scan": {},
    "dream": {"dry_run": True},
    "rotate_key": {},
}
NAMES: Final = tuple(OPERATIONS)


def ask(client: httpx.Client, name: str, *, id: str = NOBODYS, cycle: int = 1, **more: Any) -> httpx.Response:
    """Ask for one operation. id, cycle: of the path, where there is one. more: as httpx takes it."""
    operation = OPERATIONS[name]
    target = operation.target(**_parameters(operation.path, id, cycle))
    if name in BODIES and "content" not in more:
        more.setdefault("json", BODIES[name])
    return client.request(operation.method, target, **more)


def remember(
    client: httpx.Client, text: str = "The spare key hangs behind the blue door.", **more: Any
) -> Any:
    """Add one fragment; as it was answered."""
    answer = client.post("/v1/fragments", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["items"][0]


def dream(client: httpx.Client, **order: Any) -> int:
    """Start a dream as soon as the one before is over; its cycle."""
    until = time.monotonic() + 20
    while True:
        answer = client.post("/v1/dreams", json=order)
        if answer.status_code == 202:
            return int(answer.json()["cycle"])
        assert answer.json()["title"] == "MemoryBusy" and time.monotonic() < until, answer.text
        time.sleep(0.02)


def _parameters(path: str, id: str, cycle: int) -> dict[str, object]:
    known: dict[str, object] = {"id": id, "cycle": cycle}
    return {name: value for name, value in known.items() if f"{{{name}}}" in path}
