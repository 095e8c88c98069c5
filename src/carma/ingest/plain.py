"""Plain text: paragraphs parted by blank lines."""

from __future__ import annotations

from collections.abc import Iterator

from carma.ingest.document import Document
from carma.ingest.node import ParsedNode

__all__ = ["block_lines", "parse_plain"]


def parse_plain(document: Document) -> tuple[ParsedNode, ...]:
    """Every run of non-blank lines is a paragraph."""
    found: list[ParsedNode] = []
    for first, last in block_lines(document, 0, len(document.lines)):
        found += document.leaves("paragraph", document.lines[first][0], document.lines[last][1])
    return tuple(found)


def block_lines(document: Document, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """First and last line of every run of non-blank lines among the lines `first` up to `stop`."""
    start = None
    for number in range(first, stop):
        if document.line_text(number).strip():
            start = number if start is None else start
        elif start is not None:
            yield start, number - 1
            start = None
    if start is not None:
        yield start, stop - 1
