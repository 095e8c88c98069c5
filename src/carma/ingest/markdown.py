"""Markdown: headings make nested sections; everything else is kept, as it is written, as paragraphs and code.

The block structure comes from markdown-it-py (CommonMark and tables), whose tokens name their lines; inline
markup is neither parsed nor removed, because a fragment's text is to be exactly the bytes of its span. Lines
that yield no token (link definitions) are kept too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from carma.ingest.document import Document
from carma.ingest.node import ParsedNode
from carma.ingest.outline import Outline
from carma.ingest.plain import block_lines

__all__ = ["parse_markdown"]

_BLOCKS = {
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "blockquote_open": "quote",
    "html_block": "html",
}
_ATX = re.compile(r"[ ]{0,3}#{1,6}(?:[ \t]+|$)")
_ATX_END = re.compile(r"(?:^|[ \t])#+[ \t]*$")


def parse_markdown(document: Document) -> tuple[ParsedNode, ...]:
    """Sections by heading, with paragraphs and code in them."""
    outline = Outline()
    cursor = body = _front_matter(document, outline)
    for token, first, stop in _top_tokens(document, body):
        _uncovered(document, outline, cursor, first)
        _block(document, outline, token, first, stop)
        cursor = stop
    _uncovered(document, outline, cursor, len(document.lines))
    return outline.finish()


def _front_matter(document: Document, outline: Outline) -> int:
    """Keep a leading block between `---` lines; returns the line after it."""
    lines = document.lines
    if not lines or document.line_text(0).rstrip() != "---":
        return 0
    for number in range(1, len(lines)):
        if document.line_text(number).rstrip() in ("---", "..."):
            if number > 1:
                span = lines[1][0], lines[number - 1][1]
                outline.add(
                    document.leaves("paragraph", *span, metadata={"block": "front-matter"}, by_lines=True)
                )
            return number + 1
    return 0


def _top_tokens(document: Document, body: int) -> Iterator[tuple[Token, int, int]]:
    """Top-level block tokens with their first and past-the-end line, in order and without overlap."""
    if body >= len(document.lines):
        return
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    done = body
    for token in parser.parse(document.text[document.lines[body][0] :]):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        first = max(token.map[0] + body, done)
        stop = min(token.map[1] + body, len(document.lines))
        if first < stop:
            yield token, first, stop
            done = stop


def _uncovered(document: Document, outline: Outline, first: int, stop: int) -> None:
    """Lines between two tokens that hold text: definitions of links."""
    for start, last in block_lines(document, first, stop):
        span = document.lines[start][0], document.lines[last][1]
        outline.add(document.leaves("paragraph", *span, metadata={"block": "definition"}, by_lines=True))


def _block(document: Document, outline: Outline, token: Token, first: int, stop: int) -> None:
    """Put one top-level block, the lines `first` up to `stop`, into the outline."""
    if token.type == "hr":
        return
    if token.type == "heading_open":
        title = _title(document, first, stop, setext=token.markup in ("=", "-"))
        level = int(token.tag[1:])
        outline.heading(level, document.leaves("section", *title, metadata={"level": level}))
        return
    if token.type in ("fence", "code_block"):
        outline.add(_code(document, token, first, stop))
        return
    start, end = document.lines[first][0], document.lines[stop - 1][1]
    block = _BLOCKS.get(token.type)
    metadata = {"block": block} if block else None
    outline.add(document.leaves("paragraph", start, end, metadata=metadata, by_lines=block is not None))


def _title(document: Document, first: int, stop: int, *, setext: bool) -> tuple[int, int]:
    """The characters of a heading's title, without its markers."""
    if setext:
        return document.lines[first][0], document.lines[max(first, stop - 2)][1]
    start, end = document.lines[first]
    marker = _ATX.match(document.text, start, end)
    if marker is not None:
        start = marker.end()
    closing = _ATX_END.search(document.text[start:end])
    return start, start + closing.start() if closing else end


def _code(document: Document, token: Token, first: int, stop: int) -> list[ParsedNode]:
    """The lines of a code block, without its fences."""
    metadata = {}
    if token.type == "fence":
        if token.info.strip():
            metadata["language"] = token.info.split()[0][:80]
            metadata |= {"info": token.info.strip()[:200]} if len(token.info.split()) > 1 else {}
        closing = document.line_text(stop - 1).strip() if stop - 1 > first else ""
        if closing and set(closing) == {token.markup[0]} and len(closing) >= len(token.markup):
            stop -= 1
        first += 1
    if first >= stop and not token.info.strip():
        return []
    if first >= stop:  # An empty fence: its own line is all there is, as in ```{versionadded} 2.0.
        first, stop = first - 1, first
    start, end = document.lines[first][0], document.lines[stop - 1][1]
    return document.leaves("code", start, end, metadata=metadata, by_lines=True)
