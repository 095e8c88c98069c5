"""Promises of maximal marginal relevance."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carma.search.diversity import diversify

VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
SCORES = np.array([1.0, 0.9, 0.5, 0.4])


def test_without_diversity_the_order_stays() -> None:
    assert diversify(SCORES, VECTORS, 3, 0.0).tolist() == [0, 1, 2]


def test_with_diversity_a_double_gives_way() -> None:
    """The best stays first."""
    assert diversify(SCORES, VECTORS, 3, 0.5).tolist() == [0, 2, 1]


def test_full_diversity_takes_what_is_least_like_the_rest() -> None:
    assert diversify(SCORES, VECTORS, 2, 1.0).tolist() == [0, 2]


@given(st.integers(0, 12), st.integers(1, 15), st.floats(0, 1), st.integers(0, 10**6))
def test_each_candidate_is_chosen_at_most_once(count: int, limit: int, diversity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.sort(random.random(count))[::-1]
    vectors = random.normal(size=(count, 3)).astype(np.float32)
    chosen = diversify(scores, vectors, limit, diversity).tolist()
    assert len(chosen) == len(set(chosen)) == min(limit, count)
