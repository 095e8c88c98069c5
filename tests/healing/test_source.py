"""What the source rung promises: the exact text out of the file it came from, or nothing; it never raises."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from carma.healing.source import Sources, from_source, read_below
from carma.ingest.node import ParsedNode
from carma.ingest.parse import parse
from carma.models import Source

MARKDOWN = """# Ferries

The blue one leaves at 7:40.

The red one, *never* on Sundays.

## Fares

Two coins.
"""
CHAT = json.dumps(
    {
        "messages": [
            {"role": "user", "content": "Where is the \u201ebrass\u201c key?"},
            {"role": "assistant", "content": "In the green tin,\nnear the stove. " + "Look twice. " * 200},
        ]
    },
    indent=1,
)


def digest_of(text: str) -> bytes:
    return blake3(text.encode()).digest(16)


def ingested(folder: Path, name: str, content: str | bytes) -> list[tuple[Source, str]]:
    """Write a file into `folder`; what an ingest of the folder makes of it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)

    def source(node: ParsedNode) -> Source:
        return Source(path=f"{folder.name}/{name}", span=node.span, digest=node.span_digest, line=node.line)

    return [(source(node), node.text) for top in parse(path.name, raw).nodes for node in top.walk()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ferries.md", MARKDOWN),
        ("deep/down/chat.json", CHAT),
        ("latin.txt", "Caf\xe9 au lait \xe0 midi.\n\nDer zweite Absatz, gr\xfc\xdflich.\n".encode("cp1252")),
        ("wide.txt", "Ein Absatz.\n\nNoch einer: ja!\n".encode("utf-16")),
        (
            "code.py",
            "import os\n\n\ndef f(x):\n    return x\n\n\nclass A:\n    def g(self):\n        return 1\n",
        ),
        ("page.html", "<html><title>T</title><body><h1>A</h1><p>One &amp; two</p><p>Three</p></body></html>"),
    ],
)
def test_every_fragment_of_an_unchanged_file_comes_back(
    folder: Path, name: str, content: str | bytes
) -> None:
    """Whether its text stands in the file as it is, was decoded, or was made from a JSON value."""
    fragments = ingested(folder, name, content)
    sources = Sources([str(folder)])
    assert fragments
    for source, text in fragments:
        assert sources.find(source, digest_of(text)) == text
        assert from_source(None, [str(folder)], source, digest_of(text)[:10]) == text


def test_a_fragment_that_moved_within_its_file_is_found(folder: Path) -> None:
    """Text put before it, or another format around it, does not matter; its own change does."""
    fragments = ingested(folder, "ferries.md", MARKDOWN)
    (folder / "ferries.md").write_text(
        "A new first paragraph.\n\n" + MARKDOWN.replace("Two coins", "Three coins")
    )
    found = [from_source(None, [str(folder)], source, digest_of(text)) for source, text in fragments]
    assert found == [None if text == "Two coins." else text for _, text in fragments]
    (folder / "ferries.md").write_text("xx" + MARKDOWN.replace("\n", " "))
    source, text = next(one for one in fragments if "*never*" in one[1])
    assert from_source(None, [str(folder)], source, digest_of(text)) == text


def test_folders_and_files_give_their_names(folder: Path) -> None:
    """The fragment of a folder or file says its name, which its source holds; nothing has to be read."""
    assert from_source(None, [], Source(path="notes/ferries.md"), digest_of("ferries.md")) == "ferries.md"
    assert from_source(None, [], Source(path="notes"), digest_of("other")) is None


def test_a_file_that_was_ingested_alone_or_lies_elsewhere_now_is_found(folder: Path) -> None:
    """A root may be the file itself, the ingested folder, or a folder that holds it now."""
    source, text = ingested(folder, "ferries.md", MARKDOWN)[1]
    alone = Source(path="ferries.md", span=source.span, digest=source.digest)
    assert from_source(None, [str(folder / "ferries.md")], alone, digest_of(text)) == text
    assert from_source(None, [str(folder.parent)], source, digest_of(text)) == text
    assert from_source(None, ["/nowhere", str(folder) + "/"], source, digest_of(text)) == text


def test_nothing_outside_the_roots_is_read(folder: Path, tmp_path: Path) -> None:
    """No `..`, no absolute path, no link out of the root, neither as a file nor as a folder on the way."""
    source, text = ingested(tmp_path / "outside", "ferries.md", MARKDOWN)[1]
    folder.mkdir()
    (folder / "link.md").symlink_to(tmp_path / "outside" / "ferries.md")
    (folder / "door").symlink_to(tmp_path / "outside")
    outside = str(tmp_path / "outside" / "ferries.md")
    paths = [
        "notes/link.md",
        "notes/door/ferries.md",
        "notes/../outside/ferries.md",
        outside,
        outside[1:],
        "../x",
    ]
    paths += ["", "/", "notes//ferries.md", "notes/\0", "notes/./ferries.md", "notes/" + "a" * 5_000]
    for path in paths:
        lost = Source(path=path, span=source.span, digest=source.digest)
        assert from_source(None, [str(folder)], lost, digest_of(text)) is None


def test_what_cannot_be_read_gives_nothing_and_raises_nothing(folder: Path) -> None:
    """Vanished, too large, a folder, a pipe that nobody writes to, unreadable, or full of rubbish."""
    source, text = ingested(folder, "ferries.md", MARKDOWN)[1]
    path, roots, digest = folder / "ferries.md", [str(folder)], digest_of(text)
    assert from_source(None, roots, source, digest, file_bytes=10) is None
    path.unlink()
    assert from_source(None, roots, source, digest) is None
    path.mkdir()
    assert from_source(None, roots, source, digest) is None
    path.rmdir()
    os.mkfifo(path)
    assert from_source(None, roots, source, digest) is None
    path.unlink()
    for rubbish in (b"", b"\0" * 5_000, os.urandom(3_000), b"[" * 50_000, b"\xff\xfe\xd8"):
        path.write_bytes(rubbish)
        assert from_source(None, roots, source, digest) is None
    if os.geteuid():
        path.chmod(0)
        assert from_source(None, roots, source, digest) is None


def test_a_source_that_is_damaged_itself_raises_nothing(folder: Path) -> None:
    """Spans that are reversed, negative or beyond the end, and digests that are none."""
    source, text = ingested(folder, "ferries.md", MARKDOWN)[1]
    for span in ((5, 2), (-9, -1), (10**9, 10**9 + 5), (0, 10**12)):
        for digest in (source.digest, "zz", "", None):
            lost = Source(path=source.path, span=span, digest=digest)
            assert from_source(None, [str(folder)], lost, b"\0" * 16) is None
    assert from_source(None, [str(folder)], source, digest_of(text)[:7]) is None


def test_a_file_is_read_once_for_many_fragments(folder: Path) -> None:
    """The reader is the only way to the world, and it is asked once per place."""
    fragments = ingested(folder, "ferries.md", MARKDOWN)
    asked: list[Sequence[str]] = []

    def read(root: str, parts: Sequence[str], most: int) -> bytes | None:
        asked.append(parts)
        return read_below(root, parts, most)

    sources = Sources([str(folder)], read=read)
    assert all(sources.find(source, digest_of(text)) == text for source, text in fragments)
    assert len(fragments) > 3
    assert asked == [("ferries.md",), ["notes", "ferries.md"]] or len(asked) == 2
