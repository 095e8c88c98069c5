"""What the verbs of `Memory` promise."""

from __future__ import annotations

import time

import pytest

from carma.errors import FragmentNotFound, InvalidInput, TooLarge, VersionConflict
from carma.memory.memory import Memory


def test_what_was_added_is_read_back_with_everything_it_was_given(memory: Memory) -> None:
    """Text, scope, metadata, times and place come back as they went in."""
    parent = memory.add("A folder", kind="folder")
    given = memory.add(
        "Über 10 % \u0000 of it", parent=parent.id, kind="note", user="ann", agent="bot", session="s1",
        metadata={"n": 1, "deep": {"a": [1, 2.5, None, True]}}, expires=time.time() + 3600, created=1_000.25,
    )  # fmt: skip
    assert memory.get(given.id) == given
    assert given.parent == parent.id and given.metadata["deep"] == {"a": [1, 2.5, None, True]}
    assert (given.user, given.agent, given.session, given.created, given.version) == (
        "ann",
        "bot",
        "s1",
        1000.25,
        1,
    )


def test_a_write_is_findable_by_words_at_once(memory: Memory) -> None:
    """No flush is needed for words."""
    added = memory.add("The zebra crossed the river")
    assert [hit.id for hit in memory.search("zebras", mode="words")] == [added.id]


def test_many_texts_are_one_answer_in_their_order(memory: Memory) -> None:
    """`add_many` takes texts and mappings and keeps their order."""
    made = memory.add_many(["one", {"text": "two", "user": "ann"}, "three"], session="s")
    assert [fragment.text for fragment in made] == ["one", "two", "three"]
    assert [fragment.user for fragment in made] == [None, "ann", None]
    assert {fragment.session for fragment in made} == {"s"}
    assert [fragment.text for fragment in memory.list()] == ["one", "two", "three"]


def test_one_bad_item_of_many_stores_none(memory: Memory) -> None:
    """A batch is refused as a whole before anything is written."""
    with pytest.raises(InvalidInput):
        memory.add_many(["good", ""])
    with pytest.raises(InvalidInput, match="unknown names: colour"):
        memory.add_many([{"text": "good", "colour": "red"}])
    assert memory.count() == 0


def test_an_update_makes_a_version_and_keeps_what_was_not_given(memory: Memory) -> None:
    """Older versions stay readable; place and time of creation do not move."""
    first = memory.add("before", metadata={"a": 1}, user="ann")
    memory.add("a sibling after it")
    second = memory.update(first.id, "after")
    assert (second.version, second.text, second.metadata, second.user) == (2, "after", {"a": 1}, "ann")
    assert (second.created, second.position) == (first.created, first.position)
    assert [old.text for old in memory.history(first.id)] == ["before", "after"]
    assert memory.get(first.id, version=1).text == "before"
    assert [fragment.text for fragment in memory.children()] == ["after", "a sibling after it"]
    assert memory.update(first.id, metadata=None).metadata == {}


def test_an_update_of_another_version_is_refused(memory: Memory) -> None:
    """`if_version` protects against a lost update."""
    fragment = memory.add("text")
    memory.update(fragment.id, "newer", if_version=1)
    with pytest.raises(VersionConflict):
        memory.update(fragment.id, "mine", if_version=1)
    assert memory.get(fragment.id).text == "newer"


def test_what_was_deleted_is_gone_from_every_verb(memory: Memory) -> None:
    """get, list, count, search and tree do not know it; history shows the end."""
    fragment = memory.add("a secret word: xylophone")
    assert memory.delete(fragment.id) == 1
    with pytest.raises(FragmentNotFound):
        memory.get(fragment.id)
    with pytest.raises(FragmentNotFound):
        memory.delete(fragment.id)
    assert memory.count() == 0 and not memory.list() and not memory.tree().children
    assert not memory.search("xylophone") and not memory.search("xylophone", mode="words")
    assert [version.deleted for version in memory.history(fragment.id)] == [True]


def test_deleting_with_children_takes_the_subtree_and_without_lifts_it(memory: Memory) -> None:
    """Children of what goes either go with it or move up, with their version unchanged."""
    top = memory.add("top")
    middle = memory.add("middle", parent=top.id)
    leaf = memory.add("leaf", parent=middle.id)
    assert memory.delete(middle.id) == 1
    lifted = memory.get(leaf.id)
    assert (lifted.parent, lifted.version, lifted.created) == (top.id, 1, leaf.created)
    assert memory.delete(top.id, children=True) == 2
    assert memory.count() == 0


def test_the_tree_is_in_order_and_a_fragment_cannot_stand_below_itself(memory: Memory) -> None:
    """Positions order the siblings; a cycle is refused."""
    top = memory.add("top")
    second = memory.add("second", parent=top.id, position=2)
    first = memory.add("first", parent=top.id, position=1)
    assert [child.text for child in memory.children(top.id)] == ["first", "second"]
    assert [node.fragment.text for node in memory.tree(top.id).children if node.fragment] == [
        "first",
        "second",
    ]
    above = memory.parent(first.id)
    assert above is not None and above.id == top.id
    with pytest.raises(InvalidInput, match="below itself"):
        memory.update(top.id, parent=second.id)
    moved = memory.update(second.id, parent=first.id)
    assert moved.parent == first.id


def test_a_parent_that_is_not_there_is_refused(memory: Memory) -> None:
    """Nothing is written for it."""
    with pytest.raises(FragmentNotFound, match="parent"):
        memory.add("orphan", parent="0" * 32)
    assert memory.count() == 0


def test_the_same_text_is_kept_once_where_asked(memory: Memory) -> None:
    """`dedupe` compares text, parent and scope, also within one batch."""
    one = memory.add("same", user="ann", dedupe=True)
    assert memory.add("same", user="ann", dedupe=True).id == one.id
    assert memory.add("same", user="bob", dedupe=True).id != one.id
    made = memory.add_many(["new", "new", "same"], user="ann", dedupe=True)
    assert made[0].id == made[1].id and made[2].id == one.id
    assert memory.count(user="ann") == 2


def test_what_expired_is_not_shown(memory: Memory) -> None:
    """An expired fragment is gone from reading and searching."""
    fragment = memory.add("soon gone", expires=time.time() + 0.2)
    memory.add("stays")
    assert memory.count() == 2
    time.sleep(0.25)
    assert memory.count() == 1 and [item.text for item in memory.list()] == ["stays"]
    assert "soon gone" not in [hit.text for hit in memory.search("soon gone")]
    with pytest.raises(FragmentNotFound, match="expired"):
        memory.get(fragment.id)


def test_pages_cover_everything_once(memory: Memory) -> None:
    """Following the cursor visits every fragment once, also while others change."""
    made = [fragment.id for fragment in memory.add_many([f"text {n}" for n in range(25)])]
    seen: list[str] = []
    cursor = None
    while True:
        page = memory.list(limit=10, cursor=cursor)
        seen += [item.id for item in page]
        memory.update(made[0], f"changed {len(seen)}")
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == sorted(made)
    with pytest.raises(InvalidInput):
        memory.list(cursor="nonsense")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "  "}, InvalidInput),
        ({"text": 5}, InvalidInput),
        ({"text": "\ud800"}, InvalidInput),
        ({"text": "x", "metadata": {"a": float("nan")}}, InvalidInput),
        ({"text": "x", "metadata": {1: "a"}}, InvalidInput),
        ({"text": "x", "metadata": {"a": object()}}, InvalidInput),
        ({"text": "x", "metadata": {"a": "y" * 300_000}}, TooLarge),
        ({"text": "x", "user": ""}, InvalidInput),
        ({"text": "x", "expires": "tomorrow"}, InvalidInput),
        ({"text": "x", "vector": [1.0, 2.0]}, InvalidInput),
        ({"text": "x", "vector": [0.0] * 64}, InvalidInput),
        ({"text": "x", "parent": "nonsense"}, InvalidInput),
        ({"text": "x" * (16 * 2**20 + 1)}, TooLarge),
    ],
)
def test_bad_arguments_are_named_and_store_nothing(
    memory: Memory, arguments: dict[str, object], error: type[Exception]
) -> None:
    """Each is a typed error with a hint, and nothing is written."""
    with pytest.raises(error) as raised:
        memory.add(**arguments)  # type: ignore[arg-type]
    assert getattr(raised.value, "hint", "")
    assert memory.count() == 0


def test_an_unknown_id_and_a_malformed_one_are_told_apart(memory: Memory) -> None:
    """Not found and not an id."""
    with pytest.raises(FragmentNotFound):
        memory.get("0" * 32)
    with pytest.raises(InvalidInput, match="32 hexadecimal"):
        memory.get("zebra")
