"""What schemathesis cannot know of this interface, told to it in its own process (`hooks` of its settings).

An Idempotency-Key names one request, so one that was used before is made new; that the same one with another
request is refused test_idempotency shows. Rotating a key may end it, so this operation has a key of its own,
and asks on with the one that it was given last. And who shows no right key is slowed down, so each request
comes from another address, as a trusted proxy says.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import count
from typing import Any

import schemathesis

_addresses = count(int(IPv4Address("10.0.0.0")), 2**8)
_used: set[str] = set()
_rotated: dict[str, str] = {}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Look at a request before it is sent."""
    headers = case.headers
    headers["X-Forwarded-For"] = str(IPv4Address(next(_addresses)))
    headers["X-Forwarded-Proto"] = "https"
    name = headers.get("Idempotency-Key")
    if isinstance(name, str) and name.strip():
        if name in _used:
            headers["Idempotency-Key"] = name = f"{name[:190]}{len(_used):x}"
        _used.add(name)
    shown = headers.get("Authorization")
    if _rotates(case) and shown in _rotated:
        headers["Authorization"] = _rotated[shown]


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Look at an answer."""
    if _rotates(case) and response.status_code == 200:
        given = f"Bearer {response.json()['key']}"
        for first in [*_rotated] or [response.request.headers["Authorization"]]:
            _rotated[first] = given


def _rotates(case: Any) -> bool:
    return case.operation.definition.raw.get("operationId") == "rotate_key"
