"""The composer: a lost text from its sketch and what surrounded it.

The idea: the sketch's own terms come first, written as the context writes them; where all of them were kept,
that is the answer, and nothing is embedded. Where a sketch has few terms and signs, sentences of the context
are added as long as they bring the text nearer to it; where there are no terms they stand in. Rejected:
sentences beside terms without signs to check them by (every such sentence cost more words than it brought),
and a beam over single words with an embedding for each step: the terms already stand in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carma.healing.confidence import Features, confidence_of
from carma.healing.context import Context, Nearby, spellings
from carma.healing.guide import score
from carma.healing.selection import Embed, Part, chosen
from carma.healing.signs import Vectors
from carma.healing.sketch import Sketch
from carma.healing.units import Unit, text_of

__all__ = ["Composed", "compose"]

MOST_TEXTS = 16
MOST_CHARACTERS = 4_000
_ENOUGH = 0.4  # of the terms were kept: sentences of the context would only dilute them


@dataclass(frozen=True, slots=True)
class Composed:
    """A rebuilt text. Empty where neither sketch nor context said anything.

    similarity: to the sketch (`guide.score`); 1 where the sketch is whole. method: "exact terms" (to the
    letter, if the sketch is right), "terms", "terms and context", "context" or "nothing". sources: ids of the
    fragments that gave sentences or the spelling of names. confidence: that it would serve, calibrated, 0 to
    1.
    """

    text: str
    similarity: float
    method: str
    sources: tuple[str, ...]
    confidence: float


def compose(
    sketch: Sketch | None,
    context: Context,
    embed: Embed | None,
    *,
    most_texts: int = MOST_TEXTS,
    most_characters: int = MOST_CHARACTERS,
) -> Composed:
    """Rebuild a text. All fragments of `context` must belong to the owner and scope of the lost one.

    embed: texts to unit vectors, float32 (n, d), of the embedder that made the sketch; without it the terms
    alone decide. At most `most_texts` texts are embedded and `most_characters` characters come back (a sketch
    that is whole is never cut). The same arguments give the same text.
    """
    nearest = context.nearest()
    if sketch is not None and sketch.exact:
        return _told(Part(sketch.text, ()), 1.0, "exact terms", sketch, nearest)
    terms = None if sketch is None or not sketch.units else _realised(sketch, nearest)
    if sketch is not None and terms is not None and sketch.whole:
        return _told(terms, 1.0, "terms", sketch, nearest)
    if (
        sketch is not None
        and terms is not None
        and (not sketch.signs or sketch.share >= _ENOUGH or not nearest)
    ):
        near = _near(sketch, [terms], embed)[0]
        return _told(terms, float(near), "terms", sketch, nearest)
    part, near = chosen(sketch, terms, nearest, embed, most_texts=most_texts, most_characters=most_characters)
    added = terms is None or part is not terms
    method = "context" if terms is None else "terms and context" if added else "terms"
    return _told(part, near, method, sketch, nearest)


def _told(part: Part, near: float, method: str, sketch: Sketch | None, nearest: Sequence[Nearby]) -> Composed:
    features = Features(
        similarity=near,
        share=sketch.share if sketch else 0.0,
        terms=len(sketch.units) if sketch else 0,
        exact=sketch is not None and sketch.exact,
        context=len(nearest),
    )
    sure = confidence_of(features) if part.text else 0.0
    return Composed(part.text, near, method if part.text else "nothing", part.sources, sure)


def _realised(sketch: Sketch, nearest: Sequence[Nearby]) -> Part:
    """The terms as text, names written as the context writes them."""
    known = spellings(nearest)
    units, sources = [], []
    for unit in sketch.units:
        form, source = known.get(unit.plain, ("", ""))
        if form and unit.written == unit.plain:
            units.append(Unit(form, unit.gap))
            sources.append(source)
        else:
            units.append(unit)
    return Part(text_of(units), tuple(dict.fromkeys(sources)))


def _near(sketch: Sketch, parts: Sequence[Part], embed: Embed | None) -> Vectors:
    texts = [part.text for part in parts]
    return score(sketch, embed(texts) if embed is not None and sketch.signs else None, texts)
