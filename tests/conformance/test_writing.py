"""Adding, changing and deleting: the same promises on every surface."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from carma.errors import CarmaError, FragmentNotFound, InvalidInput, VersionConflict
from carma.models import Source

from .kinds import Spoken

UNKNOWN = "0" * 32


def test_a_fragment_comes_back_as_it_was_given(memory: Spoken) -> None:
    """Every argument of `add` stands in what `add` returns and in what `get` returns."""
    above, id = memory.add("A shelf", kind="folder"), uuid4().hex
    given: dict[str, Any] = {
        "parent": above.id, "position": 2.5, "kind": "fact", "user": "ann", "agent": "bot", "session": "s/1",
        "metadata": {"topic": "tea", "stars": 5, "big": 2**60, "deep": {"list": [1, "x", None, True, 1.5]}},
        "expires": 4e9, "id": id, "created": 1.5e9,
        "source": Source(path="a/b.md", span=(3, 9), digest="ab" * 16, line=2),
    }  # fmt: skip
    made = memory.add("Grüner Tee 茶 \U0001f375\n  line two ", **given)
    assert made.text == "Grüner Tee 茶 \U0001f375\n  line two "
    assert {name: getattr(made, name) for name in given} == given
    assert (made.version, made.state, made.deleted) == (1, "intact", False) and len(made.digest) == 32
    assert memory.get(made.id) == made


def test_many_are_added_in_order_with_defaults(memory: Spoken) -> None:
    """Texts and mappings, defaults for all of them, and nothing at all."""
    items = ["one", {"text": "two", "user": "bob"}, {"text": "three", "metadata": {"n": 3}}]
    made = memory.add_many(items, user="ann", kind="fact")
    assert [(each.text, each.user, each.kind) for each in made] == [
        ("one", "ann", "fact"), ("two", "bob", "fact"), ("three", "ann", "fact"),
    ]  # fmt: skip
    assert memory.list().items == tuple(made)
    assert memory.add_many([]) == []


def test_all_or_none_of_a_batch_is_added(memory: Spoken) -> None:
    """One that cannot be stored keeps the others out."""
    for wrong in (
        {"text": " "},
        {"text": "x", "parent": UNKNOWN},
        {"text": "x", "metadata": {"n": float("nan")}},
    ):
        with pytest.raises(CarmaError):
            memory.add_many(["good", wrong])
    assert memory.list().items == ()


def test_the_same_text_in_the_same_place_is_kept_once(memory: Spoken) -> None:
    """With `dedupe`, and only there."""
    first = memory.add("tea", user="ann")
    assert memory.add("tea", user="ann", dedupe=True) == first
    assert memory.add("tea", user="bob", dedupe=True) != first
    assert memory.add("tea", user="ann").id != first.id
    twice = memory.add_many(["cup", "cup"], dedupe=True)
    assert twice[0] == twice[1] and len(memory.list()) == 4


def test_an_update_changes_what_was_named(memory: Spoken) -> None:
    """The rest stays; None clears; every update is a version."""
    shelf, box = memory.add("shelf"), memory.add("box")
    made = memory.add("tea", metadata={"a": 1}, expires=4e9, parent=shelf.id, user="ann")
    second = memory.update(made.id, "green tea")
    assert (second.text, second.metadata, second.expires, second.version) == ("green tea", {"a": 1}, 4e9, 2)
    assert (second.parent, second.user, second.created) == (shelf.id, "ann", made.created)
    third = memory.update(made.id, metadata={"b": 2}, parent=box.id, position=7.0, source=Source(path="x"))
    assert (third.text, third.metadata, third.parent, third.position) == ("green tea", {"b": 2}, box.id, 7.0)
    assert third.source == Source(path="x") and third.version == 3
    bare = memory.update(made.id, metadata=None, expires=None, parent=None, source=None)
    assert (bare.metadata, bare.expires, bare.parent, bare.source) == ({}, None, None, None)
    assert memory.get(made.id) == bare


def test_an_update_can_be_kept_to_a_version(memory: Spoken) -> None:
    """Whoever was overtaken is told so, and nothing is changed."""
    made = memory.add("one")
    memory.update(made.id, "two", if_version=1)
    with pytest.raises(VersionConflict):
        memory.update(made.id, "three", if_version=1)
    assert memory.get(made.id).text == "two"


def test_a_deletion_can_be_kept_to_a_version(memory: Spoken) -> None:
    """Whoever was overtaken is told so, and nothing is deleted; what lies below is not compared."""
    made = memory.add("one")
    below = memory.add("below", parent=made.id)
    memory.update(made.id, "two", if_version=1)
    for children in (False, True):
        with pytest.raises(VersionConflict):
            memory.delete(made.id, children=children, if_version=1)
    assert memory.get(made.id).text == "two" and memory.get(below.id).parent == made.id
    memory.update(below.id, "changed")
    assert memory.delete(made.id, children=True, if_version=2) == 2
    alone = memory.add("alone")
    assert memory.delete(alone.id, purge=True, if_version=1) == 1
    for gone in (made, below, alone):
        with pytest.raises(FragmentNotFound):
            memory.get(gone.id)


def test_deleting_says_how_many(memory: Spoken) -> None:
    """Children move up, or go too; what is gone is found in no version, and its history is the deletion."""
    top = memory.add("top")
    middle = memory.add("middle", parent=top.id)
    low = memory.add("low", parent=middle.id)
    assert memory.delete(middle.id) == 1
    assert memory.get(low.id).parent == top.id
    assert [(each.deleted, each.text) for each in memory.history(middle.id)] == [(True, "")]
    with pytest.raises(FragmentNotFound):
        memory.get(middle.id, version=1)
    assert memory.delete(top.id, children=True) == 2
    for gone in (top, middle, low):
        with pytest.raises(FragmentNotFound):
            memory.get(gone.id)
    kept = memory.add("kept")
    assert memory.delete(memory.add("purged").id, purge=True) == 1
    assert memory.list().items == (kept,)


def test_what_has_expired_is_gone(memory: Spoken) -> None:
    """From every answer, at its moment."""
    made = memory.add("soon gone", expires=time.time() + 0.3)
    assert memory.search("soon", mode="words").hits
    time.sleep(0.4)
    assert memory.list().items == () and memory.search("soon", mode="words").hits == ()
    with pytest.raises(FragmentNotFound):
        memory.get(made.id)


def test_a_reconstruction_can_be_accepted_only_where_there_is_one(memory: Spoken) -> None:
    """An intact fragment has none."""
    made = memory.add("tea")
    for verb in (memory.accept, memory.reject):
        with pytest.raises(InvalidInput):
            verb(made.id)
        with pytest.raises(FragmentNotFound):
            verb(UNKNOWN)
    assert memory.get(made.id) == made


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], type[CarmaError]]] = [
    ("add", ("  ",), {}, InvalidInput),
    ("add", (5,), {}, InvalidInput),
    ("add", ("x",), {"parent": UNKNOWN}, FragmentNotFound),
    ("add", ("x",), {"parent": "7"}, InvalidInput),
    ("add", ("x",), {"id": "7"}, InvalidInput),
    ("add", ("x",), {"metadata": {"a": float("inf")}}, InvalidInput),
    ("add", ("x",), {"metadata": {1: 2}}, InvalidInput),
    ("add", ("x",), {"metadata": {"a": object()}}, InvalidInput),
    ("add", ("x",), {"user": ""}, InvalidInput),
    ("add", ("x",), {"user": "u" * 513}, InvalidInput),
    ("add", ("x",), {"kind": 5}, InvalidInput),
    ("add", ("x",), {"position": float("nan")}, InvalidInput),
    ("add", ("x",), {"vector": [0.0] * 256}, InvalidInput),
    ("add", ("x",), {"vector": [1.0, 2.0]}, InvalidInput),
    ("add", ("\ud800",), {}, InvalidInput),
    ("add_many", ([{"text": "x", "colour": "red"}],), {}, InvalidInput),
    ("add_many", ([5],), {}, InvalidInput),
    ("update", (UNKNOWN, "x"), {}, FragmentNotFound),
    ("update", ("7", "x"), {}, InvalidInput),
    ("delete", (UNKNOWN,), {}, FragmentNotFound),
    ("delete", ("../x",), {}, InvalidInput),
]


@pytest.mark.parametrize(("verb", "args", "kwargs", "error"), WRONG)
def test_the_same_mistake_is_the_same_error(
    memory: Spoken, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[CarmaError]
) -> None:
    """Its class and a hint, wherever it is made; and nothing is written."""
    with pytest.raises(error) as caught:
        getattr(memory, verb)(*args, **kwargs)
    assert caught.value.hint and memory.list().items == ()


def test_mistakes_about_something_that_is_there(memory: Spoken) -> None:
    """A taken id, an update of nothing, a fragment below itself: nothing changes."""
    made = memory.add("x", id=uuid4().hex)
    below = memory.add("y", parent=made.id)
    with pytest.raises(VersionConflict):
        memory.add("z", id=made.id)
    for wrong in ({}, {"parent": below.id}, {"text": " "}, {"metadata": {"a": b""}}):
        with pytest.raises(InvalidInput):
            memory.update(made.id, **wrong)
    assert memory.get(made.id) == made
