"""The log: one line of JSON for each request and each event of the server, without texts or secrets.

What stands in a line is chosen here, not by whoever logs: route and not path, key fingerprint and not key,
the kind of an error and where it was raised and not its message, which may quote a text. Whatever looks like
a key is struck out all the same. Of what strangers send only so many lines a second are written: who floods
the server shall not fill its disk. Rejected: a library for logs (one line costs five times as much, and
requests are many).
"""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pydantic_core import to_json

from carma.access.keys.text import redacted
from carma.errors import InvalidInput

__all__ = ["Log", "Ration", "failure", "make_log"]

_LEVELS = ("info", "warning", "error")
_MOST_FRAMES = 6


class Log:
    """Writes lines of JSON. Threads may share it. level: the least that is written."""

    def __init__(self, stream: BinaryIO, level: str) -> None:
        if level not in _LEVELS:
            raise InvalidInput(f"There is no level {level!r} of the log; known: {', '.join(_LEVELS)}.")
        self._stream = stream
        self._least = _LEVELS.index(level)
        self._turn = threading.Lock()

    def info(self, event: str, **said: Any) -> None:
        """Something happened as it should."""
        if self._least == 0:
            self._write(event, "info", said)

    def warning(self, event: str, **said: Any) -> None:
        """Somebody should look at it."""
        if self._least <= 1:
            self._write(event, "warning", said)

    def error(self, event: str, **said: Any) -> None:
        """Something failed."""
        self._write(event, "error", said)

    def _write(self, event: str, level: str, said: dict[str, Any]) -> None:
        when = datetime.now(UTC).isoformat(timespec="microseconds")[:-6]
        said = {"timestamp": f"{when}Z", "level": level, "event": event, **said}
        line = to_json(said, inf_nan_mode="null", serialize_unknown=True)
        if b"carma_" in line:
            line = redacted(line.decode()).encode()
        # A log that cannot be written, on a full disk or a closed pipe, is no reason to answer nobody.
        with self._turn, suppress(OSError, ValueError):
            self._stream.write(line + b"\n")
            self._stream.flush()


def make_log(stream: BinaryIO | None = None, *, level: str = "info") -> Log:
    """A log that goes to `stream` (standard error if None). level: info, warning or error.

    Raises InvalidInput.
    """
    return Log(stream if stream is not None else sys.stderr.buffer, level)


class Ration:
    """So many lines a second, and a count of those that were left out. For one thread."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._second = float("-inf")
        self._taken = 0
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """Whether a line may be written: how many were left out since the last one, or None for no.

        now: of a monotonic clock, in seconds.
        """
        if now - self._second >= 1.0:
            self._second, self._taken = now, 0
        if self._taken >= self._per_s:
            self._left_out += 1
            return None
        self._taken += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def failure(error: BaseException) -> dict[str, Any]:
    """What may be said of an unforeseen error: its kind and the places it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    places = [f"{frame.filename.rpartition('/carma/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "places": places}
