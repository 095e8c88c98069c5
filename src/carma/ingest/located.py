"""JSON values together with where they lie in the text.

The standard decoder says where a value ends, so walking the containers by hand and leaving every value to it
gives exact spans at the cost of decoding what is descended into once more.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

__all__ = ["Located", "decode", "fields", "items"]

_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[ \t\r\n]*")
_ERRORS = (ValueError, RecursionError)


class Located(NamedTuple):
    """A value, and the first and past-the-end character it was written with."""

    value: Any
    start: int
    end: int


def decode(text: str, at: int = 0, end: int | None = None) -> Located | None:
    """The one value in `text[at:end]`; None where it is not JSON, or is followed by something else."""
    own = text[at:end]
    start = _skip(own, 0)
    try:
        value, last = _DECODER.raw_decode(own, start)
    except _ERRORS:
        return None
    return Located(value, at + start, at + last) if _skip(own, last) == len(own) else None


def items(text: str, array: Located) -> list[Located]:
    """The elements of an array."""
    found = []
    at = _skip(text, array.start + 1)
    while text[at] != "]":
        value, end = _DECODER.raw_decode(text, at)
        found.append(Located(value, at, end))
        at = _next(text, end)
    return found


def fields(text: str, mapping: Located) -> dict[str, Located]:
    """The members of an object; of a repeated name the last one counts, as in the standard decoder."""
    found = {}
    at = _skip(text, mapping.start + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, end) + 1)
        value, end = _DECODER.raw_decode(text, at)
        found[name] = Located(value, at, end)
        at = _next(text, end)
    return found


def _skip(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    return match.end() if match else at


def _next(text: str, end: int) -> int:
    """Past the comma, if one follows."""
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at
