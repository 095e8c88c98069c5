"""What each next piece of a text costs: a model of language small enough to read.

The idea: a piece is either one of those that often follow what stands before it (`english.py`) or any piece
at all, and then it costs what its rank in the vocabulary says (Zipf's law with Mandelbrot's offset; the
commonest by hand). All widths are integers made by integer arithmetic, so they are the same everywhere.
Rejected: the embedding model as a predictor, which is not bit-exact from one machine to the next.

Source: B. Mandelbrot, "An informational theory of the statistical structure of language", 1953.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import log2

from carma.healing.coder import Pile, Symbol, one_of
from carma.healing.english import COMMON, FOLLOWING
from carma.healing.pieces import Pieces, pieces

__all__ = ["BY_CHARACTERS", "BY_DIGITS", "Language", "language"]

BY_CHARACTERS = 100
"""The piece [UNK]: here, a word that is coded by its characters."""
BY_DIGITS = 103
"""The piece [MASK]: here, a number that is coded by its digits."""

_BITS = 24
_HABIT_BITS = 8
_FOLLOWER_BITS = 12
_COMMON_PER_MILLE = 700  # of all pieces in English talk are in COMMON
_COMMON = 10_000
_OTHERWISE = {BY_CHARACTERS: 60, BY_DIGITS: 40}  # of _COMMON
_FIRST_WORD = 1996  # the vocabulary's words are sorted from here on
_OFFSET = 250
_LOOKS_BACK = ("'", ":")
_MOST_MET = 65_536
_LETTER_RANK, _SIGN_RANK = (
    1_500,
    20_000,
)  # a single ASCII character costs as much as a word of this rank; others


@dataclass(frozen=True, slots=True)
class _Habit:
    """The pieces that often follow: whether one of them does, and which. other: the symbol that none does."""

    chance: tuple[int, int]
    other: Symbol
    symbols: tuple[list[Symbol], ...]
    places: dict[int, int]
    numbers: tuple[int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """The model. All arguments `before` are the numbers of the pieces so far, from the beginning of the
    text."""

    pieces: Pieces
    widths: tuple[int, ...]
    starts: tuple[int, ...]
    habits: dict[str, _Habit]
    after_one: dict[int, _Habit]
    """The habits after one piece, by its number."""
    looks_back: frozenset[int]
    """The pieces after which the one before them matters too."""
    met: dict[tuple[int, int, int], tuple[list[Symbol], float]]
    """What `coded` said before: a text is coded some times over, and texts of one memory are alike."""

    def symbols(self, number: int, before: Sequence[int]) -> list[Symbol]:
        """The symbols that say `number` after `before`."""
        return self.coded(number, before)[0]

    def coded(self, number: int, before: Sequence[int]) -> tuple[list[Symbol], float]:
        """The symbols that say `number` after `before`, not to be changed, and what they cost in bits."""
        last = before[-1] if before else -1
        two = (before[-2] if len(before) > 2 else -len(before)) if last in self.looks_back else 0
        key = two, last, number
        found = self.met.get(key)
        if found is None:
            symbols = self._symbols(number, before)
            found = symbols, sum(bits - log2(width) for _, width, bits in symbols)
            if len(self.met) >= _MOST_MET:
                self.met.clear()
            self.met[key] = found
        return found

    def _symbols(self, number: int, before: Sequence[int]) -> list[Symbol]:
        alone = (self.starts[number], self.widths[number], _BITS)
        habit = self._habit(before)
        if habit is None:
            return [alone]
        place = habit.places.get(number)
        return [habit.other, alone] if place is None else habit.symbols[place]

    def read(self, pile: Pile, before: Sequence[int]) -> int:
        """The inverse of `symbols`: the next piece."""
        habit = self._habit(before)
        if habit is not None and pile.take_of(habit.chance, _HABIT_BITS) == 0:
            return habit.numbers[pile.take_of(habit.widths, _FOLLOWER_BITS)]
        number = bisect_right(self.starts, pile.slot(_BITS)) - 1
        pile.take((self.starts[number], self.widths[number], _BITS))
        return number

    def expects(self, number: int, before: Sequence[int]) -> bool:
        """Whether `number` is among the pieces that often follow `before`."""
        habit = self._habit(before)
        return habit is not None and number in habit.places

    def bits(self, number: int) -> float:
        """What a piece costs where nothing is known of what stands before it, in bits."""
        return _BITS - log2(max(self.widths[number], 1))

    def _habit(self, before: Sequence[int]) -> _Habit | None:
        if not before:
            return self.habits.get("^")
        if before[-1] in self.looks_back and len(before) > 1:
            names = self.pieces.names
            last = names[before[-1]]
            two = "^" if last == ":" and len(before) == 2 else names[before[-2]]
            return self.habits.get(two + last) or self.habits.get(last)
        return self.after_one.get(before[-1])


@lru_cache(maxsize=1)
def language() -> Language:
    """The model, made once. Raises EmbedderError when the vocabulary cannot be read."""
    known = pieces()
    widths = _widths(known)
    starts = tuple(accumulate(widths, initial=0))[:-1]
    habits = {before: _habit_of(int(chance), after, known) for before, chance, *after in _lines(FOLLOWING)}
    after_one = {known.numbers[name]: habit for name, habit in habits.items() if name in known.numbers}
    return Language(
        known, widths, starts, habits, after_one, frozenset(known.numbers[name] for name in _LOOKS_BACK), {}
    )


def _lines(table: str) -> list[list[str]]:
    """The words of each line; an indented line goes on with the line before."""
    return [line.split() for line in table.replace("\n    ", " ").splitlines()]


def _widths(known: Pieces) -> tuple[int, ...]:
    """How much of 2**24 each piece gets."""
    common = {
        known.numbers[word]: int(often) for often, *words in _lines(COMMON) for word in words
    } | _OTHERWISE
    shares = [0 if number in common else _rest(number, name) for number, name in enumerate(known.names)]
    everything, weight = sum(shares), sum(common.values())
    # One unit for each piece that can occur at all, so that nothing is impossible.
    room = (1 << _BITS) - sum(1 for share in shares if share)
    for_common = room * _COMMON_PER_MILLE // 1000
    widths = [
        common[number] * for_common // weight
        if number in common
        else (1 + share * (room - for_common) // everything if share else 0)
        for number, share in enumerate(shares)
    ]
    widths[_FIRST_WORD] += (1 << _BITS) - sum(widths)  # what rounding left over
    return tuple(widths)


def _rest(number: int, name: str) -> int:
    if name.startswith("[") and len(name) > 1:
        return 0
    if number < _FIRST_WORD:
        return (1 << 32) // (_OFFSET + (_LETTER_RANK if name.isascii() else _SIGN_RANK))
    share = (1 << 32) // (_OFFSET + number - _FIRST_WORD)
    return share // 4 if name.startswith("##") else share


def _habit_of(chance: int, after: Sequence[str], known: Pieces) -> _Habit:
    numbers = tuple(known.numbers[word] for word in after)
    shares = [(1 << 20) // (place + 2) for place in range(len(numbers))]
    widths = [share * (1 << _FOLLOWER_BITS) // sum(shares) for share in shares]
    widths[0] += (1 << _FOLLOWER_BITS) - sum(widths)
    both = (chance, (1 << _HABIT_BITS) - chance)
    hit = one_of(0, both, _HABIT_BITS)
    return _Habit(
        chance=both,
        other=one_of(1, both, _HABIT_BITS),
        symbols=tuple([hit, one_of(place, widths, _FOLLOWER_BITS)] for place in range(len(widths))),
        places={number: place for place, number in enumerate(numbers)},
        numbers=numbers,
        widths=tuple(widths),
    )
