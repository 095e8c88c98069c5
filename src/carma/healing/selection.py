"""Which sentences of the context stand in for a lost text, or beside its terms.

The idea: the embedding of several sentences lies near the sum of theirs, so a few sentences are embedded
once, all combinations of up to three are estimated as sums, and only the most promising are embedded as they
would stand. Where no sketch says what was meant, the middle of what surrounded it stands in: a guess, and
told as one. Rejected: one sentence after the other, greedily, with an embedding for each try.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from carma.healing.context import Nearby, Sentence, sentences_of
from carma.healing.guide import coverage, score
from carma.healing.signs import Vectors, cosines
from carma.healing.sketch import Sketch

__all__ = ["Embed", "Part", "chosen"]

Embed = Callable[[Sequence[str]], Vectors]

MOST_SENTENCES = 3  # in one text
_GAIN = 0.02  # by which each sentence must bring the text nearer
_VERIFIED = 4  # combinations are embedded, the rest are estimated
_MIDDLE = 5  # of the nearest fragments stand in where no sketch is


@dataclass(frozen=True, slots=True)
class Part:
    """A text and the ids of the fragments it was taken from."""

    text: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Aim:
    """What is aimed at: the signs of a sketch, or where there is none the middle of the context."""

    sketch: Sketch | None
    middle: Vectors | None

    def estimate(self, vectors: Vectors) -> Vectors:
        if self.middle is None:
            assert self.sketch is not None
            return cosines(self.sketch.signs, vectors)
        near: Vectors = vectors @ self.middle
        return near

    def measure(self, vectors: Vectors, texts: Sequence[str]) -> Vectors:
        return (
            score(self.sketch, vectors, texts)
            if self.sketch and self.middle is None
            else self.estimate(vectors)
        )


def chosen(
    sketch: Sketch | None,
    terms: Part | None,
    nearest: Sequence[Nearby],
    embed: Embed | None,
    *,
    most_texts: int,
    most_characters: int,
) -> tuple[Part, float]:
    """The best text of terms and sentences, and its score against the sketch (0 where there is none).

    At most `most_texts` texts are embedded. A text without sentences is kept unless one with them is clearly
    nearer.
    """
    sentences = [one for one in sentences_of(nearest) if len(one.text) <= most_characters]
    nothing = terms or Part("", ())
    if not sentences:
        return nothing, _final(sketch, nothing, embed)
    if embed is None or most_texts < 2 * _VERIFIED:
        part = terms or _joined(None, _promising(sketch, sentences, nearest)[:1])
        return part, _final(sketch, part, None)
    blind = sketch is None or not sketch.signs
    middle_texts = [one.text[:most_characters] for one in nearest[:_MIDDLE]] if blind else []
    room = most_texts - _VERIFIED - len(middle_texts) - (terms is not None)
    tried = _promising(sketch, sentences, nearest)[:room]
    first = ([terms.text] if terms else []) + [one.text for one in tried]
    vectors = embed(first + middle_texts)
    middle = _unit(vectors[len(first) :].sum(axis=0)) if middle_texts else None
    aim = _Aim(sketch, middle)
    parts = _estimated(aim, terms, tried, vectors[: len(first)], most_characters)[:_VERIFIED]
    texts = [part.text for part, _ in parts]
    near = aim.measure(embed(texts), texts)
    worth = [float(one) - _GAIN * count for one, (_, count) in zip(near, parts, strict=True)]
    best = max(range(len(parts)), key=lambda at: (worth[at], -at))
    if terms is not None:
        alone = float(aim.measure(vectors[:1], [terms.text])[0])
        if alone >= worth[best]:
            return terms, alone
    return parts[best][0], 0.0 if blind else float(near[best])


def _final(sketch: Sketch | None, part: Part, embed: Embed | None) -> float:
    if sketch is None or not part.text:
        return 0.0
    return float(score(sketch, embed([part.text]) if embed and sketch.signs else None, [part.text])[0])


def _promising(
    sketch: Sketch | None, sentences: Sequence[Sentence], nearest: Sequence[Nearby]
) -> list[Sentence]:
    """The sentences, the most promising first: by shared terms, by their fragment's vector, and by
    nearness."""
    near = {one.id: 1.0 / (1 + one.distance) for one in nearest}
    with_vector = [one for one in nearest if one.vector is not None]
    if sketch is not None and sketch.signs and with_vector:
        known = cosines(sketch.signs, np.stack([one.vector for one in with_vector if one.vector is not None]))
        for one, cosine in zip(with_vector, known, strict=True):
            near[one.id] += float(cosine)
    shared = (
        coverage(sketch, [one.text for one in sentences])
        if sketch and sketch.units
        else np.zeros(len(sentences))
    )
    worth = {one.place: near[one.fragment] + float(part) for one, part in zip(sentences, shared, strict=True)}
    return sorted(sentences, key=lambda one: (-worth[one.place], one.place))


def _estimated(
    aim: _Aim, terms: Part | None, tried: Sequence[Sentence], vectors: Vectors, most_characters: int
) -> list[tuple[Part, int]]:
    """Texts of one to three sentences with how many sentences they have, the best first by their summed
    vectors."""
    offset = int(terms is not None)
    weights = np.asarray([max(len(one.text), 1) for one in tried], np.float32)
    parts, sums = [], []
    for count in range(1, MOST_SENTENCES + 1):
        for picked in combinations(range(len(tried)), count):
            part = _joined(terms, [tried[at] for at in picked])
            if len(part.text) > most_characters:
                continue
            total = sum(
                (weights[at] * vectors[offset + at] for at in picked), start=np.zeros_like(vectors[0])
            )
            parts.append((part, count))
            sums.append(total + (len(terms.text) * vectors[0] if terms else 0))
    if not parts:  # terms and any sentence together are too long
        return [(terms or _joined(None, tried[:1]), 0)]
    estimated = aim.estimate(_unit_rows(np.stack(sums)))
    order = sorted(range(len(parts)), key=lambda at: (_GAIN * parts[at][1] - float(estimated[at]), at))
    return [parts[at] for at in order]


def _joined(terms: Part | None, sentences: Sequence[Sentence]) -> Part:
    texts = ([terms.text] if terms else []) + [
        one.text for one in sorted(sentences, key=lambda one: one.place)
    ]
    ids = (terms.sources if terms else ()) + tuple(one.fragment for one in sentences)
    return Part(" ".join(texts), tuple(dict.fromkeys(ids)))


def _unit(vector: Vectors) -> Vectors:
    length = float(np.linalg.norm(vector))
    unit: Vectors = vector / length if length > 0 else vector
    return unit


def _unit_rows(vectors: Vectors) -> Vectors:
    rows: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return rows
