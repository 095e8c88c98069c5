"""The recursive compression f(a) = a / (1 + log_a(a + 1)), and its inverse.

"Compression" is the first texts' word: f maps numbers to numbers and makes nothing smaller. Written with
natural logarithms, f(a) = a · ln a / ln(a · (a + 1)). From this form everything can be read:

    a <= 0          not defined
    0 < a < 1/φ     above a; the values leave for +∞ towards 1/φ = 0.6180…
    a = 1/φ         a pole, because there a · (a + 1) = 1
    1/φ < a < 1     below 0, from -∞
    a = 1           removable: log_1 does not exist, the limit does; f(1) = 0, f'(1) = 1 / ln 2
    a > 1           strictly increasing and concave, onto (0, ∞), below a / 2, with a slope above 1/2

So f has an inverse on (1, ∞). Newton's method finds it: in double precision first, then one step in long
precision, which doubles the number of right digits. The long precision is mpmath's, fixed at 120 bits and
rounded to a float once, at the end; so every machine gives the same float, whatever its C library
(docs/decisions/0011). Rejected: `math.log` alone (its last bit is the platform's), and `gmpy2` (LGPL).
"""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any

from mpmath import MPContext

from carma.errors import DomainError

__all__ = ["POLE", "PRECISION_BITS", "compress", "expand", "expand_steps", "in_long_precision", "slope"]

PRECISION_BITS = 120
"""The working precision. A float has 53 bits, and cancellation beside the pole costs at most 53."""

POLE = (math.sqrt(5.0) - 1.0) / 2.0
"""1/φ, rounded: the pole itself is irrational, so no float hits it."""

_MOST_STEPS = 16
_CLOSE = 2.0**-44
"""The relative step at which double precision has done its part; the long step squares what is left."""

_LONG = MPContext()
_LONG.prec = PRECISION_BITS
# Only + - * / and ln, exp, sqrt, sin, cos, tan are used of it: they read the precision and never set it, so
# threads can share it.


def in_long_precision() -> Any:
    """The mpmath context of this package: 120 bits, rounding to the nearest. Nobody may change it."""
    return _LONG


def compress(a: float) -> float:
    """f(a) for a finite a > 0; f(1) is its limit, 0.

    The result is f(a) rounded to the nearest float. Raises DomainError at a <= 0, infinity and NaN.
    """
    _finite(a, "f(a)")
    if a <= 0:
        raise DomainError(f"f(a) is not defined at {a!r}: a must be above 0.")
    long = _LONG.mpf(a)
    return float(long * _LONG.ln(long) / _LONG.ln(long * (long + 1)))


def slope(a: float) -> float:
    """f'(a) for a >= 1, right to a few units of the last place. It falls from 1 / ln 2 towards 1/2.

    Raises DomainError below 1, at infinity and NaN.
    """
    _finite(a, "f'(a)")
    if a < 1:
        raise DomainError(f"f'(a) is given from 1 on, not at {a!r}.")
    log = math.log(a)
    both = log + math.log1p(a)
    return (log + 1) / both - log * (1 + a / (a + 1)) / (both * both)


def expand(y: float) -> float:
    """The a >= 1 with f(a) = y, rounded to the nearest float.

    Raises DomainError below 0, at infinity and NaN, and above f of the largest float (8.99e307).
    """
    return expand_steps(y)[0]


def expand_steps(y: float) -> tuple[float, int]:
    """As `expand`, with the number of Newton steps that it took, the long one included."""
    _finite(y, "the inverse of f")
    if y < 0:
        raise DomainError(f"f takes no value below 0 on [1, ∞), so not {y!r}.")
    if y > _largest():
        raise DomainError(f"The a with f(a) = {y!r} is above the largest float.")
    a, steps = _in_double(y)
    long = _LONG.mpf(a)
    log, both = _LONG.ln(long), _LONG.ln(long * (long + 1))
    rise = (log + 1) / both - log * (1 + long / (long + 1)) / (both * both)
    return float(long - (long * log / both - y) / rise), steps + 1


def _in_double(y: float) -> tuple[float, int]:
    """Newton's method in double precision, and how many steps it took.

    f is concave, so a step from anywhere leads to the left of the root, and those after it climb towards it.
    The start is the first terms of the inverse at infinity; near 1, where they mean nothing, the tangent
    at 1.
    """
    a = 2 * y + 1 / (2 * math.log(2 * y)) if y > 1 else 1 + y * math.log(2)
    a = min(a, sys.float_info.max)
    for taken in range(1, _MOST_STEPS):
        log = math.log(a)
        step = (a * (log / (log + math.log1p(a))) - y) / slope(a)
        a = min(max(a - step, 1.0), sys.float_info.max)
        if abs(step) <= _CLOSE * a:
            return a, taken
    raise AssertionError(f"Newton's method did not come close for {y!r}")


@cache
def _largest() -> float:
    return compress(sys.float_info.max)


def _finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise DomainError(f"{what} needs a finite number, not {value!r}.")
