"""From a verb's arguments to what travels: ids, queries and JSON bodies, checked before anything is sent.

What JSON would change silently is refused here, as `Memory` refuses it: names that are no texts, numbers that
are not finite, halves of characters. Everything else the server judges.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from carma.client.settings import ClientSettings
from carma.errors import InvalidInput
from carma.models import Source, Unset

__all__ = ["as_id", "batches", "body_of", "given", "item_of", "query_of"]

_NAMES: Final = frozenset(
    "text parent position kind user agent session metadata expires dedupe vector source id created".split()  # noqa: SIM905
)
_DEPTH: Final = 64


def as_id(id: Any) -> str:
    """A fragment's id as the server's paths have it. Raises InvalidInput."""
    digits = id.replace("-", "").lower() if isinstance(id, str) else ""
    if len(digits) != 32 or not set(digits) <= set("0123456789abcdef"):
        raise InvalidInput(f"{id!r:.80} is not a fragment id; ids are 32 hexadecimal digits.")
    return digits


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None and were given."""
    return {
        name: value for name, value in arguments.items() if value is not None and not isinstance(value, Unset)
    }


def query_of(**arguments: Any) -> str:
    """Arguments as a query, with its question mark; "" for none. Mappings become JSON."""
    pairs = {
        name: body_of(value).decode() if isinstance(value, Mapping) else _word(value)
        for name, value in given(**arguments).items()
    }
    return f"?{urlencode(pairs)}" if pairs else ""


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def body_of(value: Any) -> bytes:
    """A value as JSON in UTF-8. Raises InvalidInput, naming the place."""
    return json.dumps(_plain(value, "", 0), ensure_ascii=True, separators=(",", ":")).encode()


def _plain(value: Any, place: str, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value, place)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{place or 'The value'} is {value}; numbers must be finite.")
        return value
    if depth > _DEPTH:
        raise InvalidInput(f"{place} is nested too deep.")
    if isinstance(value, Source):
        return value.to_dict()
    if isinstance(value, Mapping):
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            raise InvalidInput(f"{place or 'The value'} has the key {odd!r:.80}; keys must be text.")
        return {
            _text(key, place): _plain(each, f"{place}.{key}".lstrip("."), depth + 1)
            for key, each in value.items()
        }
    if hasattr(value, "tolist"):  # An array of NumPy, which this does not import.
        return _plain(value.tolist(), place, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each, f"{place}[{at}]", depth + 1) for at, each in enumerate(value)]
    raise InvalidInput(f"{place or 'The value'} is a {type(value).__name__}, which cannot be sent.")


def _text(value: str, place: str) -> str:
    """A text that some encoding can hold. Raises InvalidInput."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{place or 'The value'} has a lone surrogate at {error.start}.") from error
    return value


def item_of(item: Any, number: int, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What `add_many` was given, as one item of a request. Raises InvalidInput."""
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, Mapping):
        raise InvalidInput(f"Item {number} is a {type(item).__name__}, not a text or a mapping.")
    whole = {**defaults, **item}
    unknown = {str(name) for name in whole} - _NAMES
    if unknown:
        raise InvalidInput(f"Item {number} has unknown names: {', '.join(sorted(unknown))}.")
    if not isinstance(whole.get("text"), str):
        raise InvalidInput(f"Item {number} has no text.")
    return {name: value for name, value in whole.items() if value is not None}


def batches(items: Iterable[dict[str, Any]], settings: ClientSettings) -> Iterator[bytes]:
    """Bodies of requests that add the items, each within the client's bounds; an item is never cut."""
    batch: list[bytes] = []
    size = 0
    for item in items:
        one = body_of(item)
        if batch and (len(batch) >= settings.batch_items or size + len(one) > settings.batch_bytes):
            yield _items(batch)
            batch, size = [], 0
        batch.append(one)
        size += len(one) + 1
    if batch:
        yield _items(batch)


def _items(batch: list[bytes]) -> bytes:
    return b'{"items":[' + b",".join(batch) + b"]}"
