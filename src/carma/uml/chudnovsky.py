"""Pi by the series of the Chudnovsky brothers, summed by binary splitting, with the standard library alone.

Each term of the series brings 14 digits. Binary splitting adds the terms in pairs, pairs of pairs and so on,
so that the numbers stay as short as they can; what is left are a few products of very long numbers. Those
are made with `decimal`: libmpdec multiplies by a number-theoretic transform, and its result is already
decimal, so that printing it costs nothing. Rejected: Python's integers (Karatsuba, and printing takes
quadratic time before Python 3.12), `gmpy2` (five times as fast, but LGPL: docs/decisions/0011), and
`Decimal.sqrt`, which takes ten seconds for a million digits where Newton's method for 1 / sqrt takes 0.1.

Source: D. V. and G. V. Chudnovsky, "Approximations and complex multiplication according to Ramanujan" (1988).
"""

from __future__ import annotations

import decimal
from decimal import Decimal

__all__ = ["pi_digits"]

_DIGITS_PER_TERM = 14
_GUARD = 30
"""Digits beyond those asked for, which take up every rounding below."""
_IN_INTEGERS = 32
"""So few terms are summed in integers; more of them in Decimals."""
_ROOT_START = 2000
"""The root begins with so many digits at most, from Decimal.sqrt."""

# π = 426880 · sqrt(10005) · Q / T over the terms of the series.
_A, _B = 13591409, 545140134
_C3_OVER_24 = 640320**3 // 24
_ROOT_OF = 10005
_FRONT = 426880

Terms = tuple[int, int, int]
Sums = tuple[Decimal, Decimal, Decimal]


def pi_digits(count: int) -> str:
    """ "3" and `count` decimals of Pi behind it, without a point, not rounded but cut off.

    A million take about 2.7 s on one core.
    """
    terms = count // _DIGITS_PER_TERM + 2
    # Room for every product of the splitting: these are exact, and rounding would be an error.
    exact = _context(6 * _DIGITS_PER_TERM * terms + 1000)
    exact.traps[decimal.Inexact] = True
    with decimal.localcontext(exact):
        middle = terms // 2
        p, q, t = _split(0, middle)
        _, s, u = _split(middle, terms)
    with decimal.localcontext(_context(count + _GUARD)):
        under = t * s + p * u
        value = _FRONT * _ROOT_OF * (q * s) * _one_over_root(_ROOT_OF, count + _GUARD) / under
    digits = f"{value:f}"
    return digits[0] + digits[2 : count + 2]


def _context(digits: int) -> decimal.Context:
    return decimal.Context(
        prec=digits,
        rounding=decimal.ROUND_HALF_EVEN,
        Emin=decimal.MIN_EMIN,
        Emax=decimal.MAX_EMAX,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )


def _split(low: int, high: int) -> Sums:
    """P, Q and T of the terms from `low` to before `high`, as Decimals."""
    if high - low <= _IN_INTEGERS:
        p, q, t = _integers(low, high)
        return Decimal(p), Decimal(q), Decimal(t)
    middle = (low + high) // 2
    a, b, c = _split(low, middle)
    d, e, f = _split(middle, high)
    return a * d, b * e, c * e + a * f


def _integers(low: int, high: int) -> Terms:
    """As `_split`, in integers."""
    if high - low == 1:
        return _term(low)
    middle = (low + high) // 2
    p, q, t = _integers(low, middle)
    r, s, u = _integers(middle, high)
    return p * r, q * s, t * s + p * u


def _term(k: int) -> Terms:
    if k == 0:
        return 1, 1, _A
    p = (6 * k - 5) * (2 * k - 1) * (6 * k - 1)
    t = p * (_A + _B * k)
    return p, k**3 * _C3_OVER_24, -t if k % 2 else t


def _one_over_root(n: int, digits: int) -> Decimal:
    """1 / sqrt(n) by Newton's method, which needs products only: each step doubles the right digits."""
    steps = [digits]
    while steps[-1] > _ROOT_START:
        steps.append(steps[-1] // 2 + 4)
    with decimal.localcontext(_context(steps.pop())):
        x = 1 / Decimal(n).sqrt()
    for digits in reversed(steps):
        with decimal.localcontext(_context(digits)):
            left = 1 - n * (x * x)
        with decimal.localcontext(_context(digits // 2 + 8)):
            change = x * left / 2
        with decimal.localcontext(_context(digits)):
            x = x + change
    return x
