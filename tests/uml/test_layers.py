"""The nine layers: their domains, their order, and what they leave of different numbers."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import DomainError
from carma.uml.layers import (
    LARGEST_EXPONENT,
    LAYERS,
    Layer,
    count_distinct,
    count_metas,
    evenly,
    meta_of,
    neighbours,
    run,
    run_roughly,
    seeds_layers,
    trace,
)

LARGEST = sys.float_info.max
NAMES = [layer.name for layer in LAYERS]
above_1 = st.floats(1, LARGEST, exclude_min=True) | st.floats(1, 100, exclude_min=True)
DIRECTLY = {
    "log": math.log1p,
    "sine": lambda a: a + math.sin(a),
    "root": lambda a: math.sqrt(1 + a),
    "cosine": lambda a: 2 + math.cos(a),
    "exponential": math.exp,
    "tangent": math.tan,
    "hyperbola": lambda a: math.sqrt(2 + a * a),
}


def test_there_are_nine_with_names_of_their_own() -> None:
    """f, sin, cos, tan, exp, log and sqrt are among them."""
    assert len(LAYERS) == 9 == len(set(NAMES))
    assert set(DIRECTLY) | {"compress", "compress again"} == set(NAMES)


@pytest.mark.parametrize("layer", LAYERS, ids=NAMES)
def test_a_layer_is_the_function_it_names(layer: Layer) -> None:
    """Beside the C library's value, which may differ in the last bits."""
    if layer.name in DIRECTLY:
        for a in (0.0, 1e-20, 0.3, 1.0, 2.5, 7.0, 30.0):
            assert layer(a) == pytest.approx(DIRECTLY[layer.name](a), rel=1e-13, abs=1e-300)


@settings(max_examples=60)
@given(above_1)
def test_every_number_above_1_goes_through_all_nine(a: float) -> None:
    """Each layer's values lie in the domain of the next, and the end is a finite number above 0."""
    values = trace(a)
    assert len(values) == 9
    assert all(map(math.isfinite, values))
    assert values[-1] == run(a) > 0


@pytest.mark.parametrize("a", [1.0, 0.5, 0.0, -3.0, math.nan, math.inf, -math.inf])
def test_what_lies_outside_is_refused_by_the_first_layer(a: float) -> None:
    """And the layer is named."""
    with pytest.raises(DomainError, match="compress"):
        run(a)


@pytest.mark.parametrize(
    ("name", "a"),
    [
        ("log", -1.0),
        ("root", -1.0),
        ("root", -7.0),
        ("exponential", math.nextafter(LARGEST_EXPONENT, math.inf)),
        *((name, each) for name in NAMES for each in (math.nan, math.inf, -math.inf)),
    ],
)
def test_each_layer_has_a_domain(name: str, a: float) -> None:
    """Instead of an infinity, a NaN or a complex number there is a typed error."""
    with pytest.raises(DomainError, match=name):
        LAYERS[NAMES.index(name)](a)


@settings(max_examples=60)
@given(st.sampled_from([layer for layer in LAYERS if not layer.folds]), above_1, above_1)
def test_a_layer_that_does_not_fold_keeps_the_order(layer: Layer, a: float, b: float) -> None:
    """It is one to one before rounding, so rounding at most makes neighbours equal."""
    low, high = sorted(min(each, LARGEST_EXPONENT) for each in (a, b))
    assert layer(low) <= layer(high)


@pytest.mark.parametrize(
    ("name", "a", "b"), [("cosine", -1.5, 1.5), ("hyperbola", -3.0, 3.0), ("tangent", 0.0, 0.0)]
)
def test_a_layer_that_folds_has_equal_values_of_different_numbers(name: str, a: float, b: float) -> None:
    """The cosine and the hyperbola at opposite numbers; the tangent after one period, but for rounding."""
    layer = LAYERS[NAMES.index(name)]
    assert layer.folds
    assert layer(a) == layer(b)
    assert LAYERS[NAMES.index("tangent")](0.5 + math.pi) == pytest.approx(math.tan(0.5), rel=1e-14)


def test_what_is_left_is_counted() -> None:
    """Of 300 neighbouring floats f keeps all; the logarithm merges some; no layer brings any back."""
    counts = count_distinct(neighbours(10.0, 300))
    assert [each.layer for each in counts] == ["input", *NAMES]
    floats = [each.floats for each in counts]
    assert floats[:2] == [300, 300]
    assert floats[2] < 300
    assert floats == sorted(floats, reverse=True)
    assert floats[-1] < 60
    assert counts[-1].metas == 1


def test_a_keys_decimals_forget_most_of_its_seconds() -> None:
    """1,000 seconds in a row, all different to the end as floats, share a few values of six decimals."""
    counts = count_distinct(evenly(4e9, 1000))
    assert counts[-1].floats == 1000
    assert counts[-1].metas < 20


def test_metas_of_many_are_counted_as_those_of_each() -> None:
    """2,000 numbers in a row: the quick count is the exact one, up to a border here and there."""
    exact = [count.metas for count in count_distinct(evenly(3e7, 2000))[1:]]
    quick = [count for _, count in count_metas(3e7, 2000)]
    assert [name for name, _ in count_metas(3e7, 1)] == NAMES
    assert all(abs(a - b) <= 2 for a, b in zip(exact, quick, strict=True)), (exact, quick)


def test_nothing_different_is_counted_twice() -> None:
    """Equal numbers are one."""
    assert count_distinct([7.0, 7.0, 8.0])[0].floats == 2


@given(st.floats(0, 1e300))
def test_a_meta_has_six_digits(value: float) -> None:
    """It is the whole number that a key writes."""
    assert 0 <= meta_of(value) < 1_000_000
    assert meta_of(12.3456789) == 345678


@given(st.integers(2**20, 2**32 + 10**6 + 10**4))
def test_the_first_texts_layers_overflow_for_every_key(number: int) -> None:
    """For whatever a name's hash and a second add up to."""
    with pytest.raises(OverflowError):
        seeds_layers(float(number))


@settings(max_examples=60)
@given(st.lists(st.floats(1.001, 1e150) | st.integers(2**20, 2**33).map(float), min_size=1, max_size=20))
def test_the_rough_values_are_near(numbers: list[float]) -> None:
    """NumPy's, which the search for a second begins with."""
    for a, rough in zip(numbers, run_roughly(np.array(numbers)), strict=True):
        assert abs(rough - run(a)) <= 1e-10 * (1 + run(a) ** 2)


def test_the_values_are_the_same_everywhere() -> None:
    """Pinned: a key of the scheme made on one machine is found on another."""
    assert run(4e9) == 3.403926793179433
    assert run(1.0000000000000002) == 0.40271662129738356
    assert run(LARGEST) == 6.414676994914701
