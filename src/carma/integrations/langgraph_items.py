"""How an item of a LangGraph store lies in a memory, and which items a filter means.

    item                        fragment of the kind `item`
    namespace ("a", "b")        session "a.b" (labels hold no dots, LangGraph sees to it)
    key                         metadata `key`
    value                       text: the value as JSON. It is proven, mirrored and repaired like every text
    index=[path, …]             for each text that the path leads to a child of the kind `field`
    ttl                         expires, and metadata `ttl_min` for its refreshing

Short values of the item stand in the metadata under `value` too, so that filters can look them up; whether an
item really passes is decided on the value itself. Rejected: the value as metadata only, which no exact rung
but parity gives back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.store.base import Item, SearchItem, get_text_at_path

from carma.errors import InvalidInput
from carma.models import Fragment

__all__ = [
    "FIELD", "ITEM", "WHOLE", "draft", "field_drafts", "item_of", "passes", "same_fields", "scope_below",
    "search_item_of", "session_of", "where_of",
]  # fmt: skip

ITEM: Final = "item"
FIELD: Final = "field"
WHOLE: Final = "$"
"""The path of the whole value."""

_SESSION_CHARS: Final = 512
_SHORT_CHARS: Final = 256
_MOST_LEAVES: Final = 64
_DEPTH: Final = 4
_ORDERS: Final = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_OPERATORS: Final = ("$eq", "$ne", *_ORDERS)


def session_of(namespace: Sequence[str]) -> str:
    """The namespace as a fragment's session. Raises InvalidInput if it is longer than one may be."""
    session = ".".join(namespace)
    if len(session) > _SESSION_CHARS:
        raise InvalidInput(f"The namespace has {len(session)} characters; {_SESSION_CHARS} are allowed.")
    return session


def scope_below(prefix: Sequence[str]) -> dict[str, Any]:
    """The filter for a namespace and all below it; every namespace for an empty prefix."""
    if not prefix:
        return {"session": {"exists": True}}
    whole = session_of(prefix)
    return {"or": [{"session": whole}, {"session": {"prefix": f"{whole}."}}]}


def draft(
    key: str, value: Mapping[str, Any], paths: Sequence[str], ttl_min: float | None, now: float
) -> dict[str, Any]:
    """Text, metadata and expiry of an item's fragment. Raises InvalidInput if the value is not JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The value of {key!r:.80} is not JSON: {error}.") from error
    leaves, complete = _leaves(value)
    metadata: dict[str, Any] = {"key": key, "found": WHOLE in paths, "value": leaves, "complete": complete}
    if ttl_min is not None:
        metadata |= {"ttl_min": ttl_min, "put": now}
    expires = now + ttl_min * 60 if ttl_min is not None else None
    return {"text": text, "metadata": metadata, "expires": expires}


def _leaves(value: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The short values of a mapping, nested as they are, and whether these are all of them."""
    left = _MOST_LEAVES

    def copy(mapping: Mapping[str, Any], depth: int) -> dict[str, Any]:
        nonlocal left
        out: dict[str, Any] = {}
        for name, each in mapping.items():
            if isinstance(each, Mapping) and depth < _DEPTH:
                out[name] = copy(each, depth + 1)
            elif _is_plain(each):
                left -= 1
                if left >= 0:
                    out[name] = each
        return out

    copied = copy(value, 1)
    return copied, left >= 0


def _is_plain(value: Any) -> bool:
    """Whether a value is short, and one that the filters of a memory can look up."""
    return _is_number(value) or (isinstance(value, str) and len(value) <= _SHORT_CHARS)


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and abs(value) < 2**63


def field_drafts(
    value: Mapping[str, Any], paths: Sequence[str], item: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A fragment for each text that is to be found by itself; `item` is what `draft` gave."""
    shared = {name: item["metadata"][name] for name in ("value", "complete")}
    return [
        {
            "text": text,
            "kind": FIELD,
            "metadata": {"path": path, "found": True, **shared},
            "expires": item["expires"],
        }
        for path in paths
        if path != WHOLE
        for text in get_text_at_path(value, path)
        if text.strip()
    ]


def same_fields(known: Sequence[Fragment], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the fields that are there are those that are wanted."""
    return [(each.text, dict(each.metadata), each.expires) for each in known] == [
        (each["text"], each["metadata"], each["expires"]) for each in wanted
    ]


def _value_of(fragment: Fragment) -> dict[str, Any]:
    """The value of an item; of one that is lost or rebuilt, what is known under `carma`."""
    said: dict[str, Any] = {"state": fragment.state, "id": fragment.id}
    if fragment.state in ("intact", "repaired"):
        value = _parsed(fragment.text)
        if value is not None:
            return value
        said["reason"] = "The fragment holds no item."
    elif fragment.state == "reconstructed":
        said |= {"text": fragment.text}
        if fragment.repair is not None:
            said |= {"confidence": fragment.repair.confidence, "method": fragment.repair.method}
    elif fragment.blank is not None:
        said["reason"] = fragment.blank.reason
    return {"carma": said}


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _about(fragment: Fragment) -> dict[str, Any]:
    key = fragment.metadata.get("key")
    put = fragment.metadata.get("put")
    updated = put if isinstance(put, (int, float)) else fragment.updated
    return {
        "value": _value_of(fragment),
        "key": key if isinstance(key, str) else fragment.id,
        "namespace": tuple((fragment.session or "").split(".")),
        "created_at": datetime.fromtimestamp(fragment.created, UTC),
        "updated_at": datetime.fromtimestamp(updated, UTC),
    }


def item_of(fragment: Fragment, key: str | None = None) -> Item:
    """The item of a fragment. The key, if it is known; else the fragment's id where its key is lost."""
    about = _about(fragment)
    return Item(**about if key is None else about | {"key": key})


def search_item_of(fragment: Fragment, score: float | None) -> SearchItem:
    """The same with a score."""
    return SearchItem(**_about(fragment), score=score)


def where_of(filter: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Conditions that every item meets which passes the filter; `passes` judges the rest."""
    return [{"or": [each, {"complete": False}]} for each in _lookups(filter or {}, "value", 1)]


def _lookups(filter: Mapping[str, Any], above: str, depth: int) -> Iterator[dict[str, Any]]:
    for name, wanted in filter.items():
        if not name or "." in name or name.startswith("$"):
            continue
        path = f"{above}.{name}"
        if not isinstance(wanted, Mapping):
            wanted = {"$eq": wanted}
        elif not any(str(operator).startswith("$") for operator in wanted):
            if depth < _DEPTH:
                yield from _lookups(wanted, path, depth + 1)
            continue
        for operator, operand in wanted.items():
            if operator == "$eq" and _is_plain(operand):
                yield {path: operand}
            elif operator in _ORDERS and _is_number(operand):
                # A text may be a number too, for LangGraph; every text is at least the empty one.
                yield {"or": [{path: {_ORDERS[operator]: operand}}, {path: {"gte": ""}}]}


def passes(value: Any, wanted: Any) -> bool:
    """Whether a value is what a filter asks for, as LangGraph's own stores judge. Raises InvalidInput."""
    if isinstance(wanted, Mapping):
        if any(str(name).startswith("$") for name in wanted):
            return all(_compares(value, operator, operand) for operator, operand in wanted.items())
        return isinstance(value, Mapping) and all(
            passes(value.get(name), each) for name, each in wanted.items()
        )
    if isinstance(wanted, (list, tuple)):
        same = isinstance(value, (list, tuple)) and len(value) == len(wanted)
        return same and all(passes(one, other) for one, other in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _compares(value: Any, operator: str, operand: Any) -> bool:
    if operator not in _OPERATORS:
        raise InvalidInput(f"{operator!r:.40} is not an operator; there are {', '.join(_OPERATORS)}.")
    if operator in ("$eq", "$ne"):
        return bool(value == operand) is (operator == "$eq")
    try:
        one, other = float(value), float(operand)
    except (TypeError, ValueError):
        return False
    return {"$gt": one > other, "$gte": one >= other, "$lt": one < other, "$lte": one <= other}[operator]
