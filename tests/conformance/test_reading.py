"""Finding and reading: the same promises on every surface."""

from __future__ import annotations

from typing import Any

import pytest

from carma.errors import CarmaError, FragmentNotFound, InvalidFilter, InvalidInput
from carma.models import SearchResult
from carma.testing.embedder import HashEmbedder

from .kinds import Spoken

UNKNOWN = "0" * 32


def shelves(memory: Spoken) -> dict[str, Any]:
    """Two shelves with three teas and a cup."""
    made: dict[str, Any] = {
        "teas": memory.add("Teas", kind="folder"),
        "cups": memory.add("Cups", kind="folder"),
    }
    for name, stars, user in (("green", 5, "ann"), ("black", 3, "ann"), ("white", 4, "bob")):
        made[name] = memory.add(
            f"{name} tea leaves", parent=made["teas"].id, metadata={"stars": stars}, user=user, session="s"
        )
    made["glass"] = memory.add("a cup of glass", parent=made["cups"].id)
    return made


def test_versions_can_be_read(memory: Spoken) -> None:
    """The newest, an older one, and all of them, oldest first."""
    made = memory.add("one")
    memory.update(made.id, "two")
    assert memory.get(made.id).text == "two" and memory.get(made.id, version=1) == made
    assert [each.text for each in memory.history(made.id)] == ["one", "two"]
    with pytest.raises(FragmentNotFound):
        memory.get(made.id, version=3)
    assert memory.get(made.id.upper()).id == made.id


def test_several_are_read_in_the_order_asked_for(memory: Spoken) -> None:
    """And the first that is missing is an error."""
    one, two = memory.add_many(["one", "two"])
    assert [each.text for each in memory.get_many([two.id, one.id, two.id])] == ["two", "one", "two"]
    with pytest.raises(FragmentNotFound):
        memory.get_many([one.id, UNKNOWN])


def test_pages_end_and_miss_nothing(memory: Spoken) -> None:
    """Page by page, by creation, and below a parent by place."""
    top = memory.add("top")
    made = memory.add_many([{"text": f"text {n}", "position": -n} for n in range(7)], parent=top.id)
    seen, cursor = [], None
    while True:
        page = memory.list(limit=3, cursor=cursor)
        seen += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [top, *made]
    below = memory.list(parent=top.id, limit=4)
    rest = memory.list(parent=top.id, limit=4, cursor=below.cursor)
    assert [*below, *rest] == made[::-1] and rest.cursor is None
    assert memory.list(parent=None).items == (top,)


def test_a_list_is_scoped_and_filtered(memory: Spoken) -> None:
    """By user, session and metadata, in every combination that is asked for."""
    made = shelves(memory)
    assert list(memory.list(user="ann")) == [made["green"], made["black"]]
    assert list(memory.list(user="ann", session="s", where={"stars": {"gte": 4}})) == [made["green"]]
    assert list(memory.list(where={"or": [{"stars": 3}, {"kind": "folder"}]})) == [
        made["teas"], made["cups"], made["black"],
    ]  # fmt: skip
    assert list(memory.list(where={"under": made["cups"].id})) == [made["cups"], made["glass"]]
    assert list(memory.list(agent="nobody")) == []


def test_the_tree_shows_who_stands_below_whom(memory: Spoken) -> None:
    """All of it, below one fragment, and to a depth; what is left out is counted."""
    made = shelves(memory)
    tree = memory.tree()
    assert tree.fragment is None and [each.fragment for each in tree.children] == [made["teas"], made["cups"]]
    teas = memory.tree(made["teas"].id)
    assert [each.fragment for each in teas.children] == [made["green"], made["black"], made["white"]]
    flat = memory.tree(depth=1)
    assert [(each.children, each.more) for each in flat.children] == [((), 3), ((), 1)]
    bare = memory.tree(made["teas"].id, depth=0)
    assert (bare.fragment, bare.children, bare.more) == (made["teas"], (), 3)
    assert memory.children(made["teas"].id) == [made["green"], made["black"], made["white"]]
    assert memory.children() == [made["teas"], made["cups"]]
    assert memory.parent(made["glass"].id) == made["cups"] and memory.parent(made["cups"].id) is None
    for verb in (memory.tree, memory.children, memory.parent, memory.history):
        with pytest.raises(FragmentNotFound):
            verb(UNKNOWN)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "words"])
def test_a_search_finds_whole_fragments(memory: Spoken, mode: str) -> None:
    """Best first, each hit with all of its fragment; explained where asked for."""
    made = shelves(memory)
    found = memory.search("green tea leaves", mode=mode, limit=3, explain=True)
    assert isinstance(found, SearchResult) and not found.degraded and found.took_ms >= 0
    assert found[0].fragment == made["green"] and len(found) == 3
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert all(hit.parts is not None for hit in found)
    assert memory.search("green tea leaves", mode=mode, limit=1)[0].parts is None


def test_a_search_is_scoped_filtered_and_bounded(memory: Spoken) -> None:
    """By user, metadata, place in the tree, and score."""
    made = shelves(memory)

    def found(**options: Any) -> set[str]:
        return {hit.id for hit in memory.search("tea leaves", **options)}

    assert found(user="ann") == {made["green"].id, made["black"].id}
    assert found(where={"stars": {"lt": 5}}) == {made["black"].id, made["white"].id}
    assert found(under=made["cups"].id) <= {made["cups"].id, made["glass"].id}
    assert found(min_score=99.0) == set()
    assert len(memory.search("tea leaves", limit=2, diversity=0.5)) == 2


def test_a_vector_can_be_searched_and_given(memory: Spoken) -> None:
    """The caller's own vector is what a fragment is found by."""
    (vector,) = HashEmbedder().embed(["harbour lantern"])
    made = memory.add("something else", vector=vector)
    memory.add("a third thing")
    assert memory.search(vector=vector, mode="vector", limit=1)[0].id == made.id
    assert memory.search("harbour lantern", mode="vector", limit=1)[0].id == made.id


def test_the_topology_has_every_fragment(memory: Spoken) -> None:
    """With its level, and threads only where they are asked for."""
    made = shelves(memory)
    drawn = memory.topology()
    assert {spot.id: spot.level for spot in drawn.spots} == {
        each.id: int(each.parent is not None) for each in made.values()
    }
    assert {spot.state for spot in drawn.spots} == {"intact"} and drawn.more == 0
    bare = memory.topology(threads=False, limit=2)
    assert len(bare.spots) == 2 and bare.threads == () and bare.more == 4


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], type[CarmaError]]] = [
    ("get", ("7",), {}, InvalidInput),
    ("get", (UNKNOWN,), {}, FragmentNotFound),
    ("list", (), {"limit": 0}, InvalidInput),
    ("list", (), {"limit": 10**6}, InvalidInput),
    ("list", (), {"cursor": "nonsense"}, InvalidInput),
    ("list", (), {"where": {"a": {"near": 1}}}, InvalidFilter),
    ("list", (), {"parent": "7"}, InvalidInput),
    ("search", ("",), {}, InvalidInput),
    ("search", ("x",), {"mode": "magic"}, InvalidInput),
    ("search", ("x",), {"limit": 0}, InvalidInput),
    ("search", ("x",), {"where": {"$and": 1}}, InvalidFilter),
    ("search", ("x",), {"under": "7"}, InvalidInput),
    ("search", (), {"vector": [1.0]}, InvalidInput),
    ("search", (), {}, InvalidInput),
    ("blanks", (), {"limit": 0}, InvalidInput),
    ("dreams", (0,), {}, InvalidInput),
]


@pytest.mark.parametrize(("verb", "args", "kwargs", "error"), WRONG)
def test_the_same_mistake_is_the_same_error(
    memory: Spoken, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[CarmaError]
) -> None:
    """Its class and a hint, wherever it is made."""
    memory.add("x")
    with pytest.raises(error) as caught:
        getattr(memory, verb)(*args, **kwargs)
    assert caught.value.hint


def test_all_are_counted_but_what_has_expired(memory: Spoken) -> None:
    """With a scope, with a filter, and without."""
    shelves(memory)
    memory.add("gone", expires=1.0)
    assert memory.count() == 6
    assert memory.count(user="ann") == 2 and memory.count(user="ann", session="other") == 0
    assert memory.count(where={"stars": {"$gte": 4}}) == 2
    with pytest.raises(InvalidFilter):
        memory.count(where={"stars": {"$nothing": 4}})


def test_its_numbers_are_told(memory: Spoken) -> None:
    """The same ones everywhere, but for where it lies."""
    shelves(memory)
    stats = memory.stats()
    assert stats["fragments"] - stats["expired"] == 6 == memory.count()
    assert stats["blanks"] == 0 and stats["kinds"]["folder"] == 2
    assert stats["vectors"]["indexed"] + stats["vectors"]["pending"] >= 6
    assert {"id", "created", "expired", "versions", "deleted", "bytes", "embedder"} <= stats.keys()


@pytest.mark.parametrize("mode", ["vector", "words", "hybrid"])
def test_many_are_found_at_once(memory: Spoken, mode: str) -> None:
    """Each as if it had been asked for alone; and with the scope of all."""
    shelves(memory)
    queries = [f"{name} tea leaves" for name in ("white", "green", "black")] * 4
    batch = memory.search_many(queries, limit=3, mode=mode, user="ann")
    assert len(batch) == 12 and not batch.degraded and batch.scores.shape == (12, 3)
    for at, query in enumerate(queries):
        alone = memory.search(query, limit=3, mode=mode, user="ann")
        assert [hit.id for hit in batch[at]] == [hit.id for hit in alone] == batch.ids(at)
        assert batch.texts(at) == [hit.text for hit in alone]
        assert {hit.fragment.user for hit in batch[at]} == {"ann"}
    assert len(memory.search_many([])) == 0


def test_many_vectors_are_found_at_once(memory: Spoken) -> None:
    """An array, a row for each; by meaning only."""
    shelves(memory)
    vectors = HashEmbedder().embed(["green tea leaves", "a cup of glass"])
    batch = memory.search_many(vectors, limit=1)
    assert [each[0].text for each in batch] == ["green tea leaves", "a cup of glass"]
    assert batch.scores[:, 0] == pytest.approx([1.0, 1.0], abs=1e-3)
    with pytest.raises(InvalidInput, match="needs the texts"):
        memory.search_many(vectors, mode="words")


def test_of_many_the_first_that_is_wrong_is_told(memory: Spoken) -> None:
    """Whatever the others are."""
    made = memory.add_many([f"text {n}" for n in range(20)])
    ids = [each.id for each in made]
    assert [each.id for each in memory.get_many(reversed(ids))] == ids[::-1]
    with pytest.raises(FragmentNotFound, match=UNKNOWN):
        memory.get_many([*ids, UNKNOWN, "f" * 32])
    with pytest.raises(InvalidInput):
        memory.search_many(["tea", "tea"], limit=0)
