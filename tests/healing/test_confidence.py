"""Confidence: a number that grows with what is known and stays a probability."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.healing.confidence import NAMES, WEIGHTS, Features, confidence_of, row

ANY = st.builds(
    Features,
    similarity=st.floats(-1, 1),
    share=st.floats(0, 1),
    terms=st.integers(0, 20_000),
    exact=st.booleans(),
    context=st.integers(0, 1000),
)


@given(ANY)
def test_confidence_is_a_chance(features: Features) -> None:
    """Whatever is known, it is never certain and never impossible."""
    assert 0.01 <= confidence_of(features) <= 0.99
    assert len(row(features)) == len(NAMES) == len(WEIGHTS)


@given(st.floats(0.6, 1), st.integers(0, 200), st.integers(0, 64))
def test_more_of_the_text_makes_surer(similarity: float, terms: int, context: int) -> None:
    """Of two reconstructions alike, the one of which a larger share was kept is told with more confidence."""
    sure = [
        confidence_of(Features(similarity=similarity, share=share, terms=terms, exact=False, context=context))
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert sure == sorted(sure)
    assert sure[0] < sure[-1]


@given(st.floats(0, 1), st.integers(0, 200))
def test_a_text_that_agrees_more_is_surer(share: float, terms: int) -> None:
    """Of two texts for one sketch, the one nearer to it never has less confidence."""
    sure = [
        confidence_of(Features(similarity=near, share=share, terms=terms, exact=False, context=8))
        for near in (-1.0, 0.0, 0.5, 0.9, 1.0)
    ]
    assert sure == sorted(sure)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.01, 0.2), (0.95, 0.8, 0.99)])
def test_confidence_says_little_of_context_alone(share: float, least: float, most: float) -> None:
    """Nearly all terms kept is nearly sure; context alone is nearly nothing."""
    features = Features(similarity=0.9, share=share, terms=40, exact=False, context=8)
    assert least <= confidence_of(features) <= most


def test_what_was_kept_to_the_letter_is_as_sure_as_can_be() -> None:
    """An exact sketch has the highest confidence there is; the digest is what proves it."""
    features = Features(similarity=1.0, share=1.0, terms=3, exact=True, context=0)
    assert confidence_of(features) == 0.99
