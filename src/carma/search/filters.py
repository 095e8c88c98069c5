"""The filter language of `where`: parsed once, to a small tree of values.

A filter is a mapping. A plain name is a key of the metadata (nested keys joined by a dot), compared with a
value or with a mapping of operators; several names, and several operators, must all hold. `and`, `or` and
`not` combine.

    {"speaker": "Ann", "year": {"gte": 2020, "lt": 2024},
     "or": [{"tag": {"in": ["a", "b"]}}, {"not": {"done": True}}]}

Some names are not metadata but the fragment's own: see `OWN`. Metadata keys that are called the same are
reached as `metadata.<key>`. Operators and connectives may be written as elsewhere, with a leading "$" or in
capitals.

A metadata value that is a list holds if one of its elements does; `ne`, `nin` and `not` are the plain
opposite of `eq`, `in` and the filter inside, so they hold for a fragment that lacks the key. True and False
are 1 and 0; a number is never equal to, above or below a text.

Rejected: a string syntax (every caller would have to quote), and building SQL while parsing: the tree can
also be judged in Python (`where.matches`), which is how the two are tested against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from carma.errors import InvalidFilter

__all__ = ["All", "Compare", "Either", "Filter", "Not", "parse"]

Value = str | int | float

OWN: Final = {
    "created": "time",
    "updated": "time",
    "expires": "time",
    "kind": "text",
    "user": "text",
    "agent": "text",
    "session": "text",
    "source": "text",
    "id": "id",
    "parent": "id",
    "under": "id",
}
"""Names that are the fragment's own, and how their values are read.

Times are seconds since the epoch or ISO 8601 texts (UTC where no offset is given); `source` is the path of
the file; `under` is the subtree of the fragment with that id, itself included.
"""
METADATA_PREFIX: Final = "metadata."

DEPTH_MAX: Final = 16
CONDITIONS_MAX: Final = 256
VALUES_MAX: Final = 10_000
"""Values that one filter compares with, all lists together; SQLite takes 32,766."""
TEXT_MAX: Final = 10_000

ORDER_OPS: Final = frozenset({"gt", "gte", "lt", "lte"})
TEXT_OPS: Final = frozenset({"prefix", "contains"})
LIST_OPS: Final = frozenset({"in", "nin"})
OPS: Final = frozenset({"eq", "ne", "exists", "not"}) | ORDER_OPS | TEXT_OPS | LIST_OPS
ID_OPS: Final = frozenset({"eq", "ne", "in", "nin", "exists", "not"})


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition. `op` is one of eq, gt, gte, lt, lte, in, exists, prefix, contains; `values` its
    operands.

    `own`: the name is the fragment's own, not metadata. `exists` has no operand.
    """

    name: str
    op: str
    values: tuple[Value, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """Every one of the filters holds; holds when there are none."""

    of: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the filters holds."""

    of: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The filter inside does not hold."""

    of: Filter


Filter = Compare | All | Either | Not


def parse(where: Mapping[str, Any]) -> Filter:
    """Reads a filter; raises `InvalidFilter` naming the place. An empty mapping holds for every fragment."""
    return _Parser().mapping(where, "where", 0)


def _fail(place: str, problem: str) -> InvalidFilter:
    return InvalidFilter(f"{place}: {problem}")


class _Parser:
    def __init__(self) -> None:
        self.conditions = 0
        self.values = 0

    def mapping(self, where: object, place: str, depth: int) -> Filter:
        if not isinstance(where, Mapping):
            raise _fail(place, f"a filter is a mapping, not {type(where).__name__}")
        if depth > DEPTH_MAX:
            raise _fail(place, f"nested deeper than {DEPTH_MAX} levels")
        parts = [self._entry(name, value, place, depth) for name, value in where.items()]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _entry(self, name: object, value: object, place: str, depth: int) -> Filter:
        if not isinstance(name, str) or not name:
            raise _fail(place, f"a name is a text that is not empty, not {name!r}")
        here = f"{place}.{name}"
        connective = _plain(name)
        if connective in ("and", "or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise _fail(here, "takes a list of filters that is not empty")
            parts = tuple(self.mapping(part, f"{here}[{i}]", depth + 1) for i, part in enumerate(value))
            return All(parts) if connective == "and" else Either(parts)
        if connective == "not":
            if isinstance(value, (list, tuple)):  # none of these
                return Not(
                    Either(
                        tuple(self.mapping(part, f"{here}[{i}]", depth + 1) for i, part in enumerate(value))
                    )
                )
            return Not(self.mapping(value, here, depth + 1))
        if name.startswith("$"):
            raise _fail(here, "this operator belongs under the name of what it compares")
        _check_text(name, here)
        if isinstance(value, Mapping):
            return self._operators(name, value, here, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            raise _fail(here, 'for one of several values write {"in": [...]}')
        return self._compare(name, "eq", value, here, depth)

    def _operators(self, name: str, operators: Mapping[Any, Any], place: str, depth: int) -> Filter:
        if not operators:
            raise _fail(place, "an empty mapping says nothing about it; give an operator")
        parts = []
        for spelled, value in operators.items():
            op = _plain(spelled) if isinstance(spelled, str) else None
            if op not in OPS:
                raise _fail(place, f"{spelled!r} is not an operator; there are {', '.join(sorted(OPS))}")
            parts.append(self._compare(name, op, value, f"{place}.{spelled}", depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _compare(self, name: str, op: str, value: object, place: str, depth: int) -> Filter:
        self.conditions += 1
        if self.conditions > CONDITIONS_MAX:
            raise _fail(place, f"more than {CONDITIONS_MAX} conditions")
        if op == "not":
            return self._opposite(name, value, place, depth)
        own, kind = name in OWN, OWN.get(name, "any")
        key = name.removeprefix(METADATA_PREFIX)
        if kind == "id" and op not in ID_OPS:
            raise _fail(place, f"{name} is an id: it takes {', '.join(sorted(ID_OPS - {'not'}))}")
        if op == "exists" or (value is None and op in ("eq", "ne")):
            return _present(Compare(key, "exists", (), own), op, value, place)
        if op in LIST_OPS:
            among = Compare(key, "in", self._values(kind, value, place), own)
            return among if op == "in" else Not(among)
        if op in TEXT_OPS and (kind == "time" or not isinstance(value, str)):
            raise _fail(place, "compares texts")
        operand = _READ[kind](value, place)
        if op == "ne":
            return Not(Compare(key, "eq", (operand,), own))
        return Compare(key, op, (operand,), own)

    def _opposite(self, name: str, value: object, place: str, depth: int) -> Filter:
        if depth >= DEPTH_MAX:
            raise _fail(place, f"nested deeper than {DEPTH_MAX} levels")
        if not isinstance(value, Mapping):
            raise _fail(place, "takes a mapping of operators")
        return Not(self._operators(name, value, place, depth + 1))

    def _values(self, kind: str, value: object, place: str) -> tuple[Value, ...]:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise _fail(place, "takes a list of values")
        self.values += len(value)
        if self.values > VALUES_MAX:
            raise _fail(place, f"more than {VALUES_MAX} values in one filter")
        read = _READ[kind]
        return tuple(read(each, f"{place}[{at}]") for at, each in enumerate(value))


def _present(found: Compare, op: str, value: object, place: str) -> Filter:
    """`exists`, or a comparison with null: nothing is stored for null, so equal to null means absent."""
    if op == "exists" and not isinstance(value, bool):
        raise _fail(place, "takes true or false")
    return found if value is True or op == "ne" else Not(found)


def _plain(name: str) -> str:
    """An operator or connective without the leading "$" or the capitals that other libraries give it."""
    bare = name.removeprefix("$")
    return bare.lower() if name.startswith("$") or bare.isupper() else bare


def _check_text(value: str, place: str) -> str:
    if len(value) > TEXT_MAX:
        raise _fail(place, f"a text longer than {TEXT_MAX} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _fail(place, "a text that is not valid Unicode") from None
    return value


def _any(value: object, place: str) -> Value:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return _check_text(value, place)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and not math.isnan(value):
        return value
    raise _fail(place, f"{value!r:.80} is not a text, a 64-bit number, true or false")


def _text(value: object, place: str) -> Value:
    if not isinstance(value, str):
        raise _fail(place, f"takes a text, not {value!r:.80}")
    return _check_text(value, place)


def _time(value: object, place: str) -> Value:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        try:
            return _time(datetime.fromisoformat(value), place)
        except ValueError:
            pass
    raise _fail(place, f"{value!r:.80} is not a time: give seconds since the epoch or ISO 8601")


def _id(value: object, place: str) -> Value:
    text = value.replace("-", "").lower() if isinstance(value, str) else ""
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):
        raise _fail(place, f"{value!r:.80} is not a fragment id (32 hexadecimal digits)")
    return text


_READ: Final[Mapping[str, Callable[[object, str], Value]]] = {
    "any": _any,
    "text": _text,
    "time": _time,
    "id": _id,
}
