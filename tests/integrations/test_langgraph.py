"""The LangGraph store: it does what LangGraph's own does, and says what is damaged."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore, GetOp, InvalidNamespaceError, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from carma import AsyncMemory, Memory
from carma.errors import InvalidInput, TooLarge
from carma.integrations.langgraph import CarmaStore
from carma.integrations.langgraph_items import passes
from carma.testing import SimulatedClock
from carma.testing.embedder import HashEmbedder

from .losing import lose_all, opened

LABELS = st.sampled_from(["a", "b", "ab"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
PATHS = st.lists(st.one_of(LABELS, st.just("*")), min_size=1, max_size=2).map(tuple)
KEYS = st.sampled_from(["k", "K", "k.1", "ключ"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "y", "1", ""]))
VALUES = st.dictionaries(
    st.sampled_from(["n", "s", "deep", "a.b"]),
    st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.fixed_dictionaries({"m": SCALARS})),
    max_size=3,
)
NUMBERS = st.integers(-2, 2)
FILTERS = st.dictionaries(
    st.sampled_from(["n", "s", "deep", "a.b"]),
    st.one_of(
        SCALARS,
        st.lists(SCALARS, max_size=2),
        st.fixed_dictionaries({"m": SCALARS}),
        st.fixed_dictionaries({"$eq": SCALARS}),
        st.fixed_dictionaries({"$ne": SCALARS}),
    ),
    max_size=2,
)
OPS = st.one_of(
    st.tuples(NAMESPACES, KEYS, st.one_of(st.none(), VALUES)).map(lambda given: PutOp(*given)),
    st.tuples(NAMESPACES, KEYS).map(lambda given: GetOp(*given)),
    st.tuples(NAMESPACES, FILTERS, st.integers(1, 5), st.integers(0, 2)).map(lambda given: SearchOp(*given)),
)


def plain(result: Any) -> Any:
    """A result without what may differ: moments, and the order of what has no order."""
    if isinstance(result, list):
        return [plain(each) for each in result]
    return (result.namespace, result.key, result.value) if hasattr(result, "key") else result


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=st.lists(OPS, max_size=15), path=PATHS)
def test_it_does_what_langgraphs_own_store_does(memory: Memory, ops: list[Any], path: Any) -> None:
    """Any order of puts, deletions, gets, filters and namespaces gives the same answers, op by op."""
    theirs, ours = InMemoryStore(), CarmaStore(memory, user=uuid4().hex)
    for op in ops:
        (expected,), (found,) = theirs.batch([op]), ours.batch([op])
        if isinstance(op, SearchOp):  # Their order is that of namespaces, ours that of creation.
            everything = op._replace(limit=100, offset=0)
            (expected,), (all_of,) = theirs.batch([everything]), ours.batch([everything])
            assert sorted(map(repr, plain(all_of))) == sorted(map(repr, plain(expected)))
            assert plain(found) == plain(all_of)[op.offset : op.offset + op.limit]
        else:
            assert plain(found) == plain(expected)
    live = {item.namespace for item in theirs.search((), limit=1000)}
    assert set(ours.list_namespaces(limit=100)) == live
    assert set(ours.list_namespaces(prefix=path)) == set(theirs.list_namespaces(prefix=path)) & live
    assert set(ours.list_namespaces(suffix=path)) == set(theirs.list_namespaces(suffix=path)) & live


@given(st.one_of(NUMBERS, st.just("2")), st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS)
def test_order_in_a_filter_is_that_of_numbers(value: Any, operator: str, operand: int) -> None:
    """As in LangGraph's own store; what is no number passes nothing."""
    item, store = {"n": value}, InMemoryStore()
    store.put(("a",), "k", item)
    assert passes(item, {"n": {operator: operand}}) == bool(
        store.search(("a",), filter={"n": {operator: operand}})
    )
    assert not passes({"n": "many"}, {"n": {operator: operand}})
    assert not passes({}, {"n": {operator: operand}})


@pytest.fixture
def store(memory: Memory) -> CarmaStore:
    return CarmaStore(memory)


def test_filters_are_looked_up_and_then_proven(store: CarmaStore) -> None:
    """Numbers, texts that are numbers, nested and long values, and more of them than the index holds."""
    values: list[dict[str, Any]] = [
        {"n": 1},
        {"n": "3"},
        {"n": 5, "deep": {"m": {"x": 1}}},
        {"long": "y" * 400},
    ]
    values.append({f"name{number}": number for number in range(100)})
    store.batch([PutOp(("a",), str(number), value) for number, value in enumerate(values)])
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"n": {"$gt": 2}}, ["1", "2"]),
        ({"n": {"$gte": 1, "$lt": 5}}, ["0", "1"]),
        ({"deep": {"m": {"x": 1}}}, ["2"]),
        ({"long": "y" * 400}, ["3"]),
        ({"name99": 99}, ["4"]),
        ({"n": {"$ne": 1}}, ["1", "2", "3", "4"]),
    ]
    for filter, keys in wanted:
        assert [each.key for each in store.search(("a",), filter=filter)] == keys, filter
    with pytest.raises(InvalidInput, match="operator"):
        store.search(("a",), filter={"n": {"$near": 1}})


def test_a_search_is_by_meaning_within_a_namespace(store: CarmaStore) -> None:
    """Best first, below the prefix only, with offset, limit and filter."""
    for number in range(6):
        store.put(("ann", "notes"), f"k{number}", {"text": f"green tea {number}", "even": number % 2 == 0})
    store.put(("anna",), "other", {"text": "green tea"})
    store.put(("ann",), "cup", {"text": "a cup of glass"})
    found = store.search(("ann",), query="green tea", limit=3)
    assert len(found) == 3 and all(each.key.startswith("k") for each in found)
    scores = [each.score or 0 for each in found]
    assert scores == sorted(scores, reverse=True)
    more = store.search(("ann",), query="green tea", limit=3, offset=3)
    assert {each.key for each in found} | {each.key for each in more} == {f"k{number}" for number in range(6)}
    even = store.search(("ann",), query="green tea", filter={"even": True}, limit=10)
    assert {each.key for each in even} == {"k0", "k2", "k4"}
    with pytest.raises(TooLarge):
        store.search(("ann",), query="tea", limit=2000)


def test_index_says_what_is_found(memory: Memory) -> None:
    """By named fields, each by itself; by nothing; and by the new fields after an update."""
    store = CarmaStore(memory, fields=["title", "tags[*]"])
    store.put(("a",), "one", {"title": "harbour", "tags": ["lantern", "thunder"], "body": "violin"})
    store.put(("a",), "two", {"title": "castle", "body": "thunder"}, index=False)
    store.put(("a",), "three", {"title": "castle", "body": "violin"}, index=["body"])
    assert [each.key for each in store.search(("a",), query="thunder")] == ["one", "three"]
    assert {each.key for each in store.search(("a",), query="violin", limit=1)} == {"three"}
    assert store.get(("a",), "two") is not None
    store.put(("a",), "one", {"title": "harbour", "tags": []})
    assert [each.text for each in memory.list(where={"kind": "field"})] == ["violin", "harbour"]
    store.delete(("a",), "one")
    assert [each.key for each in store.search(("a",), query="harbour thunder")] == ["three"]


def test_items_expire_and_reading_keeps_them(tmp_path: Path) -> None:
    """ttl is in minutes; a read refreshes it unless asked not to; the moment of the put stays."""
    clock = SimulatedClock()
    with Memory.open(tmp_path / "m", embedder=HashEmbedder(), clock=clock) as memory:
        store = CarmaStore(memory, ttl={"default_ttl": 10.0}, fields=["t"], clock=clock)
        for key in ("read", "left", "searched", "peeked"):
            store.put(("a",), key, {"t": f"word {key}"})
        store.put(("a",), "stays", {"t": "word stays"}, ttl=None)
        made = store.get(("a",), "read")
        clock.advance(6 * 60)
        assert store.get(("a",), "read") is not None
        assert store.get(("a",), "peeked", refresh_ttl=False) is not None
        assert store.search(("a",), query="searched", limit=1)[0].key == "searched"
        clock.advance(6 * 60)
        again = store.get(("a",), "read")
        assert again is not None and made is not None and again.updated_at == made.updated_at
        assert {each.key for each in store.search(("a",))} == {"read", "searched", "stays"}
        assert {each.key for each in store.search(("a",), query="word")} == {"read", "searched", "stays"}
        store.put(("a",), "left", {"t": "back"})
        assert store.get(("a",), "left") is not None
        clock.advance(60 * 60)
        assert [each.key for each in store.search(())] == ["stays"]


def test_what_is_lost_says_so(tmp_path: Path) -> None:
    """A damaged item is an item that names its state and reason; nothing raises and nothing vanishes."""
    folder = tmp_path / "m"
    with opened(folder) as memory:
        store = CarmaStore(memory)
        for number in range(24):
            store.put(("a",), f"k{number}", {"text": f"tea {number}", "even": number % 2 == 0})
    lose_all(folder)
    with opened(folder) as memory:
        store = CarmaStore(memory)
        item = store.get(("a",), "k3")
        assert item is not None and item.key == "k3"
        assert item.value["carma"]["state"] == "blank" and item.value["carma"]["reason"]
        assert len(store.search(("a",), filter={"even": True}, limit=100)) == 12
        assert store.list_namespaces() == [("a",)]
        store.put(("a",), "k3", {"text": "told again"})
        assert store.get(("a",), "k3").value == {"text": "told again"}  # type: ignore[union-attr]


def test_the_last_of_two_puts_at_once_counts(memory: Memory) -> None:
    """Many threads that put one key leave one item, at the latest after the next put."""
    store = CarmaStore(memory)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(("a",), "k", {"n": number}), range(32)))
    assert len(store.search(("a",))) == 1
    store.put(("a",), "k", {"n": 99})
    assert [each.value for each in store.search(("a",))] == [{"n": 99}]
    store.delete(("a",), "k")
    assert store.search(("a",)) == [] and memory.count() == 0


def test_stores_of_two_users_share_a_memory(memory: Memory) -> None:
    """What one user puts is neither got, nor found, nor deleted by another."""
    ann, bob = CarmaStore(memory, user="ann"), CarmaStore(memory, user="bob")
    ann.put(("a",), "k", {"text": "ann's tea"})
    assert bob.get(("a",), "k") is None
    assert bob.search((), query="tea") == [] and bob.list_namespaces() == []
    bob.delete(("a",), "k")
    assert ann.get(("a",), "k") is not None


def test_it_can_be_awaited(memory: Memory) -> None:
    """Over a memory that is awaited, and over one that blocks, in one batch of all operations."""

    async def use(store: BaseStore) -> None:
        await store.aput(("a",), "k", {"text": "tea"})
        ops = [
            GetOp(("a",), "k"),
            SearchOp(("a",), query="tea"),
            ListNamespacesOp(),
            PutOp(("a",), "k", None),
        ]
        got, found, names, _ = await store.abatch(ops)
        assert got.value == {"text": "tea"} and [each.key for each in found] == ["k"] and names == [("a",)]
        assert await store.aget(("a",), "k") is None

    asyncio.run(use(CarmaStore(AsyncMemory(memory))))
    asyncio.run(use(CarmaStore(memory)))


def test_a_graph_remembers_with_it(memory: Memory) -> None:
    """A compiled graph is given the store and puts and finds in it."""

    class State(TypedDict):
        said: str
        known: list[str]

    def remember(state: State, store: BaseStore) -> dict[str, Any]:
        known = [each.value["text"] for each in store.search(("facts",), query=state["said"])]
        store.put(("facts",), state["said"], {"text": state["said"]})
        return {"known": known}

    builder = StateGraph(State)
    builder.add_node("remember", remember)
    builder.add_edge(START, "remember")
    builder.add_edge("remember", END)
    graph = builder.compile(store=CarmaStore(memory))
    assert graph.invoke({"said": "tea is green", "known": []})["known"] == []
    assert graph.invoke({"said": "tea", "known": []})["known"] == ["tea is green"]


@pytest.mark.parametrize(
    ("namespace", "value", "error"),
    [
        (("a.b",), {}, InvalidNamespaceError),
        (("a",), {"x": object()}, InvalidInput),
        (("a",), {"x": float("nan")}, InvalidInput),
        (("x" * 300, "y" * 300), {}, InvalidInput),
    ],
)
def test_what_cannot_be_put_is_refused(
    store: CarmaStore, namespace: tuple[str, ...], value: Any, error: type[Exception]
) -> None:
    """Labels with dots, values that are not JSON, namespaces without end; also in a raw batch."""
    with pytest.raises(error):
        store.batch([PutOp(namespace, "k", value)])
