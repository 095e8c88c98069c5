"""f and its inverse: their values, their shape, and that they undo each other."""

from __future__ import annotations

import math
import random
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.errors import DomainError
from carma.uml.compression import POLE, compress, expand, expand_steps, slope

LARGEST = sys.float_info.max
above_1 = st.floats(1, LARGEST, exclude_min=True) | st.floats(1, 1000, exclude_min=True)
NO_NUMBERS = (math.nan, math.inf, -math.inf)


def ulps(a: float, b: float) -> int:
    """How many floats lie between two positive floats, one of them counted."""
    first, second = (struct.unpack(">q", struct.pack(">d", each))[0] for each in (a, b))
    return abs(first - second)


def directly(a: float) -> float:
    """f as it is written in the first texts, with 400 bits: neither our formula nor our precision."""
    with mpmath.workprec(400):
        number = mpmath.mpf(a)
        return float(number / (1 + mpmath.log(number + 1) / mpmath.log(number)))


@pytest.mark.parametrize(("a", "value"), [(10, 4.899), (29, 14.43), (6, 2.876)])
def test_f_has_the_values_of_the_first_texts(a: float, value: float) -> None:
    """To the four digits that are given."""
    assert float(f"{compress(a):.4g}") == value


@given(above_1 | st.floats(5e-324, 1, exclude_max=True))
def test_f_is_the_formula_rounded_to_the_nearest_float(a: float) -> None:
    """On both sides of the pole, from the smallest float to the largest."""
    assert compress(a) == directly(a)


def test_f_beside_its_pole_is_still_right_to_the_last_bit() -> None:
    """The floats around 1/φ, where the logarithms cancel each other."""
    beside = POLE
    for _ in range(20):
        beside = math.nextafter(beside, 0)
    for _ in range(40):
        assert compress(beside) == directly(beside)
        beside = math.nextafter(beside, 1)


def test_the_pole_lies_at_the_inverse_of_the_golden_ratio() -> None:
    """f is huge on both sides of 0.6180…, above 0 below it and below 0 above it, and no float hits it."""
    below, above = math.nextafter(POLE, 0), math.nextafter(POLE, 1)
    found = [compress(each) for each in (below, POLE, above)]
    assert min(map(abs, found)) > 1e14
    assert compress(POLE - 1e-9) > 0 > compress(POLE + 1e-9)


def test_the_gap_at_1_is_closed_by_its_limit() -> None:
    """f(1) = 0, the slope there is 1 / ln 2, and the floats beside 1 fit to both."""
    assert compress(1.0) == 0.0
    assert slope(1.0) == pytest.approx(1 / math.log(2), rel=1e-15)
    for beside in (math.nextafter(1, 2), math.nextafter(1, 0)):
        assert compress(beside) / (beside - 1) == pytest.approx(1 / math.log(2), rel=1e-15)


@pytest.mark.parametrize("a", [0.0, -0.0, -1.0, -5e-324, *NO_NUMBERS])
def test_f_is_refused_outside_its_domain(a: float) -> None:
    """A typed error, also for what is no number."""
    with pytest.raises(DomainError):
        compress(a)


@given(above_1, above_1)
def test_f_is_strictly_increasing_above_1(a: float, b: float) -> None:
    """Of two different floats the larger has the larger value."""
    low, high = sorted((a, b))
    assert (compress(low) < compress(high)) == (low < high)


@given(above_1.filter(lambda a: a < LARGEST))
def test_f_is_strictly_increasing_from_float_to_float(a: float) -> None:
    """Rounding makes no two neighbours equal."""
    assert compress(a) < compress(math.nextafter(a, math.inf))


@given(above_1)
def test_f_is_below_half_of_a(a: float) -> None:
    """Strictly, until the distance of 1 / (4 ln a) is lost in rounding at 2^46."""
    assert compress(a) <= a / 2
    assert a > 2**46 or compress(a) < a / 2


@given(st.floats(1e-6, POLE - 1e-9))
def test_f_is_above_a_below_the_pole(a: float) -> None:
    """There it enlarges; "compression" is a name."""
    assert compress(a) > a


@given(st.floats(POLE + 1e-9, 1, exclude_max=True))
def test_f_is_below_0_between_the_pole_and_1(a: float) -> None:
    """From minus infinity up to 0."""
    assert compress(a) < 0


@given(st.floats(1, LARGEST), st.floats(1, LARGEST))
def test_the_slope_falls_towards_one_half(a: float, b: float) -> None:
    """From 1 / ln 2; so f is concave. A few units of the last bit are the doubles'."""
    low, high = sorted((a, b))
    assert 0.5 * (1 - 1e-14) <= slope(high) <= slope(low) * (1 + 1e-14) <= (1 + 2e-14) / math.log(2)


@given(above_1)
def test_every_float_above_1_comes_back(a: float) -> None:
    """The inverse of f of a float is that very float, without an error in the last bit."""
    assert expand(compress(a)) == a


@given(st.floats(1, compress(LARGEST)))
def test_f_of_the_inverse_is_near_in_the_last_bits(y: float) -> None:
    """The other way round the rounding of a is enlarged a little: at most two units of the last place."""
    assert ulps(compress(expand(y)), y) <= 2


@given(st.floats(0, compress(LARGEST)))
def test_newtons_method_is_short(y: float) -> None:
    """At most eight steps, from 0 to the largest value."""
    a, steps = expand_steps(y)
    assert a >= 1
    assert steps <= 8


def test_the_inverse_goes_to_both_ends() -> None:
    """0 comes from 1, the value of the largest float from that float."""
    assert expand(0.0) == 1.0
    assert expand(compress(LARGEST)) == LARGEST


@pytest.mark.parametrize("y", [-5e-324, -1.0, math.nextafter(compress(LARGEST), math.inf), *NO_NUMBERS])
def test_the_inverse_is_refused_outside_the_values_of_f(y: float) -> None:
    """Below 0 and above the value of the largest float."""
    with pytest.raises(DomainError):
        expand(y)


@pytest.mark.parametrize("a", [0.5, math.nextafter(1, 0), *NO_NUMBERS])
def test_the_slope_is_refused_below_1(a: float) -> None:
    """It is given where the inverse needs it."""
    with pytest.raises(DomainError):
        slope(a)


def test_the_precision_is_nobody_elses() -> None:
    """What others do with mpmath's global precision, and threads beside each other, change no bit."""
    numbers = [1 + 1.37**at for at in range(-60, 400)]
    alone = [compress(a) for a in numbers]
    before = mpmath.mp.prec
    try:
        mpmath.mp.prec = 10
        with ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                assert list(pool.map(compress, numbers)) == alone
                assert list(pool.map(expand, alone)) == numbers
    finally:
        mpmath.mp.prec = before


@pytest.mark.nightly
def test_the_worst_of_200000_round_trips_is_exact() -> None:
    """Over all magnitudes, close to 1, and in the middle: no unit in the last place is lost."""
    chance = random.Random(2026)
    draw = (
        lambda: math.exp(chance.uniform(1e-9, 709.7)),
        lambda: 1 + math.exp(chance.uniform(-36, 5)),
        lambda: chance.uniform(1.000001, 1000),
    )
    worst = 0
    for at in range(200_000):
        a = draw[at % 3]()
        if a > 1:
            worst = max(worst, ulps(expand(compress(a)), a))
    assert worst == 0
