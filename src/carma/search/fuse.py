"""One score out of many signs: meaning, words, neighbours, context. A pure function over arrays.

What is fused is a pool: the best by vectors, the best by words, and the siblings beside them. For each of the
pool

    own     = cosine / best cosine + BM25 / best BM25                   each in 0..1, missing = 0
    near    = own + NEIGHBOUR * (the better own of previous and next)
    total   = near + CONTEXT * (the best near of its siblings, itself included, or its parent's own)

so a turn is lifted by the turn it answers, and by the session it belongs to. Dividing by the best, and not by
mean and deviation, needs nothing but the heads of both lists: the same formula serves three fragments, of
which all scores are known, and a million, of which two hundred are (Bruch et al. 2023, "An Analysis of Fusion
Functions for Hybrid Retrieval", prefer such convex sums over ranks too). The two weights lie in the middle of
a wide plateau.

- A fragment that stands alone is its own context, and gets the share of a neighbour half as good as itself,
  so that notes can compete with turns.
- A fragment with children (a heading, a session, a folder) lends its own score to them and is itself judged
  by its own
  alone: what is asked for is mostly below it.

The score that is shown is total / highest total possible * best cosine: it lies in -1..1, and where nothing
is close in meaning everything scores low. Without vectors that last factor is 1.

Rejected: reciprocal ranks (they forget how much better the best is; 0.66 against 0.69 before neighbours),
standard scores (they depend on how many fragments are known), adding up a session (long ones win).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTEXT", "NEIGHBOUR", "Fused", "Pool", "fuse"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEIGHBOUR: Final = 0.4
"""Share of the better sibling beside."""
CONTEXT: Final = 0.5
"""Share of the best of the same section or session."""
ALONE: Final = 0.5
"""How good a neighbour is taken to be, as a share of the fragment itself, where there is no group to have one
in."""
HIGHEST: Final = 2 * (1 + NEIGHBOUR) * (1 + CONTEXT)


class Pool(NamedTuple):
    """What is known of the fragments to be ranked; all arrays have the length of the pool.

    cosine: NaN where there is no vector. words: BM25, higher is better, NaN where no word was found.
    before, after, parent: places in the pool, -1 where there is none or it is not in the pool.
    group: a number that siblings share, -1 for a fragment that stands alone.
    """

    cosine: Floats
    words: Floats
    before: Ints
    after: Ints
    parent: Ints
    group: Ints


class Fused(NamedTuple):
    """Scores of a pool, and the parts as they entered the sum (before scaling)."""

    scores: Floats
    neighbours: Floats
    context: Floats


def fuse(pool: Pool) -> Fused:
    """Scores a pool; an empty one gives empty arrays."""
    count = len(pool.cosine)
    if not count:
        return Fused(np.empty(0), np.empty(0), np.empty(0))
    closeness, best_cosine = _shares(pool.cosine)
    own = closeness + _shares(pool.words)[0]
    heads = np.zeros(count, np.bool_)
    heads[pool.parent[pool.parent >= 0]] = True
    lone = pool.group < 0

    beside = np.maximum(_at(own, pool.before), _at(own, pool.after))
    neighbours = NEIGHBOUR * np.where(lone, ALONE * own, beside)
    near = own + neighbours
    context = CONTEXT * np.where(
        lone, near, np.maximum(_best_of_group(near, pool.group), _at(own, pool.parent))
    )
    neighbours[heads] = 0.0
    context[heads] = 0.0
    total = own + neighbours + context
    scale = 1.0 if np.isnan(pool.cosine).all() else max(best_cosine, 0.0)
    return Fused(total / HIGHEST * scale, neighbours, context)


def _shares(values: Floats) -> tuple[Floats, float]:
    """Each value as a share of the best, 0 where it is missing or not positive; and the best."""
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    best = float(known.max(initial=0.0))
    if best <= 0.0:
        return np.zeros(len(values)), 0.0
    return np.maximum(known, 0.0) / best, best


def _at(values: Floats, places: Ints) -> Floats:
    """The value at each place, 0 where there is none."""
    return np.where(places >= 0, values[places], 0.0)


def _best_of_group(values: Floats, group: Ints) -> Floats:
    """The best value among those of the same group, for each."""
    _, number = np.unique(group, return_inverse=True)
    best = np.full(int(number.max()) + 1, -np.inf)
    np.maximum.at(best, number, values)
    return np.asarray(best[number])
