"""What a filter means, twice: as one SQL condition over the registry, and as a verdict in Python on one
fragment.

The SQL is put together from fixed pieces; every name and value that came from outside is a bound parameter.
Each piece is true or false and never NULL, so `NOT` means the opposite. The language itself is in `filters`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from carma.search.filters import All, Compare, Either, Filter, Not, parse
from carma.store.apply import flatten

__all__ = ["compile_where", "matches"]

Bindings = dict[str, Any]

_SIGN: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_IDS: Final = frozenset({"id", "parent", "under"})
_MILLISECONDS: Final = frozenset({"created", "updated"})
"""Times that the registry keeps as whole milliseconds."""
_UNDER: Final = (
    "(fragments.id IN (WITH RECURSIVE below(id) AS (VALUES {values} UNION SELECT c.id FROM fragments AS c "
    "JOIN below ON c.parent = below.id WHERE c.live) SELECT id FROM below))"
)


def compile_where(where: Mapping[str, Any] | Filter) -> tuple[str, Bindings]:
    """A filter as a condition on the registry's table `fragments`, and its named bindings (`where_0`,
    `where_1`, …).

    Use: `SELECT seq FROM fragments WHERE live AND <condition>`. Raises InvalidFilter.
    """
    compiler = _Compiler()
    sql = compiler.condition(parse(where) if isinstance(where, Mapping) else where)
    return sql, compiler.bindings


class _Compiler:
    def __init__(self) -> None:
        self.bindings: Bindings = {}

    def bind(self, value: Any) -> str:
        name = f"where_{len(self.bindings)}"
        self.bindings[name] = value
        return f":{name}"

    def condition(self, filter: Filter) -> str:
        if isinstance(filter, Not):
            return f"(NOT {self.condition(filter.of)})"
        if isinstance(filter, All):
            return f"({' AND '.join(map(self.condition, filter.of)) or '1'})"
        if isinstance(filter, Either):
            return f"({' OR '.join(map(self.condition, filter.of)) or '0'})"
        return self.own(filter) if filter.own else self.metadata(filter)

    def own(self, compare: Compare) -> str:
        """A condition on the fragment's own field; one that is NULL passes nothing."""
        values: list[Any] = list(compare.values)
        if compare.name in _IDS:
            values = [bytes.fromhex(value) for value in values]
        elif compare.name in _MILLISECONDS:
            values = [round(value * 1000.0, 3) for value in values]
        if compare.name == "under":
            rows = ", ".join(f"({self.bind(value)})" for value in values)
            return _UNDER.format(values=rows) if rows else ("1" if compare.op == "exists" else "0")
        column = f"fragments.{compare.name}"
        return f"({column} IS NOT NULL AND {self.test(column, compare.op, values)})"

    def metadata(self, compare: Compare) -> str:
        """A condition on some element of a metadata value: a look-up in the index (key, value, seq)."""
        key = self.bind(compare.name)
        test = self.test("m.value", compare.op, list(compare.values))
        if compare.op in (
            "gt",
            "gte",
            "lt",
            "lte",
            "prefix",
            "contains",
        ):  # SQLite orders every text above every number
            test += f" AND typeof(m.value) {'=' if isinstance(compare.values[0], str) else '<>'} 'text'"
        return f"(fragments.seq IN (SELECT m.seq FROM metadata AS m WHERE m.key = {key} AND {test}))"

    def test(self, column: str, op: str, values: list[Any]) -> str:
        if op == "exists":
            return "1"
        if op == "in":
            return f"{column} IN ({', '.join(map(self.bind, values))})" if values else "0"
        if op == "contains":
            return f"instr({column}, {self.bind(values[0])}) > 0"
        if op == "prefix":
            after = _after(values[0])
            above = f" AND {column} < {self.bind(after)}" if after is not None else ""
            return f"{column} >= {self.bind(values[0])}{above}"
        return f"{column} {_SIGN[op]} {self.bind(values[0])}"


def _after(prefix: str) -> str | None:
    """The least text above all that begin with `prefix`, in the order of code points; None if there is
    none."""
    cut = prefix.rstrip("\U0010ffff")
    if not cut:
        return None
    point = ord(cut[-1]) + 1
    return cut[:-1] + chr(0xE000 if 0xD800 <= point <= 0xDFFF else point)


def matches(
    where: Mapping[str, Any] | Filter,
    metadata: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
    above: Iterable[str] = (),
) -> bool:
    """Whether a fragment passes a filter, without a registry.

    metadata: as the caller gave it. own: the fragment's own fields by the names of `filters.OWN` (ids as
    hexadecimal, times in seconds). above: ids of the fragment itself and of everything above it, for `under`.
    """
    fields: dict[str, list[Any]] = {}
    for key, value in flatten(metadata):
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            fields.setdefault(key, []).append(value)
    mine = {name: [value] for name, value in (own or {}).items() if value is not None}
    mine["under"] = list(above)
    return _holds(parse(where) if isinstance(where, Mapping) else where, fields, mine)


def _holds(filter: Filter, fields: Mapping[str, list[Any]], mine: Mapping[str, list[Any]]) -> bool:
    if isinstance(filter, Not):
        return not _holds(filter.of, fields, mine)
    if isinstance(filter, All):
        return all(_holds(part, fields, mine) for part in filter.of)
    if isinstance(filter, Either):
        return any(_holds(part, fields, mine) for part in filter.of)
    if filter.own and filter.name == "under" and filter.op == "exists":
        return True
    have = (mine if filter.own else fields).get(filter.name, [])
    return any(_passes(value, filter) for value in have)


def _passes(value: Any, filter: Compare) -> bool:
    if filter.op == "exists":
        return True
    if filter.op == "in":
        return any(_alike(value, wanted) and value == wanted for wanted in filter.values)
    operand: Any = filter.values[0]
    if not _alike(value, operand):
        return False
    if filter.op == "prefix":
        return bool(value.startswith(operand))
    if filter.op == "contains":
        return bool(operand in value)
    return _ORDER[filter.op](value, operand)


def _alike(a: object, b: object) -> bool:
    return isinstance(a, str) == isinstance(b, str)
