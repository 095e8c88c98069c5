"""How sure a reconstruction is: the chance that it would serve, from what is known without the lost text.

The idea: a logistic function of a handful of features, fitted on reconstructions of conversations whose texts
were known (`tools/fit_confidence.py`), so that of those told with 0.8 about 0.8 serve. "Would serve" is
`quality.judged_good`: words and names counted, not the guide's own opinion. Rejected: the similarity itself,
which is high for fluent nonsense.

Source: J. Platt, "Probabilistic outputs for support vector machines", 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

__all__ = ["NAMES", "WEIGHTS", "Features", "confidence_of", "row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What is known of a reconstruction.

    similarity: to the sketch, -1 to 1. share: of the text's terms that the sketch kept, 0 to 1; terms: how
    many that are. exact: kept to the letter. context: how many fragments surrounded it; it is not weighed,
    because in the fit it said nothing that the share did not.
    """

    similarity: float
    share: float
    terms: int
    exact: bool
    context: int


NAMES = ("one", "known", "known squared", "terms")
WEIGHTS = (-7.24, 3.68, 33.26, 1.44)
_MOST, _LEAST = 0.99, 0.01
_MANY_TERMS = 100


def confidence_of(features: Features) -> float:
    """The chance that the rebuilt text would serve, 0.01 to 0.99."""
    if features.exact:
        return _MOST
    total = sum(weight * value for weight, value in zip(WEIGHTS, row(features), strict=True))
    return min(_MOST, max(_LEAST, 1 / (1 + exp(-max(-30.0, min(30.0, total))))))


def row(features: Features) -> tuple[float, ...]:
    """The features as the numbers that are weighed, in the order of `NAMES`.

    What is known of a text is the share of its terms that was kept, as far as the rebuilt text agrees with
    it.
    """
    known = features.share * max(features.similarity, 0.0)
    return 1.0, known, known**2, min(features.terms, _MANY_TERMS) / _MANY_TERMS
