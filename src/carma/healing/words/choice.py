"""A choice among a few classes from many yes-or-no traits: multinomial logistic regression on hashed traits.

Trained in seconds on 100,000 examples with NumPy alone. Rejected: counts with back-off, because the traits
overlap and only a joint fit knows it; a neural tagger, which would bring a runtime and weights for a rung
that is needed once in a while.

Source: Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning", JMLR 12 (2011), for the
steps.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRAIT_BITS", "Choice"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TRAIT_BITS: Final = 22
_BATCH: Final = 1_024
_SEEN_LEAST: Final = 2
"""A trait that occurs once in the examples teaches nothing about another text."""


class _Batch(NamedTuple):
    """Some examples, and their traits in order: which are touched, where each begins, in which examples."""

    rows: NDArray[np.int32]
    labels: Ints
    touched: NDArray[np.int32]
    begins: Ints
    examples: NDArray[np.int32]

    @classmethod
    def of(cls, rows: NDArray[np.int32], labels: Ints) -> _Batch:
        flat = rows.ravel()
        order = np.argsort(flat, kind="stable")
        flat = flat[order]
        begins = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
        return cls(rows, labels, flat[begins], begins, (order // rows.shape[1]).astype(np.int32))


class Choice:
    """Log-probabilities of `classes` classes.

    traits: (examples, traits each) numbers below 2**TRAIT_BITS. labels: (examples,) below `classes`.
    rate, damping: of the steps; a large damping makes the first steps small, which few examples need.
    """

    def __init__(
        self,
        traits: Ints,
        labels: Ints,
        classes: int,
        *,
        epochs: int = 6,
        rate: float = 0.1,
        damping: float = 10.0,
    ) -> None:
        seen = np.bincount(traits.ravel(), minlength=1 << TRAIT_BITS) >= _SEEN_LEAST
        known = np.flatnonzero(seen)
        self._row = np.zeros(1 << TRAIT_BITS, np.int32)
        self._row[known] = np.arange(1, len(known) + 1)
        self._weights: Floats = np.zeros((len(known) + 1, classes), np.float32)
        self._prior: Floats = np.log(np.bincount(labels, minlength=classes) + 0.5).astype(np.float32)
        self._prior -= self._prior.max()
        self._fit(self._row[traits], labels, epochs, rate, damping)

    def _fit(self, rows: NDArray[np.int32], labels: Ints, epochs: int, rate: float, damping: float) -> None:
        """Adagrad, one step size per trait, over the same shuffled batches in every epoch."""
        weights = self._weights
        total = np.full((len(weights), 1), damping, np.float32)
        order = np.random.default_rng(0).permutation(len(rows))
        batches = [
            _Batch.of(rows[batch], labels[batch])
            for batch in np.split(order, range(_BATCH, len(order), _BATCH))
        ]
        for _ in range(epochs):
            for batch in batches:
                step = np.exp(self._scores(batch.rows))
                step[np.arange(len(step)), batch.labels] -= 1.0
                slope = np.add.reduceat(step[batch.examples], batch.begins, axis=0)
                touched = batch.touched
                total[touched] += np.mean(slope * slope, axis=1, keepdims=True)
                weights[touched] -= rate * slope / np.sqrt(total[touched])
                weights[0] = 0.0

    def _scores(self, rows: NDArray[np.int32]) -> Floats:
        scores: Floats = self._weights[rows].sum(axis=1) + self._prior
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores

    def logs(self, traits: Ints) -> Floats:
        """(examples, classes): log-probabilities."""
        return self._scores(self._row[traits])

    def part(self, traits: Ints) -> Floats:
        """(examples, classes): the share of some of the traits in the scores, to be added up by `finish`."""
        return self._weights[self._row[traits]].sum(axis=1)  # type: ignore[no-any-return]

    def finish(self, parts: Floats) -> Floats:
        """Log-probabilities from summed parts."""
        scores: Floats = parts + self._prior
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores
