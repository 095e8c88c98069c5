"""What every group of verbs stands on: one request, and its answer as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from carma.client.bodies import body_of
from carma.client.exchange import Exchanger, Received, Steps
from carma.client.operations import OPERATIONS
from carma.client.repeating import next_key
from carma.client.settings import ClientSettings
from carma.client.wire import read
from carma.errors import InvalidAnswer
from carma.models import Fragment
from carma.ports.clock import Entropy

__all__ = ["Asking", "fragments"]


class Asking:
    """Asks one server, by steps."""

    def __init__(self, exchanger: Exchanger, settings: ClientSettings, entropy: Entropy) -> None:
        self._exchanger = exchanger
        self._settings = settings
        self._entropy = entropy

    def _ask(
        self,
        name: str,
        path: Mapping[str, object] | None = None,
        query: str = "",
        *,
        body: Any = None,
        raw: bytes = b"",
        headers: Mapping[str, str] | None = None,
        slow: bool = False,
    ) -> Steps[dict[str, Any]]:
        """The JSON object that an operation answers. raw: a body that is JSON already."""
        operation = OPERATIONS[name]
        sent = dict(headers or {})
        if operation.changes:
            sent["idempotency-key"] = next_key(self._entropy)
        answer = yield from self._exchanger.exchange(
            operation,
            operation.target(**(path or {})) + query,
            sent,
            raw if body is None else body_of(body),
            slow=slow,
        )
        return _object(answer)

    @staticmethod
    def _number(answer: Mapping[str, Any], name: str) -> int:
        value = answer.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidAnswer(f"{name} is not a number.")
        return value


def _object(answer: Received) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"The answer with status {answer.status} is not JSON.") from error
    if not isinstance(value, dict):
        raise InvalidAnswer("The answer is not a JSON object.")
    return value


def fragments(answer: Mapping[str, Any]) -> list[Fragment]:
    """The fragments under `items`. Raises InvalidAnswer."""
    items = answer.get("items")
    if not isinstance(items, list):
        raise InvalidAnswer("The answer has no list of items.")
    return [read(Fragment, each, f"items[{at}]") for at, each in enumerate(items)]
