"""Ingesting again updates what changed, removes what vanished, and goes on where it was interrupted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from carma.errors import InvalidInput
from carma.ingest import IngestOptions, Progress
from carma.ingest.node import digest_of

from .dict_sink import DictSink, Ingest

GUIDE = "# Guide\n\nFirst step.\n\nSecond step.\n\n## Details\n\n```python\nprint(1)\n```\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "notes").mkdir(parents=True)
    (folder / "guide.md").write_text(GUIDE)
    (folder / "notes" / "a.txt").write_text("Alpha.\n\nBeta.\n")
    (folder / "notes" / "b.txt").write_text("Gamma.\n")
    return folder


def test_a_folder_becomes_a_tree(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Folder, file, section, paragraph, in the order of names and of the text."""
    report = ingest(folder)
    details = ["section", "Details", [["code", "print(1)", []]]]
    guide = [
        "section",
        "Guide",
        [["paragraph", "First step.", []], ["paragraph", "Second step.", []], details],
    ]
    a = ["file", "a.txt", [["paragraph", "Alpha.", []], ["paragraph", "Beta.", []]]]
    b = ["file", "b.txt", [["paragraph", "Gamma.", []]]]
    assert sink.tree() == [["folder", "docs", [["file", "guide.md", [guide]], ["folder", "notes", [a, b]]]]]
    assert (report.added, report.files, report.empty, report.problems) == (len(sink.held), 3, 0, ())
    assert report.root is not None and sink.held[report.root].seen.metadata["root"] == str(folder)


def test_every_fragment_names_its_source(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Path from the folder's name on, span, digest and line; a file's digest is that of all its bytes."""
    ingest(folder)
    source = sink.one("Beta.").seen.source
    assert source is not None
    assert (source.path, source.span, source.line) == ("docs/notes/a.txt", (8, 13), 3)
    assert source.digest == digest_of(b"Beta.")
    file = sink.one("guide.md").seen.source
    assert file is not None and (file.span, file.digest) == (None, digest_of(GUIDE.encode()))


def test_a_second_ingest_writes_nothing(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Not even where the modification time changed."""
    ingest(folder)
    batches, versions = len(sink.batches), sink.versions()
    os.utime(folder / "guide.md", (1, 1))
    report = ingest(folder)
    assert len(sink.batches) == batches and sink.versions() == versions
    assert report.unchanged == 3
    assert report.kept == len(sink.held) - 2, "folders are not counted"
    assert report.added == report.updated == report.deleted == report.restated == 0


def test_only_what_changed_is_written(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """An edit, a new file between two others, a vanished one."""
    ingest(folder)
    ids = {text: sink.one(text).seen.id for text in ("Alpha.", "Second step.", "notes", "b.txt")}
    (folder / "guide.md").write_text(GUIDE.replace("First", "Very first"))
    (folder / "notes" / "aa.txt").write_text("Between.\n")
    (folder / "notes" / "b.txt").unlink()
    report = ingest(folder)
    assert (report.added, report.updated, report.deleted) == (2, 1, 2)
    assert report.restated == 4, "three fragments below the edit, and the file itself"
    assert sink.texts("file") == ["guide.md", "a.txt", "aa.txt"]
    assert sink.texts("paragraph") == ["Very first step.", "Second step.", "Alpha.", "Beta.", "Between."]
    assert all(sink.one(text).seen.id == ids[text] for text in ("Alpha.", "Second step.", "notes"))


def test_an_edit_of_equal_length_and_time_is_seen(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Bytes decide, not size and modification time."""
    path = folder / "notes" / "b.txt"
    ingest(folder)
    status = path.stat()
    path.write_text("Delta.\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ingest(folder).updated == 1
    assert "Delta." in sink.texts()


def test_a_single_file_is_its_own_root(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Found again by its path, and put under the parent that the caller names."""
    parent = ingest(folder / "notes").root
    ingest(folder / "guide.md", parent=parent)
    (folder / "guide.md").write_text("# Guide\n\nOnly step.\n")
    report = ingest(folder / "guide.md")
    file = sink.one("guide.md").seen
    assert file.parent == parent and report.root == file.id
    assert sink.texts("file") == ["a.txt", "b.txt", "guide.md"]
    assert file.source is not None and file.source.path == "guide.md"


def test_a_vanished_folder_is_removed_with_all_below(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Also when its place is taken by a file of that name."""
    ingest(folder)
    shutil.rmtree(folder / "notes")
    (folder / "notes").write_text("Now a file.\n")
    ingest(folder)
    assert sink.texts("folder") == ["docs"]
    assert sink.texts("file") == ["guide.md", "notes"]


def test_a_missing_root_removes_nothing(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """An unplugged disk is not an emptied one."""
    ingest(folder)
    before = sink.tree()
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(InvalidInput):
        ingest(folder)
    assert sink.tree() == before


def break_by_size(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def break_by_bytes(path: Path) -> None:
    path.write_bytes(b"\x7fELF\x00\x00")


def break_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def break_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [break_by_size, break_by_bytes, break_by_pipe, break_by_link])
def test_a_file_that_can_no_longer_be_read_keeps_its_fragments(
    folder: Path, ingest: Ingest, sink: DictSink, damage: Callable[[Path], None]
) -> None:
    """What cannot be read has not vanished; it is reported, and stays as it was last seen."""
    ingest(folder)
    before = sink.tree()
    damage(folder / "notes" / "b.txt")
    report = ingest(folder)
    assert [problem.path for problem in report.problems] == ["docs/notes/b.txt"]
    assert sink.tree() == before


def test_an_unreadable_folder_keeps_its_fragments(
    folder: Path, ingest: Ingest, sink: DictSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be listed is reported; what came from it stays."""
    ingest(folder)
    before = sink.tree()
    closed = folder / "notes"
    closed.chmod(0)
    if (
        os.geteuid() == 0
    ):  # The superuser may read it anyway, so the refusal is the only part that is made up.
        real = os.scandir

        def refuse(path: str) -> object:
            if os.fspath(path) == str(closed):
                raise PermissionError(13, "Permission denied")
            return real(path)

        monkeypatch.setattr(os, "scandir", refuse)
    try:
        report = ingest(folder)
    finally:
        closed.chmod(0o755)
    assert [(problem.path, problem.code) for problem in report.problems] == [("docs/notes", "unreadable")]
    assert sink.tree() == before


def test_an_emptied_file_is_removed(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Its text has vanished, and with it its fragments; the same root fills again later."""
    ingest(folder)
    (folder / "notes" / "b.txt").write_text("")
    report = ingest(folder)
    assert report.empty == 1 and sink.texts("file") == ["guide.md", "a.txt"]
    (folder / "notes" / "b.txt").write_text("Back.\n")
    ingest(folder)
    assert sink.texts("file") == ["guide.md", "a.txt", "b.txt"]


def test_other_bounds_cut_anew(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """The length of a fragment is part of what a file was ingested with."""
    ingest(folder)
    ingest(folder, options=IngestOptions(paragraph_chars=6))
    assert max(map(len, sink.texts("paragraph"))) <= 6


class Broken(Exception):
    """The process died."""


def texts_of(folder: Path, ingest: Ingest) -> list[object]:
    whole = DictSink()
    ingest(folder, sink=whole)
    return whole.tree()


@pytest.mark.parametrize("error", [KeyboardInterrupt, Broken])
def test_an_interrupt_at_any_batch_is_made_good_by_the_next_ingest(
    folder: Path, ingest: Ingest, error: type[BaseException]
) -> None:
    """Broken off at every batch in turn, the first ingest and a later one: the next call completes it."""
    options = IngestOptions(batch_operations=2)
    first = texts_of(folder, ingest)
    changed = GUIDE.replace("First step.", "New step.\n\nAnother.").replace("## Details", "## More details")
    for stop in range(60):
        (folder / "guide.md").write_text(GUIDE)
        sink = DictSink(lambda batch, stop=stop: raise_at(batch, stop, error))
        ended = interrupted(ingest, folder, sink, options)
        sink.before_apply = None
        ingest(folder, sink=sink, options=options)
        assert sink.tree() == first
        (folder / "guide.md").write_text(changed)
        begun = len(sink.batches)
        sink.before_apply = lambda batch, stop=stop, begun=begun: raise_at(batch, begun + stop, error)
        ended = not interrupted(ingest, folder, sink, options) and ended is False
        sink.before_apply = None
        ingest(folder, sink=sink, options=options)
        assert sink.tree() == texts_of(folder, ingest)
        if ended:
            return
    raise AssertionError("never reached the last batch")


def raise_at(batch: int, stop: int, error: type[BaseException]) -> None:
    if batch == stop:
        raise error


def interrupted(ingest: Ingest, folder: Path, sink: DictSink, options: IngestOptions) -> bool:
    try:
        return ingest(folder, sink=sink, options=options).interrupted
    except Broken:
        return True


def test_an_interrupted_change_that_is_taken_back_is_noticed(folder: Path, ingest: Ingest) -> None:
    """A half-written change does not hide behind the digest of the old bytes."""
    sink = DictSink()
    options = IngestOptions(batch_operations=1)
    ingest(folder, sink=sink, options=options)
    before = sink.tree()
    (folder / "guide.md").write_text("# Guide\n\nEntirely other.\n\nSecond step.\n")
    begun = len(sink.batches)
    sink.before_apply = lambda batch: raise_at(batch, begun + 3, KeyboardInterrupt)
    assert ingest(folder, sink=sink, options=options).interrupted
    assert sink.tree() != before
    sink.before_apply = None
    (folder / "guide.md").write_text(GUIDE)
    ingest(folder, sink=sink, options=options)
    assert sink.tree() == before


def test_a_flag_stops_between_files_and_the_report_says_so(
    folder: Path, ingest: Ingest, sink: DictSink
) -> None:
    """What was done until then is written; the next call does the rest."""
    seen: list[str] = []
    report = ingest(
        folder, progress=lambda at: seen.append(at.path), should_stop=lambda: "docs/notes/a.txt" in seen
    )
    assert report.interrupted and report.added == len(sink.held)
    assert sink.texts("file") == ["guide.md", "a.txt"]
    assert ingest(folder).added == 2


def test_progress_grows_to_the_totals(folder: Path, ingest: Ingest) -> None:
    """Files and bytes never go back, and end at what was found."""
    seen: list[Progress] = []
    report = ingest(folder, progress=seen.append, options=IngestOptions(batch_operations=2))
    done = [(at.done_files, at.done_bytes) for at in seen]
    assert done == sorted(done)
    assert (seen[-1].done_files, seen[-1].done_bytes) == (seen[-1].total_files, seen[-1].total_bytes)
    assert seen[-1].total_files == report.files == 3 and report.bytes == seen[-1].total_bytes


def test_batches_are_bounded(tmp_path: Path, ingest: Ingest, sink: DictSink) -> None:
    """By operations and by bytes of text."""
    (tmp_path / "a.txt").write_text("\n\n".join(f"{number} " + "x" * 200 for number in range(300)))
    ingest(tmp_path / "a.txt", options=IngestOptions(batch_operations=50, batch_bytes=4_000))
    assert max(map(len, sink.batches)) <= 21
    assert len(sink.texts("paragraph")) == 300
