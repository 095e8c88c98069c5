"""Bad input is reported item by item and stops nothing else. Every case is a real file."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from carma.errors import InvalidInput
from carma.ingest import IngestOptions, IngestReport

from .dict_sink import DictSink, Ingest


def codes(report: IngestReport) -> dict[str, str]:
    return {problem.path.partition("/")[2]: problem.code for problem in report.problems}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.md").write_text("# Good\n\nAll is well.\n")
    return folder


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


BINARY: dict[str, bytes] = {
    "image.png": b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
    "named.txt": b"\x7fELF" + bytes(range(256)),
    "noise.md": bytes(range(256)) * 20,
    "unknown": b"looks like text\x00but is not",
    "archive.json": b"PK\x03\x04" + b"\x00" * 40,
}


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_file_is_reported(folder: Path, ingest: Ingest, sink: DictSink, name: str) -> None:
    """By its content, whatever its name promises."""
    (folder / name).write_bytes(BINARY[name])
    report = ingest(folder)
    assert codes(report) == {name: "binary-file"}
    assert sink.texts("file") == ["good.md"]


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        ("naïve café".encode("cp1252"), "encoding", "naïve café"),
        ("größte Brücke ".encode() + b"\xff" + " über".encode(), "encoding", "größte Brücke \ufffd über"),
        (b"a stray \x00 NUL among words", "replaced", "a stray \ufffd NUL among words"),
        ("naïve \ud800 surrogate".encode("utf-8", "surrogatepass"), "encoding", None),
        ("\ufefflone \udc00 half".encode("utf-16-le", "surrogatepass"), "replaced", "lone \ufffd half"),
        (b"\xff\xfea\x00b\x00\x00", None, "ab"),
        ("no mark, wide".encode("utf-16-le"), None, "no mark, wide"),
        ("\ufeffmark".encode(), None, "mark"),
        (b"undefined \x81 in Windows", "encoding", "undefined \x81 in Windows"),
    ],
)
def test_broken_encoding_is_a_warning(
    folder: Path, ingest: Ingest, sink: DictSink, raw: bytes, code: str | None, text: str | None
) -> None:
    """What can be read is read; what was replaced is said."""
    (folder / "odd.txt").write_bytes(raw)
    report = ingest(folder)
    assert codes(report) == ({"odd.txt": code} if code else {})
    assert not any(problem.skipped for problem in report.problems)
    assert text is None or text in sink.texts("paragraph")
    assert "All is well." in sink.texts()


def test_lone_surrogates_in_json_are_replaced(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """An escaped half of a character in a chat becomes U+FFFD."""
    (folder / "chat.json").write_text(
        '[{"role": "user\\ud800", "content": "half \\udfff \\u0000 of", "id": "\\ud801"}]'
    )
    ingest(folder)
    assert sink.texts("turn") == ["user\ufffd: half \ufffd \ufffd of"]


def test_a_huge_file_is_reported_unread(folder: Path, ingest: Ingest) -> None:
    """One gigabyte costs nothing to refuse."""
    huge(folder / "huge.txt")
    began = time.monotonic()
    report = ingest(folder)
    assert codes(report) == {"huge.txt": "too-large"}
    assert report.bytes < 1000 and time.monotonic() - began < 2


def test_empty_files_are_counted_and_leave_nothing(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """No bytes, only white space, only a heading without a title: no fragment."""
    for name, text in {"none.md": "", "space.txt": " \n\t\n", "bare.md": "#\n", "list.json": "[]\n"}.items():
        (folder / name).write_text(text)
    report = ingest(folder)
    assert report.empty == 3
    assert sink.texts("file") == ["good.md", "list.json"]


def test_a_million_characters_without_a_space_are_cut(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """One paragraph of a million characters, in every format that takes it, within seconds."""
    long = "ü" * 1_000_000
    for name, around in {
        "a.txt": "{}",
        "b.md": "# {}",
        "c.rst": "{}",
        "d.html": "<p>{}</p>",
        "e.py": "x = '{}'",
    }.items():
        (folder / name).write_text(around.format(long))
    (folder / "f.json").write_text(f'[{{"role": "user", "content": "{long}"}}]')
    report = ingest(folder)
    assert report.problems == ()
    assert max(map(len, sink.texts())) <= 1_200
    assert "".join(sink.texts()).count("ü") == 6_000_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<a " * 100_000),
        ("a.html", "<!--" * 100_000),
        ("a.html", "<" * 200_000),
        ("a.html", "<div>" * 100_000),
        ("a.html", "<p a='" * 100_000),
        ("a.json", "[" * 100_000),
        ("a.json", '{"messages": ' * 50_000),
        ("a.jsonl", "[\n" * 20_000),
        ("a.md", "> " * 50_000 + "deep"),
        ("a.md", "[" * 50_000),
        ("a.md", "- " * 50_000),
        ("a.py", "(" * 100_000),
        ("a.py", "-" * 200_000 + "1"),
        ("a.rst", "=\n" * 50_000),
        ("a.js", "}\n\n" * 50_000),
    ],
)
def test_hostile_nesting_ends_soon(folder: Path, ingest: Ingest, name: str, text: str) -> None:
    """Input that is made to exhaust a parser is taken or reported, in little time."""
    (folder / name).write_text(text)
    began = time.process_time()
    ingest(folder)
    assert time.process_time() - began < 8


def test_special_files_are_never_opened(folder: Path, ingest: Ingest) -> None:
    """A pipe would block for ever, a socket cannot be opened."""
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # The path of a socket must be short.
        try:
            server.bind("socket.txt")
        finally:
            os.chdir(here)
        report = ingest(folder)
    assert codes(report) == {"pipe.txt": "special-file", "socket.txt": "special-file"}


@pytest.mark.parametrize("follow", [False, True])
def test_links_are_reported_and_loops_end(folder: Path, ingest: Ingest, sink: DictSink, follow: bool) -> None:
    """By default no link is followed; when they are, a loop is not."""
    (folder / "loop").symlink_to(folder)
    (folder / "gone.md").symlink_to(folder / "nothing.md")
    (folder / "other.md").symlink_to(folder / "good.md")
    report = ingest(folder, options=IngestOptions(follow_links=follow))
    expected = {"loop": "link", "gone.md": "unreadable" if follow else "link"}
    assert codes(report) == expected | ({} if follow else {"other.md": "link"})
    assert sink.texts("file") == (["good.md", "other.md"] if follow else ["good.md"])


def test_names_that_are_not_text_are_written_out(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """A file name with broken bytes is shown with their numbers."""
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.md")).write_text("Coffee.\n")
    report = ingest(folder)
    assert [problem.code for problem in report.problems] == ["name-encoding"]
    assert sink.texts("file") == ["caf\\xe9.md", "good.md"]


def test_hidden_and_named_folders_are_left_out(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """Version control, dependencies, caches and a memory itself are not documents."""
    for name in (".git", "node_modules", "__pycache__", "memory/segments"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.md").write_text("no\n")
    (folder / "memory" / "memory.json").write_text("{}")
    (folder / ".env").write_text("secret\n")
    report = ingest(folder)
    assert sink.texts("file") == ["good.md"]
    assert codes(report) == {"memory": "a-memory"}


def test_bounds_on_files_and_depth_are_reported(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """More files or deeper folders than allowed are named, not dropped in silence."""
    deep = folder / "x" / "y" / "z"
    deep.mkdir(parents=True)
    (deep / "deep.md").write_text("deep\n")
    (folder / "second.md").write_text("second\n")
    report = ingest(folder, options=IngestOptions(files=1, depth_levels=2))
    assert codes(report) == {"second.md": "too-many-files", "x/y": "too-deep"}


def missing(tmp_path: Path) -> Path:
    return tmp_path / "missing"


def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def nul(tmp_path: Path) -> Path:
    return Path(f"{tmp_path}/a\x00b")


@pytest.mark.parametrize("make", [missing, pipe, nul])
def test_a_root_that_cannot_be_read_is_an_error(
    tmp_path: Path, ingest: Ingest, make: Callable[[Path], Path]
) -> None:
    """Nothing there, or nothing that can be read: one typed error."""
    with pytest.raises(InvalidInput):
        ingest(make(tmp_path))


def test_a_document_without_its_reader_names_the_extra(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """A damaged or unreadable office document is one item of the report."""
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4 not really")
    (folder / "text.docx").write_bytes(b"not a zip")
    report = ingest(folder)
    found = codes(report)
    assert found["text.docx"] == "invalid-input"
    assert found["paper.pdf"] in ("missing-extra", "invalid-input")
    for problem in report.problems:
        assert problem.code != "missing-extra" or "carma-memory[office]" in problem.message
    assert "All is well." in sink.texts()


def test_broken_lines_of_a_chat_are_named(folder: Path, ingest: Ingest, sink: DictSink) -> None:
    """The good lines of a JSON Lines file are taken, each bad one is named."""
    (folder / "chat.jsonl").write_text(
        '{"role": "user", "content": "one"}\n{"role": \n{"role": "a", "text": "two"}\n'
    )
    report = ingest(folder)
    (problem,) = report.problems
    assert problem.code == "broken-line" and "line 2" in problem.message and not problem.skipped
    assert sink.texts("turn") == ["user: one", "a: two"]
