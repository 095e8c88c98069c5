"""Hexadecimal digits of Pi at a place, without the digits before it.

The formula of Bailey, Borwein and Plouffe is a sum over 16^-k; the part of 16^d · Pi behind the point needs
only 16^(d-k) modulo 8k + j, which powers by squaring give. NumPy does that for 32,768 values of k at once, in
whole numbers alone: each fraction is written with 128 bits, so after ten million terms 100 are still right.
Rejected: sums in floats (right for about ten digits, and unlike on unlike machines), and turning the stored
decimals into hexadecimal (it takes a fifth more decimals than are kept).

Source: D. Bailey, P. Borwein, S. Plouffe, "On the rapid computation of various polylogarithmic constants",
Mathematics of Computation 66 (1997).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carma.errors import DomainError

__all__ = ["LAST_POSITION", "MOST_DIGITS", "hexadecimal"]

LAST_POSITION = 10_000_000
MOST_DIGITS = 16

_LIMBS = 4
_BITS = 32 * _LIMBS
_SPARE_BITS = 100
"""So many leading bits of the sum are right: 4 · 10^7 terms and fewer are each cut off below the 128th."""
_AT_ONCE = 1 << 15

_ONE, _FOUR, _LIMB = np.uint64(1), np.uint64(4), np.uint64(32)


def hexadecimal(position: int, count: int = 14) -> str:
    """`count` hexadecimal digits of Pi (1 to 16) from the `position`-th behind the point (1 to 10,000,000).

    Takes about a second for each million of `position`. Raises DomainError outside those bounds.
    """
    if not 1 <= position <= LAST_POSITION:
        raise DomainError(f"Hexadecimal positions go from 1 to {LAST_POSITION:,}, not {position}.")
    if not 1 <= count <= MOST_DIGITS:
        raise DomainError(f"1 to {MOST_DIGITS} hexadecimal digits can be asked for, not {count}.")
    before = position - 1
    part = 4 * _series(before, 1) - 2 * _series(before, 4) - _series(before, 5) - _series(before, 6)
    part %= 1 << _BITS
    digits, doubtful = part >> (_BITS - 4 * count), 1 << (_BITS - _SPARE_BITS)
    # Were all bits between these two equal, what was cut off could carry into the digits: 2^-36 and rarer.
    assert (part + doubtful) >> (_BITS - 4 * count) == digits == (part - doubtful) >> (_BITS - 4 * count)
    return f"{digits:0{count}X}"


def _series(before: int, j: int) -> int:
    """The sum of 16^(before - k) / (8k + j) over all k, without its whole part, times 2^128."""
    total = 0
    for start in range(0, before + 1, _AT_ONCE):
        k = np.arange(start, min(start + _AT_ONCE, before + 1), dtype=np.uint64)
        modulus = k * np.uint64(8) + np.uint64(j)
        rest = _powers_of_16(np.uint64(before) - k, modulus)
        fractions = 0
        for _ in range(_LIMBS):
            rest <<= _LIMB
            quotient = rest // modulus
            rest -= quotient * modulus
            fractions = (fractions << 32) + int(quotient.sum())
        total += fractions
    for later in range(1, _BITS // 4 + 1):
        total += (1 << (_BITS - 4 * later)) // (8 * (before + later) + j)
    return total


def _powers_of_16(exponent: Any, modulus: Any) -> Any:
    """16 ** exponent % modulus for arrays of uint64; every modulus below 2^28, so nothing overflows."""
    power = np.ones_like(modulus) % modulus
    for bit in range(int(exponent.max()).bit_length() - 1, -1, -1):
        power = power * power % modulus
        power = (power << ((exponent >> np.uint64(bit) & _ONE) * _FOUR)) % modulus
    return power
