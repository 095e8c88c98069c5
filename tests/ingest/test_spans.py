"""A fragment's text is exactly the bytes of its span, in every format that is kept as it is written."""

from __future__ import annotations

import re
import sysconfig
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carma.ingest.document import Document
from carma.ingest.node import Parsed, digest_of
from carma.ingest.parse import BinaryFile, parse
from carma.ingest.split import pieces

SUFFIXES = ["md", "txt", "rst", "py", "js"]
LINES = st.sampled_from(
    ["# Title", "Title", "=====", "-----", "~~~~", "## Größe ##", "* item", "  - deeper", "> quote",
     "```python", "```", "    indented = 1", "| a | b |", "|---|---|", "[link]: there", "::", ".. note:: x",
     ".. code-block:: c", "def f(x):", "    return x", "class C:", "    def m(self): pass", "@decorator",
     "# comment", "}", "", "", "   ", "A sentence. Another one! Ünïcödé ✓ 漢字。", "---", "\t", "x" * 90,
     "<div>", "1. one", "a\u2028b\x0cc", "\ufeff"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(LINES, st.text(max_size=30)), max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines))
)


def check_spans(raw: bytes, parsed: Parsed, limit: int) -> None:
    document = Document.decode(raw)
    last = 0
    for top in parsed.nodes:
        for node in top.walk():
            assert node.span is not None
            start, end = node.span
            assert last <= start < end <= len(raw), "spans ascend and do not overlap"
            last = end
            stored = raw[start:end].decode(document.encoding, document.errors)
            assert len(stored) == len(node.text) <= limit
            assert stored == node.text or document.text != document.exact
            assert node.text.strip()
            assert node.span_digest == digest_of(raw[start:end])
            assert (
                node.line == 1 + len(re.findall(rb"\r\n|\r|\n", raw[:start])) or document.encoding != "utf-8"
            )


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    text=TEXTS, limit=st.sampled_from([40, 1_200]), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
@example(text="```", limit=40, encoding="utf-8")
@example(text="- " * 200, limit=40, encoding="utf-8")
def test_text_is_the_decoded_bytes_of_the_span(suffix: str, text: str, limit: int, encoding: str) -> None:
    """Whatever the document, its fragments point at themselves, in order, and nothing overlaps."""
    raw = text.encode(encoding, "replace")
    try:
        parsed = parse(f"a.{suffix}", raw, paragraph_chars=limit)
    except BinaryFile:
        return
    check_spans(raw, parsed, limit)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(suffix: str, raw: bytes) -> None:
    """No byte string makes a parser fail; what is not refused as binary has true spans."""
    try:
        parsed = parse(f"a.{suffix}", raw)
    except BinaryFile:
        return
    check_spans(raw, parsed, 1_200)


@pytest.mark.parametrize("suffix", ["html", "json", "jsonl"])
@given(
    raw=st.binary(max_size=300) | st.text(alphabet="<>/!-\"'= abp{}[]:,1\\u", max_size=200).map(str.encode)
)
def test_any_bytes_in_a_derived_format_are_parsed_or_refused(suffix: str, raw: bytes) -> None:
    """Spans lie inside the file and their digest is that of its bytes."""
    try:
        parsed = parse(f"a.{suffix}", raw)
    except BinaryFile:
        return
    for top in parsed.nodes:
        for node in top.walk():
            assert node.span is not None and 0 <= node.span[0] < node.span[1] <= len(raw)
            assert node.span_digest == digest_of(raw[slice(*node.span)])
            node.text.encode()


@given(text=TEXTS)
def test_plain_text_keeps_every_word(text: str) -> None:
    """All that is not white space is in some fragment."""
    raw = text.encode("utf-8", "replace")
    try:
        found = "".join(node.text for node in parse("a.txt", raw).nodes)
    except BinaryFile:
        return
    assert "".join(found.split()) == "".join(Document.decode(raw).text.split())


@given(
    text=st.text(alphabet="ab .!\n\t\u3000\u3002", max_size=400),
    limit=st.integers(2, 60),
    by_lines=st.booleans(),
)
def test_pieces_cover_all_but_white_space(text: str, limit: int, by_lines: bool) -> None:
    """Pieces are short, in order, and leave out nothing but white space."""
    cuts = list(pieces(text, 0, len(text), limit, by_lines=by_lines))
    assert all(0 < end - start <= limit for start, end in cuts)
    assert "".join("".join(text[a:b].split()) for a, b in cuts) == "".join(text.split())
    assert all(left[1] <= right[0] for left, right in pairwise(cuts))


def real_documents() -> list[Path]:
    """Some documents that lie about on this machine."""
    roots = [Path(sysconfig.get_path("purelib")), Path("/usr/share/doc"), Path(sysconfig.get_path("stdlib"))]
    near = (path for root in roots if root.is_dir() for path in islice(root.rglob("*.*"), 6_000))
    found: dict[str, list[Path]] = {f".{suffix}": [] for suffix in (*SUFFIXES, "html")}
    for path in near:
        of_kind = found.get(path.suffix)
        if of_kind is not None and len(of_kind) < 12:
            of_kind.append(path)
    return [path for of_kind in found.values() for path in of_kind if path.is_file()]


def test_spans_hold_on_documents_found_on_this_machine() -> None:
    """Documents that nobody made for this test have true spans too."""
    documents = real_documents()
    if not documents:
        pytest.skip("no documents on this machine")
    for path in documents:
        raw = path.read_bytes()
        if len(raw) > 300_000:
            continue
        parsed = parse(path.name, raw)
        if parsed.format != "html":
            check_spans(raw, parsed, 1_200)
