"""Server-sent events, read piece by piece (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from carma.errors import InvalidAnswer

__all__ = ["Event", "EventReader"]

_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Event:
    """One event. id: "" if it has none. kind: its name, `message` if it has none."""

    id: str
    kind: str
    data: str

    def json(self) -> Any:
        """The data as JSON. Raises InvalidAnswer."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswer(f"The event {self.kind} is not JSON.") from error


class EventReader:
    """Takes bytes as they come, gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end within `piece`. Raises InvalidAnswer if one is too long."""
        *lines, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) + sum(map(len, self._lines)) > _MOST_BYTES:
            raise InvalidAnswer("An event of the server has no end.")
        for line in lines:
            if line:
                self._lines.append(line.decode("utf-8", "replace"))
                continue
            event = self._event()
            if event is not None:
                yield event

    def _event(self) -> Event | None:
        """The event of the lines before an empty one; None if they hold no data (a comment, a retry)."""
        id, kind, data = "", "message", list[str]()
        lines, self._lines = self._lines, []
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data.append(value)
        return Event(id, kind, "\n".join(data)) if data else None
