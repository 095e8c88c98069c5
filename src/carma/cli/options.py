"""Options that several commands share, and how what people type becomes `Memory`'s arguments."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from carma.errors import InvalidInput

__all__ = [
    "Agent", "AsJson", "Id", "Session", "StoreFolder", "User", "Where", "moment", "or_none", "pairs",
    "read_stdin", "text_argument",
]  # fmt: skip

_COMMON = "Common options"
_SCOPE = "Scope"

StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="PATH", rich_help_panel=_COMMON, show_default=False,
        help="The memory's folder; else $CARMA_STORE, else ~/.carma/memory.",
    ),
]  # fmt: skip
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON of a stable shape.", rich_help_panel=_COMMON)
]
User = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this user's fragments.", rich_help_panel=_SCOPE)
]
Agent = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this agent's fragments.", rich_help_panel=_SCOPE)
]
Session = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this session's fragments.", rich_help_panel=_SCOPE)
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILTER", rich_help_panel=_SCOPE, show_default=False,
        help="A filter over metadata: JSON, or key=value (repeatable).",
    ),
]  # fmt: skip
Id = Annotated[str, typer.Argument(metavar="ID", help="A fragment's id.", show_default=False)]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_S = 1e9


def pairs(given: Sequence[str] | None, option: str) -> dict[str, Any] | None:
    """A mapping from JSON objects and `key=value`; None if nothing was given.

    A value is read as JSON where it is JSON (`3`, `true`, `"3"`), else as text. Raises InvalidInput.
    """
    if not given:
        return None
    out: dict[str, Any] = {}
    for item in given:
        if item.lstrip().startswith("{"):
            out.update(_json_object(item, option))
            continue
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(f"{option} {item!r} is neither a JSON object nor key=value.")
        out[key.strip()] = _scalar(value)
    return out


def _json_object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{option} is not JSON: {error}.") from error
    assert isinstance(value, dict)
    return value


def _scalar(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def or_none(value: str) -> str | None:
    """What was typed; None for the word `none`, which clears a field."""
    return None if value == "none" else value


def moment(text: str, option: str) -> float | None:
    """A moment in seconds since the epoch; None for the word `none`.

    A number is seconds from now, or minutes, hours, days or weeks with the unit m, h, d or w behind it;
    everything else is ISO 8601, in UTC if it names no zone. Raises InvalidInput.
    """
    if text == "none":
        return None
    duration = _DURATION.fullmatch(text.strip())
    if duration:
        seconds = float(duration[1]) * _SECONDS[duration[2]]
        if seconds > _LONGEST_S and not duration[2]:
            raise InvalidInput(
                f"{option} {text} is more than 31 years of seconds from now.",
                hint="Write a moment as ISO 8601, for example 2027-01-31T12:00:00Z.",
            )
        return time.time() + seconds
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{option} {text!r} is neither a time from now nor a moment.",
            hint="For example 3600, 90m, 30d, 2027-01-31 or 2027-01-31T12:00:00Z.",
        ) from error


def text_argument(text: str | None) -> str:
    """The text of an argument; standard input for `-`, and where there is no argument but a pipe."""
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise InvalidInput("There is no text.", hint="Give it as an argument, or pipe it in.")
    return read_stdin()


def read_stdin() -> str:
    """Standard input as UTF-8, without the line end at its end. Raises InvalidInput."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Standard input is not UTF-8 (byte {error.start}).") from error
    return text.removesuffix("\n").removesuffix("\r")
