"""A place that cannot be used is said before the work, in plain words, and never as a bug."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Carma


@pytest.fixture
def notes(carma: Carma, tmp_path: Path) -> Path:
    """A memory with one fragment, and a file that is no folder."""
    assert carma("add", "The attic is dry.", "--store", str(tmp_path / "notes")).code == 0
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.html").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "out", ["missing/x.html", "file/x.html", "folder.html", "/proc/x.html", "/proc/self/x.json"]
)
def test_a_topology_that_cannot_be_written_is_refused(carma: Carma, notes: Path, out: str) -> None:
    """The file is named, and it is asked before the memory is opened."""
    place = str(notes / out)
    for store in ("notes", "no such memory"):
        ran = carma("topology", "--out", place, "--store", str(notes / store))
        assert ran.code == 2, ran.err
        assert place in ran.err and "This is a bug" not in ran.err and "no memory" not in ran.err.lower()
    assert carma("topology", "--out", str(notes / "x.html"), "--store", str(notes / "notes")).code == 0


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/x"])
def test_a_proof_that_cannot_be_written_is_refused_before_the_experiment(
    carma: Carma, notes: Path, out: str
) -> None:
    """No step of it is told."""
    place = str(notes / out)
    ran = carma("prove", "--out", place, "--json")
    assert ran.code == 2 and ran.out == ""
    assert place in json.loads(ran.err.splitlines()[-1])["detail"]


def test_an_experiment_that_never_began_leaves_no_folder(carma: Carma, notes: Path) -> None:
    """The folder that was made to see whether it can be made is taken away again."""
    ran = carma("prove", str(notes / "nothing here"), "--out", str(notes / "proof"))
    assert ran.code == 2 and not (notes / "proof").exists()


def test_a_source_that_is_not_there_is_an_error_before_the_dream(carma: Carma, notes: Path) -> None:
    """Also of a whole memory, which would not need it; the folder is named, and no cycle is counted."""
    store = ("--store", str(notes / "notes"))
    ran = carma("dream", "--source", str(notes / "notes"), "--source", str(notes / "missing"), *store)
    assert ran.code == 2 and f"There is no source {notes / 'missing'}." in ran.err
    assert carma("dreams", *store, "--json").json()["dreams"] == []
