"""Promises of the filter language."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import InvalidFilter
from carma.search.filters import parse
from carma.search.where import compile_where, matches
from carma.store.apply import flatten
from carma.store.schema import SCHEMA

FIELDS = ("id", "parent", "kind", "user", "agent", "session", "created", "updated", "expires", "source")


def fid(number: int) -> str:
    return f"{number:032x}"


class Shelf:
    """Fragments in a registry of the real schema, asked by SQL and by `matches`."""

    def __init__(self, fragments: list[dict[str, Any]]) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.execute(
            SCHEMA.partition("CREATE VIRTUAL")[0]
        )  # without the words, which take a while to make
        self.fragments = fragments
        for seq, each in enumerate(fragments, 1):
            own = each.get("own", {})
            self.db.execute(
                "INSERT INTO fragments VALUES(?,?,1,1,?,0.0,?,?,?,?,?,?,?,0,0,0,x'',?)",
                (
                    seq,
                    bytes.fromhex(own["id"]),
                    bytes.fromhex(own["parent"]) if own.get("parent") else None,
                    own.get("kind", "note"),
                    own.get("user"),
                    own.get("agent"),
                    own.get("session"),
                    round(own.get("created", 0.0) * 1000),
                    round(own.get("updated", 0.0) * 1000),
                    own.get("expires"),
                    own.get("source"),
                ),
            )
            for key, value in flatten(each.get("metadata", {})):
                self.db.execute("INSERT OR IGNORE INTO metadata VALUES(?,?,?)", (key, value, seq))

    def by_sql(self, where: Any) -> list[int]:
        sql, bindings = compile_where(where)
        return [
            row[0]
            for row in self.db.execute(
                f"SELECT seq FROM fragments WHERE live AND {sql} ORDER BY seq", bindings
            )
        ]

    def by_python(self, where: Any) -> list[int]:
        return [
            seq
            for seq, each in enumerate(self.fragments, 1)
            if matches(where, each.get("metadata", {}), each.get("own", {}), self.above(each["own"]["id"]))
        ]

    def above(self, id: str | None) -> list[str]:
        parents = {each["own"]["id"]: each["own"].get("parent") for each in self.fragments}
        seen: list[str] = []
        while id is not None and id not in seen:
            seen.append(id)
            id = parents.get(id)
        return seen


SHELF = Shelf(
    [
        {
            "own": {"id": fid(1), "kind": "turn", "user": "ann", "created": 100.5, "source": "a/b.md"},
            "metadata": {"speaker": "Ann", "year": 2020, "tags": ["x", "y"], "deep": {"er": 1}},
        },
        {
            "own": {"id": fid(2), "parent": fid(1), "user": "bob", "created": 200.0, "expires": 500.0},
            "metadata": {"speaker": "Bob", "year": 2023.5, "done": True, "note": None, "mixed": ["7", 7]},
        },
        {
            "own": {"id": fid(3), "parent": fid(2), "session": "s", "created": 300.0},
            "metadata": {"year": "2023"},
        },
    ]
)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"speaker": "Ann"}, [1]),
        ({"speaker": {"ne": "Ann"}}, [2, 3]),
        ({"year": {"gte": 2020, "lt": 2023}}, [1]),
        ({"year": {"gt": "2"}}, [3]),
        ({"year": {"gt": -math.inf}}, [1, 2]),
        ({"tags": "y"}, [1]),
        ({"tags": {"in": ["y", "z"]}}, [1]),
        ({"tags": {"nin": ["y", "z"]}}, [2, 3]),
        ({"tags": {"in": []}}, []),
        ({"deep.er": 1}, [1]),
        ({"done": True}, [2]),
        ({"done": 1}, [2]),
        ({"done": {"exists": False}}, [1, 3]),
        ({"note": None}, [1, 2, 3]),
        ({"year": {"ne": None}}, [1, 2, 3]),
        ({"mixed": 7}, [2]),
        ({"mixed": {"gt": 7}}, []),
        ({"speaker": {"prefix": "A"}}, [1]),
        ({"speaker": {"contains": "o"}}, [2]),
        ({"or": [{"speaker": "Ann"}, {"speaker": "Bob"}]}, [1, 2]),
        ({"and": [{"speaker": "Ann"}, {"year": 2020}]}, [1]),
        ({"not": {"speaker": "Ann"}}, [2, 3]),
        ({"year": {"not": {"gt": 2021}}}, [1, 3]),
        ({"$or": [{"speaker": {"$eq": "Ann"}}, {"NOT": {"year": {"$exists": True}}}]}, [1]),
        ({"NOT": [{"speaker": "Ann"}, {"speaker": "Bob"}]}, [3]),
        ({"user": "ann"}, [1]),
        ({"user": {"ne": "ann"}}, [2, 3]),
        ({"kind": "turn"}, [1]),
        ({"session": {"exists": True}}, [3]),
        ({"created": {"gt": 100.5}}, [2, 3]),
        ({"created": 100.5}, [1]),
        ({"created": {"lte": "1970-01-01T00:03:20Z"}}, [1, 2]),
        ({"created": {"lt": datetime(1970, 1, 1, 0, 3, 20, tzinfo=UTC)}}, [1]),
        ({"created": {"gte": "1970-01-01T01:03:20+01:00"}}, [2, 3]),
        ({"expires": {"lt": 1000}}, [2]),
        ({"not": {"expires": {"lt": 1000}}}, [1, 3]),
        ({"source": {"prefix": "a/"}}, [1]),
        ({"under": fid(2)}, [2, 3]),
        ({"under": {"in": [fid(3), fid(99)]}}, [3]),
        ({"not": {"under": fid(2)}}, [1]),
        ({"id": {"in": [fid(1), fid(3)]}}, [1, 3]),
        ({"parent": fid(1)}, [2]),
        ({"metadata.speaker": "Ann"}, [1]),
    ],
)
def test_a_filter_finds_what_it_says(where: Any, expected: list[int]) -> None:
    """In SQL and in Python alike."""
    assert SHELF.by_sql(where) == expected
    assert SHELF.by_python(where) == expected


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ([], "where"),
        ({"or": []}, "where.or"),
        ({"or": {"a": 1}}, "where.or"),
        ({"and": [{"a": 1}, 5]}, "where.and[1]"),
        ({"a": {"bigger": 1}}, "where.a"),
        ({"a": {}}, "where.a"),
        ({"a": [1, 2]}, "where.a"),
        ({"a": {"in": 1}}, "where.a.in"),
        ({"a": {"in": [1, object()]}}, "where.a.in[1]"),
        ({"a": math.nan}, "where.a"),
        ({"a": 2**63}, "where.a"),
        ({"a": "\ud800"}, "where.a"),
        ({"a": {"exists": 1}}, "where.a.exists"),
        ({"a": {"prefix": 1}}, "where.a.prefix"),
        ({"a": {"contains": None}}, "where.a.contains"),
        ({"a": {"gt": None}}, "where.a.gt"),
        ({"": 1}, "where"),
        ({1: 1}, "where"),
        ({"$gt": 1}, "where.$gt"),
        ({"created": "soon"}, "where.created"),
        ({"created": {"prefix": "2020"}}, "where.created.prefix"),
        ({"kind": 5}, "where.kind"),
        ({"under": "xyz"}, "where.under"),
        ({"under": {"gt": fid(1)}}, "where.under.gt"),
        ({"or": [{"a": {"in": list(range(6_000))}}] * 2}, "where.or[1].a.in"),
        ({"or": [{"a": 1}] * 300}, "where.or[256].a"),
    ],
)
def test_a_filter_that_cannot_be_read_says_where(where: Any, place: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        parse(where)
    assert raised.value.message.startswith(f"{place}:")


def test_a_filter_nested_too_deep_is_refused() -> None:
    """Instead of exhausting the stack, here or in SQLite."""
    where: dict[str, Any] = {"a": 1}
    for _ in range(5_000):
        where = {"not": where}
    with pytest.raises(InvalidFilter, match="nested deeper"):
        parse(where)
    operators: dict[str, Any] = {"eq": 1}
    for _ in range(5_000):
        operators = {"not": operators}
    with pytest.raises(InvalidFilter, match="nested deeper"):
        parse({"a": operators})


def test_the_largest_filter_that_is_accepted_runs() -> None:
    where = {"or": [{"a": {"in": list(range(39))}}] * 255}
    assert SHELF.by_sql(where) == []


def test_no_value_or_name_becomes_sql() -> None:
    """Names and values travel as bindings."""
    evil = "x'); DROP TABLE fragments; --"
    sql, bindings = compile_where({evil: evil, "or": [{evil: {"prefix": evil}}]})
    assert "DROP" not in sql
    assert evil in bindings.values()
    assert SHELF.by_sql({evil: evil}) == []


TEXTS = st.text("aAb'\"%_\x00é\U0010ffff😀\ud7ff\ue000", max_size=3)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -0.0, 1e300, -math.inf, math.inf, 2**63 - 1, -(2**63)])
SCALARS = TEXTS | NUMBERS | st.booleans()
KEYS = st.sampled_from(["k", "l", "m.n", "o"])
METADATA = st.dictionaries(
    st.sampled_from(["k", "l", "o"]), SCALARS | st.none() | st.lists(SCALARS, max_size=3), max_size=3
) | st.fixed_dictionaries({"m": st.fixed_dictionaries({"n": SCALARS})})
OWN_TEXTS = st.none() | st.sampled_from(["a", "b", "ab"])
TIMES = st.integers(0, 5).map(lambda n: n / 2)
CONDITIONS = st.one_of(
    st.tuples(KEYS, SCALARS | st.none()),
    st.tuples(
        KEYS, st.dictionaries(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), SCALARS, min_size=1)
    ),
    st.tuples(
        KEYS, st.dictionaries(st.sampled_from(["in", "nin"]), st.lists(SCALARS, max_size=3), min_size=1)
    ),
    st.tuples(KEYS, st.dictionaries(st.sampled_from(["prefix", "contains"]), TEXTS, min_size=1)),
    st.tuples(KEYS, st.dictionaries(st.just("exists"), st.booleans(), min_size=1)),
    st.tuples(st.sampled_from(["user", "session", "source", "kind"]), OWN_TEXTS),
    st.tuples(
        st.sampled_from(["user", "source"]), st.fixed_dictionaries({"prefix": st.sampled_from(["", "a"])})
    ),
    st.tuples(
        st.sampled_from(["created", "expires"]),
        st.dictionaries(st.sampled_from(["gt", "lte"]), TIMES, min_size=1),
    ),
    st.tuples(st.sampled_from(["under", "parent", "id"]), st.integers(1, 5).map(fid)),
).map(lambda pair: {pair[0]: pair[1]})
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)
FRAGMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "metadata": METADATA,
            "own": st.fixed_dictionaries(
                {
                    "parent": st.none() | st.integers(1, 5).map(fid),
                    "kind": st.sampled_from(["a", "b"]),
                    "user": OWN_TEXTS,
                    "session": OWN_TEXTS,
                    "source": OWN_TEXTS,
                    "created": TIMES,
                    "updated": TIMES,
                    "expires": st.none() | TIMES,
                }
            ),
        }
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(FRAGMENTS, FILTERS)
def test_sql_and_python_agree_on_every_filter(fragments: list[Any], where: Any) -> None:
    """Whatever the metadata and the filter: types, lists, nulls, cycles of parents and odd texts included."""
    for number, each in enumerate(fragments, 1):
        each["own"]["id"] = fid(number)
    shelf = Shelf(fragments)
    assert shelf.by_sql(where) == shelf.by_python(where)
