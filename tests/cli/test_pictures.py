"""What a terminal and a pipe show: whole, narrow, and never steered by stored text."""

from __future__ import annotations

import io
import unicodedata

import pytest
from rich.console import Console, RenderableType

from carma.cli.output import clean, one_line
from carma.cli.show import (
    facts,
    fragment_lines,
    fragment_picture,
    fragments_table,
    hit_lines,
    hits_table,
    tree_lines,
    tree_picture,
)
from carma.models import Blank, Fragment, Hit, HitParts, Node, Source

ID = "0192f0c1" * 4
EVIL = "\x1b]0;owned\x07\x1b[31mred\u202e\r\nnext\ttab \u0085 [bold]not markup[/bold] :smile:"
TEXTS = ["plain", "long " * 200, EVIL, "漢字かな交じり文" * 20, "e\u0301\u200d👩‍👩‍👧‍👦 " * 9, "x" * 500]


def fragment(text: str, **more: object) -> Fragment:
    return Fragment(id=ID, text=text, source=Source(path="docs/guide.md", line=12), **more)  # type: ignore[arg-type]


def draw(picture: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(picture)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def cells(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in line)


@pytest.mark.parametrize("width", [24, 80, 200])
@pytest.mark.parametrize("text", TEXTS)
def test_pictures_keep_to_the_width_and_show_no_escape(text: str, width: int) -> None:
    """At any width no line is longer than the terminal, and stored control characters do nothing."""
    one = fragment(text, metadata={"key": EVIL}, kind="note")
    hit = Hit(fragment=one, score=0.5, parts=HitParts(vector=0.7, words=3.0))
    node = Node(fragment=None, children=(Node(fragment=one, children=(Node(fragment=one, more=3),)),))
    pictures = (
        fragments_table([one], times=True), hits_table([hit]), fragment_picture(one), tree_picture(node),
        tree_picture(node, ids=True),
    )  # fmt: skip
    for picture in pictures:
        drawn = draw(picture, width)
        assert "\x1b" not in drawn
        assert "\u202e" not in drawn
        if "👩" not in text:
            assert max(map(cells, drawn.splitlines())) <= width


def test_ids_are_shown_whole_at_80_columns() -> None:
    """They are what every other verb takes."""
    one = fragment("text " * 100)
    for picture in (
        fragments_table([one]),
        hits_table([Hit(fragment=one, score=1.0)]),
        fragment_picture(one),
    ):
        assert ID in draw(picture, 80)


def test_plain_lines_have_a_fixed_number_of_fields() -> None:
    """One line a fragment, whatever its text holds."""
    one = fragment(EVIL)
    for lines, fields in (
        (list(fragment_lines([one])), 5),
        (list(hit_lines([Hit(fragment=one, score=0.5)])), 5),
        (list(hit_lines([Hit(fragment=one, score=0.5, parts=HitParts(words=1.0))])), 6),
        (list(tree_lines(Node(fragment=one))), 2),
    ):
        assert len(lines) == 1
        assert len(lines[0].split("\t")) == fields
        assert clean(lines[0]) == lines[0]


def test_what_has_no_text_says_why() -> None:
    """A blank and a deletion are told apart from an empty line."""
    blank = fragment("", state="blank", blank=Blank(reason="checksum"))
    assert "[blank: checksum]" in next(fragment_lines([blank]))
    assert "[deleted]" in next(fragment_lines([fragment("", deleted=True)]))
    assert "blank" in draw(fragments_table([blank]), 80)


def test_a_deep_tree_is_indented() -> None:
    """Two spaces a level; what was left out is counted."""
    leaf = Node(fragment=fragment("leaf"), more=2)
    lines = list(
        tree_lines(Node(fragment=None, children=(Node(fragment=fragment("top"), children=(leaf,)),)))
    )
    assert lines == [f"{ID}\ttop", f"{ID}\t  leaf", "\t    (2 more)"]


def test_facts_are_dotted_names() -> None:
    """Nested mappings, lists, nothing, and numbers."""
    rows = dict(facts({"a": {"b": 1}, "c": [], "d": None, "e": [{"f": True}], "g": 1234567.0, "h": {}}))
    assert rows == {"a.b": "1", "c": "none", "d": "none", "e": "f=yes", "g": "1234567.0", "h": "none"}


def test_one_line_is_one_line() -> None:
    """White space collapses, control characters are replaced."""
    assert one_line("a\n\n b\t\x1b[1m\u2028c") == "a b \ufffd[1m c"
