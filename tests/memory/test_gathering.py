"""What one call brings together has a bound in bytes: pages end there, others say what to ask instead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.config import Settings
from carma.errors import TooLarge
from carma.memory.gathering import weight
from carma.memory.memory import Memory
from carma.models import Blank, Fragment, Hit, HitParts, Repair, SearchResult, Source
from carma.serve.shapes import encode, encode_found
from carma.testing import HashEmbedder, SimulatedDisk

BOUND = 40_000
LONG = 10_000
FOUR = 4
"""So many fragments of `LONG` letters would be over the bound; one less is not."""

Open = Callable[..., Memory]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ids = st.lists(st.just("0" * 32), max_size=50).map(tuple)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
number = st.floats(-1e300, 1e300)
fragments = st.builds(
    Fragment,
    id=st.just("0" * 32),
    text=texts,
    version=st.integers(1, 2**53),
    state=st.sampled_from(["intact", "repaired", "reconstructed", "blank"]),
    parent=st.none() | st.just("0" * 32),
    position=number,
    kind=texts,
    metadata=st.dictionaries(texts, values, max_size=3),
    user=st.none() | texts,
    agent=st.none() | texts,
    session=st.none() | texts,
    created=number,
    updated=number,
    expires=st.none() | number,
    source=st.none() | st.builds(Source, path=texts, span=st.none() | st.just((2**62, 2**62))),
    digest=st.just("0" * 32),
    seq=st.integers(0, 2**63),
    blank=st.none() | st.builds(Blank, reason=texts, digest=st.just("0" * 32), children=ids),
    repair=st.none() | st.builds(Repair, rung=st.just("short copy"), method=texts, sources=ids, when=number),
)  # fmt: skip


@given(fragments)
def test_a_weight_is_never_less_than_the_answer(fragment: Fragment) -> None:
    """Also of control characters, which take six times their room, and as a hit; and it is not much more."""
    parts = HitParts(vector=-1 / 3, words=1 / 3, neighbours=1e-300, context=2 / 3)
    hit = SearchResult(hits=(Hit(fragment=fragment, score=-1 / 3, parts=parts),))
    frame = len(encode_found(SearchResult(hits=())))
    assert len(encode_found(hit)) - frame <= weight(fragment) <= 1.2 * len(encode(fragment)) + 1_200


@pytest.fixture
def bounded(open_memory: Open) -> Memory:
    """A memory with a small bound: ten long texts below the first, and as many above."""
    memory = open_memory(settings=Settings(answer_bytes=BOUND))
    top = memory.add("x" * LONG)
    memory.add_many({"text": f"{n}" * LONG, "parent": top.id} for n in range(10))
    memory.add_many(f"{n}" * LONG for n in range(10))
    return memory


@pytest.mark.parametrize("parent", [{}, {"parent": None}])
@pytest.mark.parametrize("limit", [2, 1_000])
def test_a_page_ends_where_the_bound_is(bounded: Memory, parent: dict[str, Any], limit: int) -> None:
    """Cursors lead through everything once, and no page is empty or over the bound."""
    found: list[str] = []
    cursor = None
    while True:
        page = bounded.list(limit=limit, cursor=cursor, **parent)
        assert len(page) and sum(map(weight, page)) <= BOUND
        found += [each.id for each in page]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page) == min(limit, FOUR - 1)
    assert len(found) == len(set(found)) == bounded.count() - (10 if parent else 0)


def test_what_is_longer_than_the_bound_is_a_page_of_its_own(open_memory: Open) -> None:
    """One fragment is always given, by `get`, `tree` and `history` too: it could not be had at all else."""
    memory = open_memory(settings=Settings(answer_bytes=1_000))
    made = memory.add_many(["a" * LONG, "b" * LONG, "\x01" * LONG])
    cursor = None
    for each in made:
        page = memory.list(cursor=cursor)
        assert [one.text for one in page] == [each.text]
        cursor = page.cursor
        assert memory.get(each.id).text == memory.history(each.id)[0].text == each.text
        assert memory.tree(each.id).fragment == memory.get(each.id)
    assert cursor is None


def test_what_will_not_be_sent_is_not_read() -> None:
    """The length of a record is known before: neither a page nor a refusal reads more than fits."""
    disk = SimulatedDisk()
    with Memory.open(
        "/memory", disk=disk, embedder=HashEmbedder(), settings=Settings(answer_bytes=BOUND)
    ) as memory:
        made = memory.add_many(f"{n}" * LONG for n in range(50))
        for n in range(20):
            memory.update(made[0].id, f"{n}" * LONG)
        memory.flush()
        asked: list[Callable[[], object]] = [
            lambda: memory.list(limit=1_000),
            lambda: memory.history(made[0].id),
            memory.tree,
            memory.children,
            lambda: memory.search("7" * LONG, limit=50, mode="words"),
        ]
        for ask in asked:
            disk.log.clear()
            with suppress(TooLarge):
                ask()
            read = [path for action, path in disk.log if action == "read" and path.endswith(".seg")]
            assert len(read) <= FOUR, ask


def test_every_other_verb_says_what_to_ask_instead(bounded: Memory) -> None:
    """TooLarge, which names the bound; and what it says does work."""
    top = bounded.list(limit=1)[0].id
    for n in range(5):
        bounded.update(top, f"version {n} {'y' * LONG}")
    bounded.flush()
    asked: list[tuple[str, Callable[[], object]]] = [
        ("version", lambda: bounded.history(top)),
        ("depth", bounded.tree),
        ("list", lambda: bounded.children(top)),
        ("limit", lambda: bounded.search("y" * LONG, mode="vector", limit=10)),
        ("fewer", lambda: bounded.add_many([{"text": f"{n}" * LONG, "dedupe": True} for n in range(10)])),
        ("fewer", lambda: bounded.add_many([{"text": "z" * LONG, "dedupe": True}] * 10)),
    ]
    before = bounded.count()
    for said, ask in asked:
        with pytest.raises(TooLarge, match="answer_bytes") as refused:
            ask()
        assert said in refused.value.hint
    assert bounded.count() == before
    assert bounded.get(top, version=3).text.startswith("version 1")
    assert len(bounded.search("y" * LONG, mode="vector", limit=2)) == 2
    assert bounded.tree(top, depth=0).more == 10


def test_a_topology_holds_no_texts(bounded: Memory) -> None:
    """It has a bound of its own, in fragments, and shows the beginning of each."""
    spots = bounded.topology().spots
    assert len(spots) == 21 and {len(spot.label) for spot in spots} == {80}


def test_nobody_is_bound_without_a_bound(memory: Memory) -> None:
    """A library reads what it asks for."""
    memory.add_many(f"{n % 10}" * LONG for n in range(50))
    assert len(memory.list(limit=1_000)) == len(memory.tree().children) == len(memory.children()) == 50
