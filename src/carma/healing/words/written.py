"""A text taken apart as the word index takes it apart: tokens, how each is written, what stands between them.

FTS5's own tokenizer does the cutting, through apsw, so a token here is a token of the index by construction.
Rejected: the same rules in Python, which would have to follow SQLite's Unicode tables from version to
version.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import apsw

__all__ = ["CAPITAL", "LOWER", "OTHER", "UPPER", "Splitter", "Written", "shape_of", "shaped"]

LOWER: Final = 0
CAPITAL: Final = 1
UPPER: Final = 2
OTHER: Final = 3
"""A form that none of the three rules makes out of the token ("iPhone")."""


class Written(NamedTuple):
    """tokens: as in the index. forms: the same as they are written. gaps: before, between and after them, so
    there is one gap more than tokens; `gaps[0] + forms[0] + gaps[1] + ...` is the text."""

    tokens: list[str]
    forms: list[str]
    gaps: list[str]


class Splitter:
    """Cuts texts with `unicode61 remove_diacritics 0`. One thread at a time."""

    def __init__(self) -> None:
        # The tokenizer lives as long as its connection.
        self._db = apsw.Connection(":memory:")
        self._tokenizer = self._db.fts5_tokenizer("unicode61", ["remove_diacritics", "0"])

    def __call__(self, text: str) -> Written:
        """Any text; what UTF-8 cannot hold counts as a replacement character."""
        raw = text.encode("utf-8", "replace")
        written = Written([], [], [])
        end = 0
        found = self._tokenizer(raw, apsw.FTS5_TOKENIZE_DOCUMENT, None)
        for first, last, token in cast("list[tuple[int, int, str]]", found):
            written.gaps.append(raw[end:first].decode("utf-8", "replace"))
            written.forms.append(raw[first:last].decode("utf-8", "replace"))
            written.tokens.append(token)
            end = last
        written.gaps.append(raw[end:].decode("utf-8", "replace"))
        return written


def shape_of(token: str, form: str) -> int:
    """Which of the four ways a form is written in."""
    for shape in (LOWER, CAPITAL, UPPER):
        if shaped(token, shape) == form:
            return shape
    return OTHER


def shaped(token: str, shape: int) -> str:
    """The token in a shape other than `OTHER`."""
    if shape == CAPITAL:
        return token[:1].upper() + token[1:]
    return token.upper() if shape == UPPER else token
