"""From JSON back to the types of `carma.models` and `carma.reports`: the inverse of their `to_dict`.

The types say themselves what they hold, so one reader serves all of them and no second model has to be kept
beside each. Members that are not known are passed over (a newer server may send more); members that are
missing have their default; anything of the wrong type is an `InvalidAnswer`. Rejected: a Pydantic twin of
every type, and `cast`, which lets a wrong answer go on until it hurts.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from carma.errors import InvalidAnswer
from carma.models import Fragment, Hit, HitParts, SearchResult

__all__ = ["hit_dict", "read", "read_result", "result_dict"]

T = TypeVar("T")


def hit_dict(hit: Hit) -> dict[str, Any]:
    """A hit as it travels: all of its fragment, and beside it `score` and `parts`.

    `Hit.to_dict`, which people see, is a selection of the same names; this one can be read back.
    """
    return {
        **hit.fragment.to_dict(),
        "score": hit.score,
        "parts": hit.parts.to_dict() if hit.parts is not None else None,
    }


def result_dict(result: SearchResult) -> dict[str, Any]:
    """The answer to a search as it travels."""
    return {**result.to_dict(), "hits": [hit_dict(hit) for hit in result.hits]}


def read_result(value: Any) -> SearchResult:
    """The inverse of `result_dict`. Raises InvalidAnswer."""
    if not isinstance(value, Mapping) or not isinstance(value.get("hits"), list):
        raise InvalidAnswer("The answer to a search has no list of hits.")
    hits = []
    for number, each in enumerate(value["hits"]):
        place = f"hits[{number}]"
        score = each.get("score") if isinstance(each, Mapping) else None
        hits.append(
            Hit(
                fragment=read(Fragment, each, place),
                score=_value(float, score, f"{place}.score"),
                parts=_value(HitParts | None, each.get("parts"), f"{place}.parts"),
            )
        )
    return SearchResult(
        hits=tuple(hits),
        degraded=_value(bool, value.get("degraded", False), "degraded"),
        reasons=_value(tuple[str, ...], value.get("reasons", []), "reasons"),
        took_ms=_value(float, value.get("took_ms", 0.0), "took_ms"),
    )


def read(kind: type[T], value: Any, place: str = "") -> T:
    """A value of the dataclass `kind` from what its `to_dict` gave. Raises InvalidAnswer with the place."""
    if not isinstance(value, Mapping):
        raise _wrong(kind, value, place)
    given: dict[str, Any] = {}
    for name, hint, needed in _members(cast("Any", kind)):
        if name in value:
            given[name] = _value(hint, value[name], f"{place}.{name}".lstrip("."))
        elif needed:
            raise InvalidAnswer(f"{place or kind.__name__} lacks {name}.")
    return kind(**given)


@lru_cache(maxsize=64)
def _members(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Names, types and whether there is no default, of a dataclass's fields."""
    hints = get_type_hints(kind)
    return tuple(
        (each.name, hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(kind)
    )


def _value(hint: Any, value: Any, place: str) -> Any:
    """`value`, proven to be what the type `hint` says, with lists as tuples and mappings as dataclasses."""
    origin, of = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None and type(None) in of else _value(of[0], value, place)
    if origin is Literal:
        if value not in of:
            raise _wrong(" or ".join(map(str, of)), value, place)
        return value
    if origin is tuple:
        return _tuple(of, value, place)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(of[1], value, place)
    if is_dataclass(hint):
        return read(cast("type[Any]", hint), value, place)
    return _plain(hint, value, place)


def _tuple(of: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or (of[-1] is not ... and len(of) != len(value)):
        raise _wrong(list, value, place)
    kinds = of[:1] * len(value) if of[-1] is ... else of
    return tuple(
        _value(kind, each, f"{place}[{at}]") for at, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )


def _mapping(of: Any, value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(dict, value, place)
    return {name: _value(of, each, f"{place}.{name}") for name, each in value.items()}


def _plain(hint: Any, value: Any, place: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(hint, value, place)
    return value


def _wrong(wanted: Any, value: Any, place: str) -> InvalidAnswer:
    name = wanted.__name__ if isinstance(wanted, type) else wanted
    return InvalidAnswer(f"{place or 'The answer'} is not a {name}: {value!r:.80}.")
