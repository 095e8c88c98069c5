"""Cuts a long stretch of text into pieces, at the best border within reach.

A piece is between half the limit and the limit long, so a text without any border still ends (at a hard cut),
and the cuts fall back into step soon after an edit: a change early in a long paragraph does not move every
later cut. Overlapping pieces were rejected: each fragment is to be exactly one span of its file, and
neighbours are one step away in the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["pieces"]

_SENTENCE = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]")
_LINE = re.compile(r"[\r\n]+")
_BLANK_LINE = re.compile(r"(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)+")
_SPACE = re.compile(r"\s+")

_PROSE = (_SENTENCE, _LINE, _SPACE)
_LINES = (_BLANK_LINE, _LINE, _SPACE)


def pieces(
    text: str, start: int, end: int, limit: int, *, by_lines: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the pieces of `text[start:end]`, none empty, none longer than `limit` characters.

    The white space at a cut belongs to no piece; all other characters belong to exactly one.

    by_lines: prefer blank lines and line ends (code, lists, tables) over sentence ends (prose), and keep the
        indentation of a piece's first line.
    """
    if limit < 2:
        raise ValueError("a piece needs at least two characters")
    borders = _LINES if by_lines else _PROSE
    while True:
        start = _skip(text, start, end, by_lines)
        stop = _trim(text, start, end)
        if start >= stop:
            return
        if stop - start <= limit:
            yield start, stop
            return
        cut = _border(text, start + limit // 2, start + limit, borders)
        piece_end = _trim(text, start, cut)
        if piece_end > start:
            yield start, piece_end
        start = cut


def _border(text: str, low: int, high: int, borders: tuple[re.Pattern[str], ...]) -> int:
    """The last border in `text[low:high]` of the first sort that occurs there, else `high`."""
    for border in borders:
        last = None
        for match in border.finditer(text, low, high):
            last = match
        if last is not None:
            return last.end()
    return high


def _skip(text: str, start: int, end: int, by_lines: bool) -> int:
    """Past the white space at `start`; with `by_lines`, only past whole blank lines."""
    first = start
    while first < end and text[first].isspace():
        first += 1
    if not by_lines or first == end:
        return first
    while first > start and text[first - 1] not in "\r\n":
        first -= 1
    return first


def _trim(text: str, start: int, end: int) -> int:
    """`end` without the white space before it, but not before `start`."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end
