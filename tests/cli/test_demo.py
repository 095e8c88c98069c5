"""The demo ends by itself, with answers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from carma.cli.demo import QUESTIONS, questions_for
from carma.models import Fragment

from .conftest import Carma


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents about nothing of ours."""
    docs = tmp_path / "garden"
    docs.mkdir()
    (docs / "trees.md").write_text(
        "# Apple trees\n\nPrune them in winter.\n\n# Pear trees\n\nThey like sun.\n"
    )
    (docs / "soil.txt").write_text("Compost makes soil rich.\n\nSand makes it light.\n")
    return docs


def test_it_shows_tree_hits_and_summary(carma: Carma, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe: plain text, at least one source, and nothing left behind."""
    place = folder.parent / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    ran = carma("demo", str(folder))
    assert ran.code == 0, ran.err
    assert "== The tree" in ran.out
    assert "What is said about Apple trees?" in ran.out
    assert "garden/trees.md:" in ran.out
    assert "questions answered" in ran.out
    assert "\x1b" not in ran.out
    assert list(place.iterdir()) == []


def test_its_json_has_the_documented_shape(carma: Carma, folder: Path) -> None:
    """A summary, and an answer to each question."""
    value = carma("demo", str(folder), "--json").json()
    assert set(value) == {"summary", "answers"}
    assert set(value["answers"][0]) == {"question", "hits", "degraded", "reasons", "took_ms"}
    assert value["summary"]["answered"] == value["summary"]["questions"] == len(value["answers"])


def test_a_folder_without_text_is_said_to_be(carma: Carma, tmp_path: Path) -> None:
    """Exit code 2."""
    assert carma("demo", str(tmp_path)).code == 2


def test_questions_come_from_headings_else_from_words() -> None:
    """Spread over the folder, and at most as many as for our own documentation."""
    heads = [Fragment(id="", text=f"## Heading number {n}", kind="section") for n in range(40)]
    asked = questions_for(heads)
    assert len(asked) == len(QUESTIONS)
    assert asked[0] == "What is said about Heading number 0?"
    turns = [Fragment(id="", text="We went to Lisbon last spring", kind="turn")]
    assert questions_for(turns) == ("What is said about went Lisbon last spring?",)
    assert questions_for([]) == ()
