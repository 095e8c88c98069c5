"""Phrases that a lost text shares with texts near it: written there as it very likely was here.

A metadata value that occurs whole (a speaker's name, the caption of an image), or three tokens in a row with
a sibling. The choices of `learnt` have seen the sibling too, but not that it is near.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from carma.healing.words.written import Splitter, Written

__all__ = ["Hint", "Phrases"]

_RUN: Final = 3
_NEARBY_MOST: Final = 64
_TOKENS_MOST: Final = 2_000


class Hint(NamedTuple):
    """What a phrase says about a slot: the gap (None: nothing), and the form of the token after it."""

    gap: str | None = None
    form: str | None = None


class Phrases:
    """The phrases of some texts; at most 64 texts and 2,000 tokens of each are looked at."""

    def __init__(self, nearby: Sequence[str], splitter: Splitter) -> None:
        self._texts: list[Written] = []
        self._runs: dict[tuple[str, ...], tuple[int, int]] = {}
        for text in nearby[:_NEARBY_MOST]:
            written = splitter(text)
            tokens = written.tokens[:_TOKENS_MOST]
            if not tokens:
                continue
            number = len(self._texts)
            self._texts.append(Written(tokens, written.forms, written.gaps))
            size = min(_RUN, len(tokens))
            for at in range(len(tokens) - size + 1):
                self._runs.setdefault(tuple(tokens[at : at + size]), (number, at))

    def hints(self, tokens: Sequence[str]) -> dict[int, Hint]:
        """What the phrases say, by slot. Where two say something, the first and longest one is heard."""
        found: dict[int, Hint] = {}
        at = 0
        while at < len(tokens) and self._runs:
            length = self._longest(tokens, at, found)
            at += max(1, length)
        return found

    def _longest(self, tokens: Sequence[str], at: int, found: dict[int, Hint]) -> int:
        """The length of the phrase that begins at token `at`, its hints noted; 0 if there is none."""
        for size in range(min(_RUN, len(tokens) - at), 0, -1):
            place = self._runs.get(tuple(tokens[at : at + size]))
            if place is None:
                continue
            written = self._texts[place[0]]
            begin = place[1]
            length = size
            while (
                at + length < len(tokens)
                and begin + length < len(written.tokens)
                and written.tokens[begin + length] == tokens[at + length]
            ):
                length += 1
            whole = length == len(written.tokens)
            if length < _RUN and not whole:
                continue
            for step in range(length):
                # How a phrase begins depends on where it stands, unless it is a value of its own.
                form = written.forms[begin + step] if step or whole else None
                found[at + step] = Hint(written.gaps[begin + step] if step else None, form)
            return length
        return 0
