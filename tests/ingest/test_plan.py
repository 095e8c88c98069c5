"""The plan brings what is held in line with what was parsed, and touches nothing else."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count, pairwise

from hypothesis import given
from hypothesis import strategies as st

from carma.ingest import Add, Delete, Existing, Move, Restate, Update
from carma.ingest.matching import pairs
from carma.ingest.node import ParsedNode, digest_of
from carma.ingest.parse import parse
from carma.ingest.places import ascending, places
from carma.ingest.plan import Plan, plan_content, plan_removal
from carma.models import Source

from .dict_sink import DictSink, as_tree

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "twice", "twice", "thrice"])


def nodes(depth: int) -> st.SearchStrategy[tuple[ParsedNode, ...]]:
    leaf = st.builds(
        lambda kind, text: ParsedNode(kind=kind, text=text), st.sampled_from(["paragraph", "code"]), WORDS
    )
    if depth == 0:
        return st.lists(leaf, max_size=5).map(tuple)
    holder = st.builds(
        lambda kind, text, children: ParsedNode(kind=kind, text=text, children=children),
        st.sampled_from(["section", "session", "turn"]),
        WORDS,
        nodes(depth - 1),
    )
    return st.lists(leaf | holder, max_size=5).map(tuple)


TREES = nodes(2)


def fresh(tree: tuple[ParsedNode, ...] = ()) -> DictSink:
    """A sink that holds one file with this content."""
    sink = DictSink()
    sink.apply(
        [Add(id="file", parent=None, position=1.0, kind="file", text="a.md", source=Source(path="a.md"))]
    )
    change(sink, tree)
    return sink


def change(sink: DictSink, tree: tuple[ParsedNode, ...]) -> Plan:
    plan = plan_content("file", sink.below("file"), tree, path="a.md", digest="d", new_id=sink.new_id)
    sink.apply(plan.operations)
    return plan


def written(text: str) -> tuple[ParsedNode, ...]:
    return parse("a.md", text.encode()).nodes


@given(TREES, TREES)
def test_applying_the_plan_gives_the_new_tree(
    old: tuple[ParsedNode, ...], new: tuple[ParsedNode, ...]
) -> None:
    """From any tree to any other: kinds, texts and order are those of the new one."""
    sink = fresh(old)
    change(sink, new)
    assert sink.tree("file") == as_tree(new)


@given(TREES, TREES)
def test_a_second_plan_has_nothing_to_do(old: tuple[ParsedNode, ...], new: tuple[ParsedNode, ...]) -> None:
    """Equal trees make no operation, also after a change."""
    sink = fresh(old)
    change(sink, new)
    again = change(sink, new)
    assert again.operations == ()
    assert again.kept == len(sink.below("file"))


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=40), st.data())
def test_paragraphs_that_stay_are_not_written(numbers: list[int], data: st.DataObject) -> None:
    """Dropping some paragraphs and putting in others writes exactly those."""
    keep = data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))
    old = [ParsedNode(kind="paragraph", text=f"p{number}") for number in numbers]
    new: list[ParsedNode] = []
    for node, stays in zip(old, keep, strict=True):
        new += [node] if stays else [ParsedNode(kind="code", text=f"new {node.text}")]
    sink = fresh(tuple(old))
    stay = {sink.one(node.text).seen.id for node, stays in zip(old, keep, strict=True) if stays}
    plan = change(sink, tuple(new))
    assert not stay & {operation.id for operation in plan.operations}
    assert plan.kept == len(stay)


def test_an_edited_paragraph_keeps_its_id() -> None:
    """An edit between two unchanged neighbours is an update, and only that."""
    sink = fresh(written("# A\n\none\n\ntwo\n\nthree\n"))
    id = sink.one("two").seen.id
    plan = change(sink, written("# A\n\none\n\ntwo, edited\n\nthree\n"))
    assert [type(each) for each in plan.operations] == [Update, Restate]
    assert sink.one("two, edited").seen.id == id


def test_text_above_only_shifts_the_spans_below() -> None:
    """A new first paragraph restates the others: same id, same version."""
    sink = fresh(written("one\n\ntwo\n"))
    versions = sink.versions()
    plan = change(sink, written("zero\n\none\n\ntwo\n"))
    assert sorted(type(each).__name__ for each in plan.operations) == ["Add", "Restate", "Restate"]
    assert versions.items() <= sink.versions().items()
    source = sink.one("two").seen.source
    assert source is not None and source.span == (11, 14)


def test_a_new_heading_above_moves_paragraphs_and_keeps_their_ids() -> None:
    """Paragraphs that come to lie in another section are moved, not deleted and added."""
    sink = fresh(written("one\n\ntwo\n"))
    ids = {sink.one(text).seen.id for text in ("one", "two")}
    plan = change(sink, written("# New\n\none\n\ntwo\n"))
    assert {each.id for each in plan.operations if isinstance(each, Move)} == ids
    assert not [each for each in plan.operations if isinstance(each, Delete)]


def test_a_retitled_section_keeps_its_id_and_its_paragraphs() -> None:
    """A new title is an update of the section; what is below is left alone but for its span."""
    sink = fresh(written("# Old title\n\none\n\ntwo\n"))
    id = sink.one("Old title").seen.id
    plan = change(sink, written("# New title\n\none\n\ntwo\n"))
    assert sink.one("New title").seen.id == id
    assert [type(each) for each in plan.operations] == [Update]


def test_repeated_paragraphs_are_told_apart_by_their_order() -> None:
    """One of five equal paragraphs goes: one deletion, four untouched."""
    sink = fresh(tuple(ParsedNode(kind="paragraph", text="same") for _ in range(5)))
    plan = change(sink, tuple(ParsedNode(kind="paragraph", text="same") for _ in range(4)))
    assert [type(each) for each in plan.operations] == [Delete]
    assert plan.kept == 4


def test_metadata_of_the_user_survives_an_edit() -> None:
    """Only the keys that a parser sets are compared and written."""
    sink = fresh(written("# A\n\none\n"))
    section = sink.one("A")
    metadata = {**section.seen.metadata, "tag": "mine"}
    sink.apply([Update(id=section.seen.id, text=None, source=Source(path="a.md"), metadata=metadata)])
    change(sink, written("A\n=\n\none\n"))
    assert sink.one("A").seen.metadata == {"level": 1, "tag": "mine"}
    change(sink, written("## A\n\none\n"))
    assert sink.one("A").seen.metadata == {"level": 2, "tag": "mine"}


def test_a_note_below_a_vanished_paragraph_moves_up() -> None:
    """What did not come from the file is not deleted with it."""
    sink = fresh(written("# A\n\none\n"))
    paragraph = sink.one("one").seen.id
    sink.apply(
        [Add(id="note", parent=paragraph, position=1.0, kind="note", text="mine", source=Source(path="-"))]
    )
    sink.held["note"] = replace(sink.held["note"], seen=replace(sink.held["note"].seen, source=None))
    change(sink, written("# A\n"))
    assert sink.one("mine").seen.parent == sink.one("A").seen.id
    change(sink, ())
    assert sink.one("mine").seen.parent == "file"
    top = sink.one("a.md").seen
    sink.apply(plan_removal(top, sink.below("file")).operations)
    assert sink.tree() == [["note", "mine", []]]


def test_a_hundred_thousand_paragraphs_are_planned_in_seconds() -> None:
    """Neither many changes nor many repetitions make the plan quadratic."""
    texts = [f"p{number % 30_000}" for number in range(100_000)]
    below = [
        Existing(
            id=f"{number:032x}",
            parent="file",
            position=float(number),
            kind="paragraph",
            digest=digest_of(text.encode()),
            source=Source(path="a.md", digest="d"),
        )
        for number, text in enumerate(texts)
    ]
    new = [ParsedNode(kind="paragraph", text=text) for number, text in enumerate(texts) if number % 7]
    new[50_000:50_000] = [ParsedNode(kind="paragraph", text="put in")] * 100
    ids = map(str, count())
    began = time.process_time()
    plan = plan_content("file", below, new, path="a.md", digest="d", new_id=lambda: next(ids))
    assert time.process_time() - began < 30
    assert plan.kept > 80_000


@given(st.lists(WORDS, max_size=30), st.lists(WORDS, max_size=30))
def test_pairs_ascend_on_both_sides(old: list[str], new: list[str]) -> None:
    """Matches are equal and in order, and one is found where one exists."""
    found = pairs(old, new)
    assert all(old[i] == new[j] for i, j in found)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
    assert found or not set(old) & set(new)


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=20))
def test_places_ascend_strictly(positions: list[float | None]) -> None:
    """Every sibling gets a place of its own, in order."""
    found = places(ascending(positions))
    assert len(found) == len(positions)
    assert all(left < right for left, right in pairwise(found))


def test_places_are_numbered_anew_when_the_numbers_between_run_out() -> None:
    """Two neighbours with no number between them do not end in equal places."""
    assert places([1.0, None, 1.0000000000000002]) == [1.0, 2.0, 3.0]
