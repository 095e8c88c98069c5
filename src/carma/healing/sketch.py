"""The sketch: what a fragment meant, in a few bytes kept apart from its text.

The idea: a short text is kept to the letter, because a model of language needs only two bits for each of its
characters; what is longer keeps all of its words without case and gaps; what is longer still keeps its most
telling terms in order, names, numbers and dates first. Signs of the embedding may stand beside the terms.
Rejected: signs as the main thing (48 bytes of them guide worse than the 35 terms that 48 bytes hold), and the
rarest words by themselves.

    byte 0       version (high four bits), what is kept (low four: 1 whole, 2 case and gaps, 4 signs)
    byte 1       only with signs: how many bytes of them follow; then the signs
    the rest     coded terms (`terms.py`); the number of all units of the text before them where not whole
"""

from __future__ import annotations

from dataclasses import dataclass

from carma.healing.coder import Pile, number, read_number, symbols_to_bytes
from carma.healing.signs import Vectors, signs_of
from carma.healing.telling import Kind, keep_order, kinds_of
from carma.healing.terms import (
    MOST_PIECES,
    SketchDamaged,
    bits_of,
    piece_symbols,
    read_terms,
    surface_symbols,
)
from carma.healing.units import Unit, text_of, units_of

__all__ = ["BUDGET_BYTES", "Sketch", "decode_sketch", "encode_sketch"]

BUDGET_BYTES = 96
MOST_BYTES = 4096
_VERSION = 1
_WHOLE, _SURFACE, _SIGNS = 1, 2, 4
_MOST_CHARACTERS = 16_000  # of a text are looked at
_LEAST_UNIT_BITS = 1.5
_CROWDED = 0.9  # of the room would go to names, numbers and dates
_FROM_BEFORE = 0.85  # of the bits of a word are left where the words before it are known
_SLACK_BITS = 64
"""By which the first symbols that are coded may cost less than they should: the state is still small."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is known of a lost text.

    signs: of its embedding, packed; empty if none were kept. units: its terms in order with case and gaps
    (guessed where they were not kept). total: how many terms the text had. whole: all of them are here.
    exact: with case and gaps, so `text` is the text to the letter. tail: white space at its end.
    """

    signs: bytes
    units: tuple[Unit, ...]
    total: int
    whole: bool
    exact: bool
    tail: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """The words and signs that were kept, in order."""
        return tuple(unit.written for unit in self.units)

    @property
    def text(self) -> str:
        """The terms as text."""
        return text_of(self.units) + self.tail

    @property
    def share(self) -> float:
        """The share of the text's terms that was kept, 0 to 1."""
        return min(1.0, len(self.units) / self.total) if self.total else float(self.whole)


def encode_sketch(
    text: str,
    vector: Vectors | None = None,
    *,
    budget_bytes: int = BUDGET_BYTES,
    sign_bytes: int = 0,
    surface: bool = True,
) -> bytes:
    """The sketch of a text and its embedding (float32, shape (d,)), in at most `budget_bytes` bytes.

    sign_bytes: how many of them go to signs of the embedding where the text is too long to be kept whole.
    None by default: on chat turns of 48 bytes and on pages of 96, terms in their place gave a better text,
    cosine and all. surface: whether a text that fits is kept to the letter, with case and gaps. A budget
    below 2 holds nothing: the answer is empty. A text is looked at up to 16,000 characters.
    """
    budget_bytes = min(budget_bytes, MOST_BYTES)
    if budget_bytes < 2:
        return b""
    units, tail = units_of(text[:_MOST_CHARACTERS])
    room = budget_bytes - 1
    if len(text) <= _MOST_CHARACTERS and len(units) * _LEAST_UNIT_BITS < 8 * room:
        words = piece_symbols(units, 8 * room + _SLACK_BITS)
        kinds = [_WHOLE | _SURFACE, _WHOLE] if surface else [_WHOLE]
        for flags in kinds:
            if words is None:
                break
            coded = symbols_to_bytes(words + (surface_symbols(units, tail) if flags & _SURFACE else []))
            if len(coded) <= room:
                return bytes((_VERSION << 4 | flags,)) + coded
    most = min(sign_bytes, 255, max(room - 1, 0))
    signs = signs_of(vector, most) if vector is not None and most else b""
    head = bytes((_VERSION << 4 | _SIGNS, len(signs))) + signs if signs else bytes((_VERSION << 4,))
    return head + _most_telling(units, budget_bytes - len(head))


def decode_sketch(data: bytes) -> Sketch:
    """The inverse of `encode_sketch`. Raises SketchDamaged on bytes that are none of its answers."""
    if not 1 <= len(data) <= MOST_BYTES:
        raise SketchDamaged(f"a sketch has 1 to {MOST_BYTES} bytes, not {len(data)}")
    version, flags = data[0] >> 4, data[0] & 15
    if version != _VERSION:
        raise SketchDamaged(f"a sketch of version {version}; this is version {_VERSION}")
    if flags not in (0, _SIGNS, _WHOLE, _WHOLE | _SURFACE):
        raise SketchDamaged(f"a sketch of an unknown kind, {flags}")
    at = 1
    if flags & _SIGNS:
        at = 2 + data[1] if len(data) > 1 else 2
        if at > len(data):
            raise SketchDamaged("a sketch that ends among its signs")
    pile = Pile(data[at:])
    total = 0 if flags & _WHOLE else read_number(pile)
    units, tail = read_terms(pile, bool(flags & _SURFACE))
    if not pile.empty:
        raise SketchDamaged("a sketch with something left over")
    whole, exact = bool(flags & _WHOLE), bool(flags & _SURFACE)
    return Sketch(
        data[2:at], tuple(units), len(units) if whole else max(total, len(units)), whole, exact, tail
    )


def _most_telling(units: list[Unit], room: int) -> bytes:
    """As many of the most telling terms, in order, as go into `room` bytes."""
    kinds = kinds_of(units)
    named = sum(bits_of(unit.written) for unit, kind in zip(units, kinds, strict=True) if kind <= Kind.DATE)
    order = keep_order(units, kinds, crowded=named * _FROM_BEFORE > _CROWDED * 8 * room)
    head = number(min(len(units), MOST_PIECES))
    best = b""  # read as no terms of none
    fits, beyond = -1, len(units) + 1
    guess = _likely(units, order, 8 * room)
    while beyond - fits > 1:
        words = piece_symbols([units[at] for at in sorted(order[:guess])], 16 * room)
        if words is None:
            beyond, guess = guess, (fits + guess) // 2
            continue
        coded = symbols_to_bytes(head + words)
        spare = 8 * (room - len(coded))
        if spare >= 0:
            fits, best = guess, coded
        else:
            beyond = guess
        # As many terms more or fewer as such terms cost, within the limits that are known.
        guess += int(spare / max(8 * len(coded) / max(guess, 1), 1.0))
        guess = min(max(guess, fits + 1), beyond - 1)
    return best


def _likely(units: list[Unit], order: list[int], bits: int) -> int:
    """About how many terms, in the order of their worth, go into so many bits."""
    cost = 0.0
    for count, at in enumerate(order):
        cost += bits_of(units[at].written) * _FROM_BEFORE
        if cost > bits:
            return count
    return len(units)
