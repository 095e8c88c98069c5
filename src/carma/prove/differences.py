"""Two texts beside each other, word by word: what one has and the other has not is marked.

Marks are `<del>` and `<ins>`, so they are read aloud, printed and seen without colour. Words are compared
and not characters: letters that two unlike words share would tear both to pieces.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape

__all__ = ["marked", "printable"]

MOST_WORDS = 150
"""Of each text; the rest is left out, and a mark says so."""

_WORDS = re.compile(r"\S+")


def marked(original: str, other: str) -> tuple[str, str]:
    """Both texts as HTML: words that only the original has in `<del>`, those that only the other has in
    `<ins>`.
    """
    left, right = _WORDS.findall(original), _WORDS.findall(other)
    cut_left, cut_right = len(left) > MOST_WORDS, len(right) > MOST_WORDS
    left, right = left[:MOST_WORDS], right[:MOST_WORDS]
    matcher = SequenceMatcher(
        None, [_core(word) for word in left], [_core(word) for word in right], autojunk=False
    )
    ours, theirs = [], []
    for how, a, b, c, d in matcher.get_opcodes():
        ours.append(_span(left[a:b], "del" if how != "equal" else ""))
        theirs.append(_span(right[c:d], "ins" if how != "equal" else ""))
    return _joined(ours, cut_left), _joined(theirs, cut_right)


def _core(word: str) -> str:
    """The word without case and the punctuation around it, which is no difference in meaning."""
    return word.strip(".,;:!?\"'()[]*_`").lower() or word


def _span(words: list[str], tag: str) -> str:
    text = escape(printable(" ".join(words)))
    return f"<{tag}>{text}</{tag}>" if tag and text else text


def _joined(spans: list[str], cut: bool) -> str:
    return " ".join(span for span in spans if span) + (" …" if cut else "")


def printable(text: str) -> str:
    """Without control characters, lone surrogates and marks that turn the direction of what follows."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
