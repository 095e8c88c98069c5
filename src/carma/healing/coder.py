"""Symbols of known frequency to bytes and back: asymmetric numeral systems over one big integer.

The idea: Python's integers have no largest value, so the state of the coder is simply allowed to grow. Each
symbol costs what its frequency says to a fraction of a bit, nothing is rounded, and all arithmetic is on
integers: what one machine writes every machine reads. The state starts at zero and a reader that has taken
out what was put in is at zero again; anything else was damaged. Rejected: a range coder with renormalisation,
which is faster for long messages and four times the code; a sketch is a hundred bytes.

Source: J. Duda, "Asymmetric numeral systems", arXiv 0902.0271 and 1311.2540.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Pile", "Symbol", "number", "one_of", "read_number", "symbols_to_bytes", "uniform"]

Symbol = tuple[int, int, int]
"""Start and width of a symbol's part of the range, and the bits of the whole range."""

_SIZES = (1, 4, 6, 9, 13, 20, 30, 28, 9, 3, 1, 1, 1, 1, 1)  # how often a number has so many bits, of 128
_SIZE_BITS = 7


class Pile:
    """What is read from: symbols come out in the order in which they stood in the message."""

    __slots__ = ("_state",)

    def __init__(self, data: bytes) -> None:
        self._state = int.from_bytes(data, "little")

    @property
    def empty(self) -> bool:
        """Whether everything that was put in has been taken out."""
        return self._state == 0

    def slot(self, bits: int) -> int:
        """The place in the range, 0 to 2**bits - 1, that the next symbol covers."""
        return self._state & ((1 << bits) - 1)

    def take(self, symbol: Symbol) -> None:
        """Take out the symbol that covers `slot`."""
        start, width, bits = symbol
        state = self._state
        self._state = width * (state >> bits) + (state & ((1 << bits) - 1)) - start

    def take_uniform(self, bits: int) -> int:
        """Take out a number of `bits` bits, all equally likely."""
        found = self.slot(bits)
        self._state >>= bits
        return found

    def take_of(self, widths: Sequence[int], bits: int) -> int:
        """Take out one of a few symbols with these widths, which fill 2**bits; returns which."""
        slot = self.slot(bits)
        start = 0
        for index, width in enumerate(widths):
            if slot < start + width:
                self.take((start, width, bits))
                return index
            start += width
        raise AssertionError(f"the widths {widths} do not fill {bits} bits")


def symbols_to_bytes(symbols: Sequence[Symbol]) -> bytes:
    """Code a message. The reader takes the symbols out in this order."""
    state = 0
    for start, width, bits in reversed(symbols):
        whole, rest = divmod(state, width)
        state = (whole << bits) + start + rest
    return state.to_bytes((state.bit_length() + 7) // 8, "little")


def uniform(value: int, bits: int) -> Symbol:
    """A number of `bits` bits, all equally likely."""
    return value, 1, bits


def one_of(index: int, widths: Sequence[int], bits: int) -> Symbol:
    """One of a few symbols with these widths, which fill 2**bits."""
    return sum(widths[:index]), widths[index], bits


def number(value: int) -> list[Symbol]:
    """A count from 0 to 16,383: its length in bits, then the bits below the highest."""
    size = value.bit_length()
    if not 0 <= size < len(_SIZES):
        raise ValueError(f"not a count that can be coded: {value}")
    below = max(size - 1, 0)
    return [one_of(size, _SIZES, _SIZE_BITS), uniform(value & ((1 << below) - 1), below)]


def read_number(pile: Pile) -> int:
    """The inverse of `number`."""
    size = pile.take_of(_SIZES, _SIZE_BITS)
    return 0 if size == 0 else (1 << (size - 1)) + pile.take_uniform(size - 1)
