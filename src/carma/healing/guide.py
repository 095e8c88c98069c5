"""The guide: how near a text comes to a sketch. It chooses words; it never judges them.

The idea: two views of the lost text, each 0 to 1 at best, meet in one number: the cosine that the signs allow
to estimate, and how much of the kept terms a text has, weighed by what each term cost. The mean of those that
are there. The number only orders texts against one sketch; it says nothing by itself. Rejected: terms alone,
which cannot tell two sentences without them apart, and signs alone, to which a paraphrase without the name
looks as good as the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from carma.healing.language import language
from carma.healing.signs import Vectors, cosines
from carma.healing.sketch import Sketch
from carma.healing.terms import pieces_of
from carma.healing.units import units_of

__all__ = ["bits_of", "coverage", "score"]


def score(sketch: Sketch, vectors: Vectors | None, texts: Sequence[str]) -> Vectors:
    """How near each text comes to the sketch: float32, shape (n,), -1 to 1, higher is nearer.

    vectors: of the texts, float32 (n, d), by the embedder that made the signs; None leaves the signs out. A
    sketch that holds nothing gives zeros.
    """
    views = []
    if sketch.signs and vectors is not None:
        views.append(cosines(sketch.signs, vectors))
    if any(unit.word for unit in sketch.units) or sketch.whole:
        views.append(coverage(sketch, texts))
    if not views:
        return np.zeros(len(texts), np.float32)
    mixed: Vectors = np.mean(views, axis=0, dtype=np.float32)
    return mixed


def coverage(sketch: Sketch, texts: Sequence[str]) -> Vectors:
    """How much of the sketch's terms each text has, weighed by their cost in bits: float32, shape (n,), 0 to
    1.

    Of a sketch that is whole, what a text has beyond the terms counts against it (F1 instead of recall).
    """
    wanted = Counter(unit.plain for unit in sketch.units if unit.word)
    total = bits_of(wanted)
    found = []
    for text in texts:
        has = Counter(unit.plain for unit in units_of(text)[0] if unit.word)
        common = bits_of(wanted & has)
        against = total + bits_of(has) if sketch.whole else 2 * total
        found.append(2 * common / against if against else 1.0)
    return np.asarray(found, np.float32)


def bits_of(counted: Counter[str]) -> float:
    """What words cost together where nothing is known of what stands before them, in bits."""
    model = language()
    return sum(often * sum(map(model.bits, pieces_of(word))) for word, often in counted.items())
