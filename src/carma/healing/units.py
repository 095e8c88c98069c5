"""A text as units, words and signs, each with its case and the gap before it; and back.

The idea: what a reader would guess of case and gaps (a capital after a full stop, no blank before a comma) is
guessed the same way by writer and reader, so only what differs from the guess has to be kept. Rejected:
guessing by statistics of the text before, which cost more bytes than these few rules save.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Case", "Unit", "Writing", "case_of", "in_case", "restored", "text_of", "units_of"]

# Letters and digits, with the vowel signs of scripts that write them as marks; a run of emoji; or one sign.
_MARK = r"[^\w\s\x00-\u02ff\u2000-\U0010ffff]"
_UNIT = re.compile(
    rf"[^\W_]+(?:{_MARK}+[^\W_]*)*|[\u2600-\u27bf\ufe0f\u200d\U0001f000-\U0001faff]+|[^\w\s]|_"
)
_ENDS = frozenset(".!?")
_NO_GAP_BEFORE = frozenset(".,!?:;)]}'’%…-–/_")
_NO_GAP_AFTER = frozenset("([{'’$€£#@-–/_")


class Case(IntEnum):
    """How a word is written. MIXED needs the capitals one by one."""

    LOWER = 0
    TITLE = 1
    UPPER = 2
    MIXED = 3


class Unit(NamedTuple):
    """One word or sign as it was written, and the white space before it."""

    written: str
    gap: str

    @property
    def plain(self) -> str:
        """In lower case: what is cut into pieces."""
        return self.written.lower()

    @property
    def word(self) -> bool:
        """Whether it is made of letters or digits."""
        return self.written[0].isalnum()


def units_of(text: str) -> tuple[list[Unit], str]:
    """The units of a text, and the white space after the last one."""
    found = []
    end = 0
    for match in _UNIT.finditer(text):
        start, stop = match.span()
        found.append(Unit(text[start:stop], text[end:start]))
        end = stop
    return found, text[end:]


def text_of(units: Sequence[Unit]) -> str:
    """The inverse of `units_of`, without white space after the last one."""
    return "".join(unit.gap + unit.written for unit in units)


@lru_cache(maxsize=65_536)
def case_of(written: str) -> Case:
    """How a word is written; LOWER where there is no case."""
    if written == written.lower():
        return Case.LOWER
    for case in (Case.TITLE, Case.UPPER):
        if in_case(written.lower(), case) == written:
            return case
    return Case.MIXED


def in_case(plain: str, case: Case) -> str:
    """A lower-case word in a case; MIXED leaves it as it is."""
    if case is Case.TITLE:
        return plain[:1].upper() + plain[1:]
    return plain.upper() if case is Case.UPPER else plain


class Writing:
    """What stands so far, and what a reader would guess of the next unit. Fed unit by unit."""

    def __init__(self) -> None:
        self._last = ""
        self._count = 0
        self._open = False  # inside double quotes
        self._capital = True  # a sentence begins
        self._names: dict[str, Case] = {}
        self._last_case = Case.LOWER

    def gap(self, plain: str) -> str:
        """The gap before a unit: "" or a blank."""
        last = self._last
        if not last or last in _NO_GAP_AFTER or plain in _NO_GAP_BEFORE:
            return ""
        if '"' in (last, plain):
            return "" if self._open else " "
        if not (last[0].isascii() or last[0].isalnum() or plain.isascii()):
            return ""
        return " "

    def surroundings(self, plain: str, gap: str) -> int:
        """What is known about the case of a word: the row of the table that says how likely each case is.

        0 the word "i", 1 seen with a capital before, 2 a sentence begins, 3 after a word with a capital, 4
        else.
        """
        if plain == "i":
            return 0
        if self._names.get(plain, Case.LOWER) is not Case.LOWER:
            return 1
        if self._capital or "\n" in gap:
            return 2
        return 3 if self._last_case is not Case.LOWER else 4

    def guess(self, plain: str, gap: str) -> Case:
        """The likeliest case of a word."""
        row = self.surroundings(plain, gap)
        if row == 1:
            return self._names[plain]
        return Case.TITLE if row in (0, 2) else Case.LOWER

    def add(self, unit: Unit) -> None:
        """The next unit stands."""
        written = unit.written
        if written[0].isalnum():
            case = case_of(written)
            begins = self._capital or "\n" in unit.gap
            if case is not Case.LOWER and not begins and written != "I":
                self._names.setdefault(unit.plain, Case.TITLE if case is Case.MIXED else case)
            self._last_case = Case.LOWER if written == "I" or begins else case
            self._capital = False
        else:
            self._last_case = Case.LOWER
            if written in _ENDS or (written == ":" and self._count == 1):
                self._capital = True
            elif written == '"':
                self._open = not self._open
        self._last = written
        self._count += 1


def restored(words: Sequence[tuple[str, bool]]) -> Iterator[Unit]:
    """Units from words and signs alone, each with case and gap as a reader would guess them.

    Each word is in lower case, or as it was written (then True stands beside it).
    """
    writing = Writing()
    for plain, fixed in words:
        gap = writing.gap(plain)
        unit = Unit(plain if fixed else in_case(plain, writing.guess(plain, gap)), gap)
        writing.add(unit)
        yield unit
