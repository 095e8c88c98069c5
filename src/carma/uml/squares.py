"""Magic squares of three rows: the Lo Shu, its eight symmetries, and the maps that keep a square magic.

Up to symmetry there is one square of the numbers 1 to 9 whose rows, columns and diagonals are equal in sum,
the Lo Shu. A map v -> p·v + q of its numbers keeps those sums equal and its numbers different, so a seed can
choose one of eight symmetries, a p and a q. `square_of` derives such a square from a tag: the visible check
in the HTTP header `Carma-Square`. It hangs on the tag by a hash and shows 19 bits of it, so it bears no
security and stands beside the tag, never in its place.

`seeds_square` is the first texts' own way, every number plus the seed, modulo 1000. It is magic for 992
seeds of 1000: where the modulus catches some numbers and not all, the sums fall apart. Rejected for our own
squares for this reason.
"""

from __future__ import annotations

import hashlib
import re

from carma.errors import DomainError, InvalidInput

__all__ = [
    "HEADER",
    "LO_SHU",
    "VISIBLE_BITS",
    "Square",
    "affine",
    "as_text",
    "check_square",
    "fault_of",
    "from_text",
    "magic_sum",
    "seeded",
    "seeds_square",
    "square_of",
    "symmetries",
]

Row = tuple[int, int, int]
Square = tuple[Row, Row, Row]
"""Three rows of three numbers, from above."""

HEADER = "Carma-Square"
LO_SHU: Square = ((4, 9, 2), (3, 5, 7), (8, 1, 6))

_SYMMETRY_BITS, _FACTOR_BITS, _SHIFT_BITS = 3, 6, 10
VISIBLE_BITS = _SYMMETRY_BITS + _FACTOR_BITS + _SHIFT_BITS
"""So many bits choose a square: one drawn at random fits a tag once in 2**19 times."""

_SEEDS: Square = ((8, 1, 6), (3, 5, 7), (4, 9, 2))
_SEEDS_MODULUS = 1000
_NUMBER = r"(0|[1-9][0-9]{0,3})"
_ROW = rf"\({_NUMBER} {_NUMBER} {_NUMBER}\)"
_TEXT = re.compile(rf"{_ROW}, {_ROW}, {_ROW}", re.ASCII)


def symmetries(square: Square) -> tuple[Square, ...]:
    """The eight symmetries of a square: four turns, and the four turns of its mirror image."""
    found: list[Square] = []
    for start in (square, _mirrored(square)):
        turned = start
        for _ in range(4):
            found.append(turned)
            turned = _turned(turned)
    return tuple(found)


def affine(square: Square, factor: int, shift: int) -> Square:
    """Each number v as factor · v + shift. Raises DomainError for the factor 0, which makes all equal."""
    if factor == 0:
        raise DomainError("The factor 0 makes all nine numbers equal.")
    (a, b, c), (d, e, f), (g, h, i) = square
    return (
        (factor * a + shift, factor * b + shift, factor * c + shift),
        (factor * d + shift, factor * e + shift, factor * f + shift),
        (factor * g + shift, factor * h + shift, factor * i + shift),
    )


def fault_of(square: Square) -> str | None:
    """What keeps a square from being magic, as a sentence; None if nothing does.

    Magic: nine different numbers, and the three rows, three columns and two diagonals have equal sums.
    """
    if len({number for row in square for number in row}) != 9:
        return "Its nine numbers are not all different."
    wanted = sum(square[0])
    for name, line in _lines(square):
        if sum(line) != wanted:
            return f"{name} sums to {sum(line)}, row 1 to {wanted}."
    return None


def magic_sum(square: Square) -> int:
    """The sum that every row, column and diagonal has. Raises DomainError if they differ."""
    fault = fault_of(square)
    if fault is not None:
        raise DomainError(f"The square is not magic. {fault}")
    return sum(square[0])


def square_of(tag: bytes) -> Square:
    """The magic square that belongs to a tag, of whatever length. Its numbers lie between 1 and 1599."""
    return _chosen(hashlib.sha256(b"carma square of a tag\0" + tag).digest())


def check_square(tag: bytes, square: Square) -> bool:
    """Whether this is the tag's square. Not in constant time: a square is no secret, nor a proof."""
    return square == square_of(tag)


def seeded(seed: int) -> Square:
    """The magic square of a seed, any integer."""
    return _chosen(hashlib.sha256(b"carma square of a seed\0%d" % seed).digest())


def seeds_square(seed: int) -> Square:
    """The first texts' square: each number plus the seed, modulo 1000. Not magic for some seeds."""
    a, b, c = (_wrapped(row) for row in affine(_SEEDS, 1, seed))
    return a, b, c


def as_text(square: Square) -> str:
    """A square as the value of a header: a list of inner lists (RFC 9651), `(8 1 6), (3 5 7), (4 9 2)`."""
    return ", ".join(f"({a} {b} {c})" for a, b, c in square)


def from_text(text: str) -> Square:
    """The square that `as_text` wrote, numbers from 0 to 9999, magic or not. Raises InvalidInput."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{HEADER} is not three rows of three numbers.", hint="For example (8 1 6), (3 5 7), (4 9 2)."
        )
    a, b, c, d, e, f, g, h, i = map(int, match.groups())
    return (a, b, c), (d, e, f), (g, h, i)


def _chosen(digest: bytes) -> Square:
    """The square that the first 19 bits of a digest choose."""
    bits = int.from_bytes(digest[:4], "big")
    symmetry = _ALL[bits % 2**_SYMMETRY_BITS]
    bits >>= _SYMMETRY_BITS
    factor = 1 + bits % 2**_FACTOR_BITS
    shift = (bits >> _FACTOR_BITS) % 2**_SHIFT_BITS
    return affine(symmetry, factor, shift)


def _wrapped(row: Row) -> Row:
    a, b, c = row
    return a % _SEEDS_MODULUS, b % _SEEDS_MODULUS, c % _SEEDS_MODULUS


def _turned(square: Square) -> Square:
    (a, b, c), (d, e, f), (g, h, i) = square
    return (g, d, a), (h, e, b), (i, f, c)


def _mirrored(square: Square) -> Square:
    (a, b, c), (d, e, f), (g, h, i) = square
    return (c, b, a), (f, e, d), (i, h, g)


def _lines(square: Square) -> list[tuple[str, Row]]:
    (a, b, c), (d, e, f), (g, h, i) = square
    return [
        *((f"Row {at}", row) for at, row in enumerate(square, 1)),
        *((f"Column {at}", column) for at, column in enumerate(((a, d, g), (b, e, h), (c, f, i)), 1)),
        ("The falling diagonal", (a, e, i)),
        ("The rising diagonal", (g, e, c)),
    ]


_ALL = symmetries(LO_SHU)
