"""Taking in files: the same promises on every surface, though over a server they are cut by the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from carma import IngestOptions
from carma.errors import InvalidInput
from carma.ingest import IngestReport, Progress

from .conftest import Make
from .kinds import Spoken

TEA = "# Tea\n\nGreen tea is steeped at eighty degrees.\n\nBlack tea is steeped with boiling water.\n"
COUNTS = ("added", "updated", "deleted", "kept", "restated", "files", "unchanged", "empty", "bytes")


def counts(report: IngestReport) -> dict[str, int]:
    assert isinstance(report, IngestReport) and not report.interrupted and not report.problems
    return {name: getattr(report, name) for name in COUNTS if getattr(report, name)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, one of them in a folder below."""
    folder = tmp_path / "notes"
    (folder / "cups").mkdir(parents=True)
    (folder / "tea.md").write_text(TEA)
    (folder / "cups" / "glass.txt").write_text("A cup of glass.\n")
    (folder / "list.txt").write_text("Milk, sugar, lemon.\n")
    return folder


def test_a_folder_is_taken_in_and_followed(memory: Spoken, folder: Path) -> None:
    """At first everything; again nothing; then what changed, and only that: the same counts everywhere."""
    told: list[Progress] = []
    first = memory.ingest(folder, user="ann", progress=told.append)
    assert counts(first) == {"added": 10, "files": 3, "bytes": 125}
    assert told and (told[-1].done_files, told[-1].total_files) == (3, 3)
    assert counts(memory.ingest(folder, user="ann")) == {
        "kept": 8, "files": 3, "unchanged": 3, "bytes": 125,
    }  # fmt: skip
    (folder / "tea.md").write_text(TEA.replace("eighty", "seventy") + "\nWhite tea is rare.\n")
    (folder / "list.txt").unlink()
    (folder / "cups" / "tin.txt").write_text("A tin of biscuits.\n")
    again = counts(memory.ingest(folder, user="ann"))
    assert (again["added"], again["updated"], again["deleted"], again["unchanged"]) == (3, 1, 2, 1)
    assert again["kept"] >= 2
    (root,) = memory.list(parent=None)
    assert root.id == first.root and root.metadata["root"] == str(folder)
    texts = {each.text: each for each in memory.list(user="ann", limit=100)}
    changed = texts["Green tea is steeped at seventy degrees."]
    assert changed.version == 2
    # Its place in the file moved. A memory notes that without a new version; over HTTP each change is one.
    assert texts["Black tea is steeped with boiling water."].version == (2 if memory.remote else 1)
    assert "Milk, sugar, lemon." not in texts and "A tin of biscuits." in texts
    source = changed.source
    assert source.path == "notes/tea.md" and source.line == 3
    begin, end = source.span
    assert (folder / "tea.md").read_bytes()[begin:end].decode() == changed.text
    assert memory.search("how hot is green tea", limit=1)[0].id == changed.id


def test_two_owners_take_in_the_same_folder(memory: Spoken, folder: Path) -> None:
    """Each has it for themselves."""
    first, second = memory.ingest(folder, user="ann"), memory.ingest(folder, user="bob", session="s")
    assert first.root != second.root and second.added == first.added
    assert memory.ingest(folder, user="ann").unchanged == 3
    assert {each.user for each in memory.list(session="s", limit=100)} == {"bob"}


def test_it_stands_where_it_is_put(memory: Spoken, folder: Path) -> None:
    """Below a fragment that is named; with the options that are given."""
    shelf = memory.add("shelf")
    report = memory.ingest(folder, parent=shelf.id, options=IngestOptions(skip=("cups",)))
    assert report.files == 2 and memory.parent(report.root) == shelf
    with pytest.raises(InvalidInput):
        memory.ingest(folder / "no such folder")


def test_it_can_be_stopped_and_goes_on(fresh: Spoken, folder: Path) -> None:
    """Whoever stops it is told so; the same call later does the rest and nothing twice."""
    asked = iter(range(100))
    stopped = fresh.ingest(folder, should_stop=lambda: next(asked) > 1)
    assert stopped.interrupted and 0 < len(fresh.list(limit=100)) < 10
    rest = fresh.ingest(folder)
    assert not rest.interrupted and len(fresh.list(limit=100)) == 10


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_large_file_is_sent_in_parts(make: Make, tmp_path: Path, kind: str) -> None:
    """More paragraphs than one request may hold."""
    memory = make(kind)
    path = tmp_path / "long.txt"
    path.write_text("".join(f"Paragraph {number} is like no other.\n\n" for number in range(1_200)))
    report = memory.ingest(path)
    assert counts(report)["added"] >= 1_200
    assert memory.ingest(path).unchanged == 1
