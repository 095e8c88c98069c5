"""Maximal marginal relevance: hits that are good and unlike one another (Carbonell and Goldstein, SIGIR
1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["diversify"]


def diversify(
    scores: NDArray[np.float64], vectors: NDArray[np.float32], limit: int, diversity: float
) -> NDArray[np.int64]:
    """Places of up to `limit` candidates, in the order they are chosen.

    scores: best first, shape (n,). vectors: shape (n, d), L2-normalised, a row of zeros where there is none.
    diversity: weight in 0..1 of being unlike what was chosen; 0 keeps the order, 1 looks at the scores once
    only.

    Each step takes the candidate with the largest (1 - diversity) · score / best score - diversity ·
    likeness, where likeness is the largest cosine to what was chosen before.
    """
    count = len(scores)
    limit = min(limit, count)
    if diversity <= 0.0 or limit < 2:
        return np.arange(limit, dtype=np.int64)
    best = float(scores[0])
    value = (1.0 - diversity) * (scores / best if best > 0.0 else scores)
    likeness = np.full(count, -1.0)
    chosen = np.empty(limit, np.int64)
    chosen[0] = 0
    open_ = np.ones(count, np.bool_)
    for step in range(1, limit):
        last = int(chosen[step - 1])
        open_[last] = False
        np.maximum(likeness, vectors @ vectors[last], out=likeness)
        chosen[step] = int(np.argmax(np.where(open_, value - diversity * likeness, -np.inf)))
    return chosen
