"""Terms, a text's words and signs in order, as coded symbols and back.

The idea: first all pieces of all terms, which say most; then, where the text is kept to the letter, what of
its case and gaps a reader would not have guessed. A word that the vocabulary cannot spell (another script, an
accent, an emoji) goes by its characters, a long number by its digits. Rejected: dropping what has no piece,
as the embedding model does: names are what is missing from a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import inf, log2

from carma.errors import CarmaError
from carma.healing.coder import Pile, Symbol, number, one_of, read_number, uniform
from carma.healing.language import BY_CHARACTERS, BY_DIGITS, language
from carma.healing.units import Case, Unit, Writing, case_of, in_case, restored

__all__ = [
    "MOST_PIECES",
    "SketchDamaged",
    "bits_of",
    "piece_symbols",
    "pieces_of",
    "read_terms",
    "surface_symbols",
]

MOST_PIECES = 16_000
MOST_CHARACTERS = 65_536

_CASE_BITS = 8
# Of 256: the guess is right, then the other cases in order. Rows as in `Writing.surroundings`.
_CASES = ((252, 2, 1, 1), (244, 8, 2, 2), (238, 12, 4, 2), (200, 50, 4, 2), (243, 9, 3, 1))
_CASE_SYMBOLS = [[one_of(place, widths, _CASE_BITS) for place in range(4)] for widths in _CASES]
_ORDERS = {guess: (guess, *(each for each in Case if each is not guess)) for guess in Case}
_GAP_BITS = 8
_AS_GUESSED = (253, 3)
_GUESSED_GAP = one_of(0, _AS_GUESSED, _GAP_BITS)
_GAPS = ("", " ", "\n", "\n\n", None)
_GAP_WIDTHS = (80, 80, 48, 32, 16)
_BLOCK_BITS, _WITHIN_BITS = 14, 7
_SAME_BLOCK = (7, 1)
_DIGIT_BITS = ((3, 10), (2, 7), (1, 4))  # three digits need ten bits …
_ASCII_DIGITS = frozenset("0123456789")


class SketchDamaged(CarmaError):
    """These bytes are no sketch, or not as they were written. Nothing is rebuilt from them."""

    code = "sketch-damaged"
    status = 422
    exit_code = 11
    default_hint = "The other copy of the sketch, or the context alone, is used instead."


@lru_cache(maxsize=65_536)
def pieces_of(written: str) -> tuple[int, ...]:
    """The pieces that spell a word or sign; BY_CHARACTERS or BY_DIGITS where something else does it
    better."""
    cut = language().pieces.cut(written.lower()) if _restorable(written) else ()
    if not cut:
        return (BY_CHARACTERS,)
    if len(cut) > 1 and _ASCII_DIGITS.issuperset(written):
        return (BY_DIGITS,)
    return cut


def piece_symbols(units: Sequence[Unit], most_bits: float = inf) -> list[Symbol] | None:
    """The symbols of the pieces of terms; None as soon as they cost more than `most_bits` bits."""
    coded = language().coded
    symbols: list[Symbol] = []
    before: list[int] = []
    cost = 0.0
    for unit in units:
        written = unit.written
        for piece in pieces_of(written):
            new, bits = coded(piece, before)
            before.append(piece)
            symbols += new
            cost += bits
            if piece in (BY_CHARACTERS, BY_DIGITS):
                spelt = _characters(written) if piece == BY_CHARACTERS else _digits(written)
                symbols += spelt
                cost += _cost(spelt)
        if cost > most_bits:
            return None
    if len(before) > MOST_PIECES:
        raise ValueError(f"{len(before)} pieces are more than {MOST_PIECES}")
    return number(len(before)) + symbols


@lru_cache(maxsize=65_536)
def bits_of(written: str) -> float:
    """What a word or sign costs where nothing is known of what stands before it, in bits."""
    model = language()
    cut = pieces_of(written)
    cost = sum(map(model.bits, cut))
    if cut == (BY_CHARACTERS,):
        return cost + _cost(_characters(written))
    return cost + _cost(_digits(written)) if cut == (BY_DIGITS,) else cost


def _cost(symbols: Sequence[Symbol]) -> float:
    """What symbols cost, in bits."""
    return sum(bits - log2(width) for _, width, bits in symbols)


def surface_symbols(units: Sequence[Unit], tail: str) -> list[Symbol]:
    """The symbols of the case and gaps of terms, and of the white space after the last; after the pieces."""
    return list(_surface(units, tail))


def read_terms(pile: Pile, surface: bool) -> tuple[list[Unit], str]:
    """The inverse of `term_symbols`: the units, and the white space after the last.

    Without `surface` case and gaps are as a reader would guess them. Raises SketchDamaged.
    """
    words = _read_words(pile)
    if not surface:
        return list(restored(words)), ""
    writing = Writing()
    units = []
    for plain, fixed in words:
        guessed = writing.gap(plain)
        gap = _read_gap(pile, guessed)
        written = plain if fixed else _read_case(pile, writing, plain, gap)
        units.append(Unit(written, gap))
        writing.add(units[-1])
    return units, _read_gap(pile, "")


def _restorable(written: str) -> bool:
    """Whether lower case and a `Case` give the written word back."""
    plain, case = written.lower(), case_of(written)
    if case is Case.MIXED:
        return len(plain) == len(written) and _masked(plain, _mask(written)) == written
    return in_case(plain, case) == written


def _mask(written: str) -> int:
    return sum(1 << place for place, letter in enumerate(written) if letter != letter.lower())


def _masked(plain: str, mask: int) -> str:
    return "".join(letter.upper() if mask >> place & 1 else letter for place, letter in enumerate(plain))


def _surface(units: Sequence[Unit], tail: str) -> Iterator[Symbol]:
    writing = Writing()
    for unit in units:
        plain = unit.plain
        fixed = pieces_of(unit.written) in ((BY_CHARACTERS,), (BY_DIGITS,))
        guessed = writing.gap(unit.written if fixed else plain)
        yield from _gap(unit.gap, guessed)
        if not fixed:
            yield from _case(unit, writing)
        writing.add(unit)
    yield from _gap(tail, "")


def _case(unit: Unit, writing: Writing) -> Iterator[Symbol]:
    plain = unit.plain
    if plain == plain.upper():
        return
    guess = writing.guess(plain, unit.gap)
    case = case_of(unit.written)
    if len(plain) == 1 and case is Case.UPPER:
        case = Case.TITLE
    yield _CASE_SYMBOLS[writing.surroundings(plain, unit.gap)][_ORDERS[guess].index(case)]
    if case is Case.MIXED:
        yield uniform(_mask(unit.written), len(plain))


def _read_case(pile: Pile, writing: Writing, plain: str, gap: str) -> str:
    if plain == plain.upper():
        return plain
    guess = writing.guess(plain, gap)
    case = _ORDERS[guess][pile.take_of(_CASES[writing.surroundings(plain, gap)], _CASE_BITS)]
    if case is Case.MIXED:
        return _masked(plain, pile.take_uniform(len(plain)))
    return in_case(plain, case)


def _gap(gap: str, guessed: str) -> Iterator[Symbol]:
    if gap == guessed:
        yield _GUESSED_GAP
        return
    yield one_of(1, _AS_GUESSED, _GAP_BITS)
    kind = _GAPS.index(gap) if gap in _GAPS else len(_GAPS) - 1
    yield one_of(kind, _GAP_WIDTHS, _GAP_BITS)
    if _GAPS[kind] is None:
        yield from _characters(gap)


def _read_gap(pile: Pile, guessed: str) -> str:
    if pile.take_of(_AS_GUESSED, _GAP_BITS) == 0:
        return guessed
    gap = _GAPS[pile.take_of(_GAP_WIDTHS, _GAP_BITS)]
    return _read_characters(pile) if gap is None else gap


def _read_words(pile: Pile) -> list[tuple[str, bool]]:
    """Each word in lower case, or as it was written (then True)."""
    model = language()
    words: list[tuple[str, bool]] = []
    before: list[int] = []
    characters = 0
    for _ in range(read_number(pile)):
        piece = model.read(pile, before)
        if piece == BY_CHARACTERS:
            words.append((_read_characters(pile), True))
        elif piece == BY_DIGITS:
            words.append((_read_digits(pile), True))
        elif model.pieces.inner(piece) and before and not words[-1][1]:
            words[-1] = (words[-1][0] + model.pieces.join((piece,)), False)
        else:
            words.append((model.pieces.join((piece,)), False))
        before.append(piece)
        characters += len(words[-1][0])
        if characters > MOST_CHARACTERS or not words[-1][0]:
            raise SketchDamaged("a sketch with more characters than there can be, or an empty word")
    return words


def _characters(written: str) -> list[Symbol]:
    symbols = number(len(written))
    block = 0
    for letter in written:
        code = ord(letter)
        same = code >> _WITHIN_BITS == block
        symbols.append(one_of(int(not same), _SAME_BLOCK, 3))
        if not same:
            block = code >> _WITHIN_BITS
            symbols.append(uniform(block, _BLOCK_BITS))
        symbols.append(uniform(code & 127, _WITHIN_BITS))
    return symbols


def _read_characters(pile: Pile) -> str:
    letters = []
    block = 0
    for _ in range(read_number(pile)):
        if pile.take_of(_SAME_BLOCK, 3):
            block = pile.take_uniform(_BLOCK_BITS)
        code = (block << _WITHIN_BITS) + pile.take_uniform(_WITHIN_BITS)
        if code > 0x10FFFF:
            raise SketchDamaged("a sketch with a character beyond Unicode")
        letters.append(chr(code))
    return "".join(letters)


def _digits(written: str) -> list[Symbol]:
    symbols = number(len(written))
    for start in range(0, len(written), 3):
        part = written[start : start + 3]
        symbols.append(uniform(int(part), dict(_DIGIT_BITS)[len(part)]))
    return symbols


def _read_digits(pile: Pile) -> str:
    left = read_number(pile)
    digits = []
    while left:
        size = min(left, 3)
        value = pile.take_uniform(dict(_DIGIT_BITS)[size])
        if value >= 10**size:
            raise SketchDamaged("a sketch with a digit beyond nine")
        digits.append(f"{value:0{size}}")
        left -= size
    return "".join(digits)
