"""The nine layers of the first texts' "multi-layer compression", each a function with a name and a domain.

The texts name the functions (f, sin, cos, tan, exp, log, sqrt) and not how they are joined. Here each layer
is one of them in a form whose values lie in the domain of the next, so that every finite number above 1 goes
through all nine. What the layers do to a set of different numbers can be counted: some are one to one, some
fold, and rounding to a float merges what lies close together. What a key keeps of the result is six decimals:
the million numbers that a user's seconds give lead to a few hundred, or to some ten thousand, of them.

`seeds_layers` is the plainest reading of the texts' own nine rounds. The exponential takes a number near
10^9 and overflows, in the first round already, for every input that a key can have.

Each layer is one expression over a library of functions. With mpmath, in the long precision of
`carma.uml.compression`, it is rounded after each layer and the same on every machine; that is what counts.
With NumPy it is rough in its last bits and a thousand times as fast, which is good enough to search with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carma.errors import DomainError
from carma.uml.compression import compress, in_long_precision

__all__ = [
    "LARGEST_EXPONENT",
    "LAYERS",
    "META_UNITS",
    "Count",
    "Layer",
    "count_distinct",
    "count_metas",
    "evenly",
    "meta_of",
    "neighbours",
    "run",
    "run_roughly",
    "seeds_layers",
    "trace",
]

LARGEST_EXPONENT = 709.0
"""Above this, and a bit, e^a is no float any more."""

META_UNITS = 10**6
"""A key of the first texts keeps so many different values of a number: its first six decimals."""
_ROUNDS = 9
_TINY = 2.0**-60

_long = in_long_precision()


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. formula and domain: as people read them; folds: whether different numbers of the domain
    can have the same exact value; low, high: its domain is low < a <= high; expression: the function, of a
    library with log, sin, cos, tan, exp and sqrt, and of the numbers.
    """

    name: str
    formula: str
    domain: str
    folds: bool
    low: float
    high: float
    expression: Callable[[Any, Any], Any]

    def __call__(self, a: float) -> float:
        """The layer's value, rounded to the nearest float. Raises DomainError outside the domain."""
        if not (math.isfinite(a) and self.low < a <= self.high):
            raise DomainError(f"The layer {self.name} is defined for {self.domain}, not at {a!r}.")
        return float(self.expression(_long, _long.mpf(a)))


@dataclass(frozen=True, slots=True)
class Count:
    """How many different values a set of numbers has after a layer.

    layer: its name, "input" before the first; floats: different floats; metas: different six decimals.
    """

    layer: str
    floats: int
    metas: int


def _f(m: Any, a: Any) -> Any:
    """f as `carma.uml.compression` writes it."""
    return a * m.log(a) / m.log(a * (a + 1))


def _log(m: Any, a: Any) -> Any:
    """ln(1 + a); a itself where 1 + a has too few digits of it left."""
    return a if m is _long and abs(a) < _TINY else m.log(1 + a)


_ANY = "any finite a"
_MAX = math.inf

LAYERS: tuple[Layer, ...] = (
    Layer("compress", "f(a)", "a > 1", False, 1.0, _MAX, _f),
    Layer("log", "ln(1 + a)", "a > -1", False, -1.0, _MAX, _log),
    Layer("sine", "a + sin a", _ANY, False, -_MAX, _MAX, lambda m, a: a + m.sin(a)),
    Layer("root", "sqrt(1 + a)", "a > -1", False, -1.0, _MAX, lambda m, a: m.sqrt(1 + a)),
    Layer("cosine", "2 + cos a", _ANY, True, -_MAX, _MAX, lambda m, a: 2 + m.cos(a)),
    Layer("exponential", "e^a", "a <= 709", False, -_MAX, LARGEST_EXPONENT, lambda m, a: m.exp(a)),
    Layer("tangent", "tan a", _ANY, True, -_MAX, _MAX, lambda m, a: m.tan(a)),
    Layer("hyperbola", "sqrt(2 + a²)", _ANY, True, -_MAX, _MAX, lambda m, a: m.sqrt(2 + a * a)),
    Layer("compress again", "f(a)", "a > 1", False, 1.0, _MAX, _f),
)
"""In this order each layer's values lie in the domain of the next. tan has poles, and no float is one."""


def trace(a: float) -> list[float]:
    """The nine values that `a` > 1 has after each layer. Raises DomainError."""
    values = []
    for layer in LAYERS:
        a = layer(a)
        values.append(a)
    return values


def run(a: float) -> float:
    """The value of `a` > 1 after all nine layers. Raises DomainError."""
    return trace(a)[-1]


def meta_of(value: float) -> int:
    """What a key of the first texts keeps of a value: its first six decimals, as a whole number."""
    return int(_long.mpf(value) * META_UNITS) % META_UNITS


def run_roughly(numbers: Any) -> Any:
    """As `run`, of an array of float64 between 1 and 1e150: within 1e-10 · (1 + value²) of it."""
    for layer in LAYERS:
        numbers = layer.expression(np, numbers)
    return numbers


def count_distinct(numbers: Iterable[float]) -> list[Count]:
    """How many different values a set of numbers above 1 has before and after each layer.

    Takes about 0.2 ms for each number. Raises DomainError.
    """
    different = set(numbers)
    values = [LAYERS[0](a) for a in different]
    counts = [_count("input", list(different)), _count(LAYERS[0].name, values)]
    for layer in LAYERS[1:]:
        values = [layer(value) for value in values]
        counts.append(_count(layer.name, values))
    return counts


def count_metas(start: float, count: int = META_UNITS) -> list[tuple[str, int]]:
    """How many different six decimals `count` numbers in a row from `start` have after each layer, by name.

    By NumPy, so that a million take half a second; a number beside a border may be counted on its other side.
    """
    numbers = start + np.arange(count, dtype=np.float64)
    counts = []
    for layer in LAYERS:
        numbers = layer.expression(np, numbers)
        seen = np.zeros(META_UNITS, dtype=np.bool_)
        seen[(np.floor(numbers * META_UNITS) % META_UNITS).astype(np.int64)] = True
        counts.append((layer.name, int(seen.sum())))
    return counts


def evenly(start: float, count: int, step: float = 1.0) -> list[float]:
    """`count` numbers from `start` on, each `step` above the one before it."""
    return [start + step * at for at in range(count)]


def neighbours(start: float, count: int) -> list[float]:
    """`count` neighbouring floats from `start` on: as many different numbers as fit."""
    found = [start]
    while len(found) < count:
        found.append(math.nextafter(found[-1], math.inf))
    return found


def seeds_layers(a: float) -> float:
    """The first texts' nine rounds in the plainest reading: f, then the sum of the six functions they name.

    Raises OverflowError or ValueError, as Python's `math` does, for every a > 1 that was tried: e^a outgrows
    the floats. Where ∞ stands in place of the exception, sin ∞ is NaN, and NaN makes no key either.
    """
    for _ in range(_ROUNDS):
        if a > 1:
            a = compress(a)
        a = (
            math.sin(a) + math.cos(a) + math.tan(a) + math.exp(a)
            + math.log(1 + abs(a)) + math.sqrt(1 + abs(a))
        )  # fmt: skip
    return a


def _count(name: str, values: Sequence[float]) -> Count:
    return Count(name, len(set(values)), len({meta_of(value) for value in values}))
