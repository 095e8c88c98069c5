"""The semantic rungs: words, composer, language model; each a guess that says how good it is.

All texts are judged alike (`judge.py`), so that a later cycle can tell whether it has something better. The
words of the true text in their order outrank everything that is composed. A text that turns out to have the
lost text's digest is no guess any more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from carma.errors import EmbedderError, ModelError
from carma.healing.compose import compose
from carma.healing.confidence import Features, confidence_of
from carma.healing.context import Nearby
from carma.healing.guide import score
from carma.healing.judge import belongs, says, worth
from carma.healing.lost import Lost
from carma.healing.model import LanguageModel, ModelRequest
from carma.healing.resources import Resources
from carma.healing.selection import Embed
from carma.healing.signs import Vectors
from carma.healing.sketch import Sketch
from carma.healing.surroundings import Around, proven_text
from carma.healing.words import DIGEST_LEAST, Restorer
from carma.healing.words.written import Splitter
from carma.store.store import Store

__all__ = ["Guess", "Models", "Words", "composed", "nearby_texts"]

_LEARN_TEXTS = 4_000
"""Intact texts that teach how this memory is written."""
_FAILURES = 3
"""A language model that failed so often in a row is not asked again in this cycle."""
_MOST_CHARACTERS = 4_000
_CHARACTERS_PER_TERM = 5
"""With the gap before it; by it a model is told how long the lost text was."""


class Guess(NamedTuple):
    """A text that stands for a lost one. exact: it has its digest. sources: ids of what it was made of."""

    text: str
    rung: str
    exact: bool
    score: float
    confidence: float | None = None
    similarity: float | None = None
    method: str | None = None
    sources: tuple[bytes, ...] = ()


class Words:
    """The rung "words": reads the word index once, for all lost texts together."""

    def __init__(self, store: Store, resources: Resources, losses: Sequence[Lost]) -> None:
        self._store = store
        self._resources = resources
        self._tokens = _tokens(store, losses)
        self._splitter = Splitter()
        self._restorer: Restorer | None = None

    def restore(
        self, lost: Lost, sketch: Sketch | None, nearby: Sequence[str], budget_ms: float
    ) -> Guess | None:
        """The text whose words the index still holds, or its sketch; None if neither holds all of them.

        nearby: texts that show how it may be written, the most like it first. budget_ms: for ways of writing
        that are tried against the digest.
        """
        tokens = self._tokens.get(lost.seq)
        rung = "words"
        if tokens is None and sketch is not None and sketch.whole:
            tokens, rung = self._splitter(sketch.text).tokens, "compose"
        digest = lost.digest if len(lost.digest) >= DIGEST_LEAST else None
        if not tokens or (rung == "compose" and digest is None):
            return None
        if self._restorer is None:
            self._restorer = Restorer(
                self._texts(), clock=self._store.clock, digest_of=self._store.sealing.digest
            )
        found = self._restorer.restore(tokens, digest=digest, nearby=nearby, budget_ms=budget_ms)
        if found.exact:
            return Guess(found.text, rung, True, 1.0)
        if rung == "compose":
            return None
        features = Features(similarity=1.0, share=1.0, terms=len(tokens), exact=False, context=len(nearby))
        return Guess(found.text, rung, False, 1.0, confidence_of(features), 1.0, "words in order")

    def _texts(self) -> Iterator[str]:
        """Intact texts, evenly from the whole memory."""
        count = int(self._store.registry.rows("SELECT count(*) FROM fragments WHERE live")[0][0])
        step = max(1, count // _LEARN_TEXTS)
        rows = self._store.registry.rows(
            "SELECT seq, segment, offset, length FROM (SELECT *, row_number() OVER (ORDER BY seq) AS at "
            "FROM fragments WHERE live) WHERE at % ? = 0",
            (step,),
        )
        for row in rows:
            text = proven_text(self._store, self._resources.exact, *row)
            if text is not None:
                yield text[:_MOST_CHARACTERS]


def _tokens(store: Store, losses: Sequence[Lost]) -> dict[int, list[str]]:
    """The tokens of lost texts in order; only of those of which none is missing."""
    found: dict[int, dict[int, str]] = {}
    rows = store.registry.rows(
        "SELECT doc, offset, term FROM tokens_at WHERE doc IN (SELECT value FROM json_each(?))",
        (json.dumps([lost.seq for lost in losses]),),
    )
    for doc, offset, term in rows:
        found.setdefault(doc, {})[offset] = term
    return {
        doc: [places[at] for at in range(len(places))]
        for doc, places in found.items()
        if max(places) == len(places) - 1
    }


def composed(sketch: Sketch | None, around: Around, embed: Embed | None) -> Guess | None:
    """The rung "compose"; None where neither sketch nor context says anything."""
    made = compose(sketch, around.context, embed)
    if not made.text:
        return None
    sources = tuple(bytes.fromhex(source) for source in made.sources)
    if sketch is not None and says(sketch) and not sketch.whole:
        value = worth(sketch, made.similarity, made.text, around.context.nearest())
    else:
        value = made.similarity
    return Guess(made.text, "compose", False, value, made.confidence, made.similarity, made.method, sources)


class Models:
    """The rung "model": asked while it answers."""

    def __init__(self, model: LanguageModel | None, embed: Embed | None) -> None:
        self._model = model
        self._embed = embed
        self._failed = 0
        self.troubles: Counter[str] = Counter()

    def write(self, lost: Lost, sketch: Sketch | None, around: Around) -> Guess | None:
        """What the model writes, judged as the composer's text is; None without model, answer, or anything
        to ask it about.
        """
        context = around.context.nearest()
        if self._model is None or self._failed >= _FAILURES or not (says(sketch) or context):
            return None
        try:
            text = self._model.rebuild(_request(lost, sketch, around))
            self._failed = 0
        except ModelError as error:
            self._failed += 1
            self.troubles[f"language model: {error.reason}"] += 1
            return None
        near, value = self._judged(sketch, text, context)
        share, terms = (sketch.share, len(sketch.units)) if sketch is not None else (0.0, 0)
        features = Features(similarity=near, share=share, terms=terms, exact=False, context=len(context))
        sources = tuple(bytes.fromhex(one.id) for one in context)
        return Guess(text, "model", False, value, confidence_of(features), near, "language model", sources)

    def _judged(self, sketch: Sketch | None, text: str, context: Sequence[Nearby]) -> tuple[float, float]:
        """How near a text comes to the sketch (0 where that says nothing), and what it is worth."""
        if sketch is None or not says(sketch):
            try:
                return 0.0, belongs(text, context, self._embed) if self._embed is not None else 0.0
            except EmbedderError:
                return 0.0, 0.0
        vectors = self._embedded(text) if sketch.signs else None
        near = float(score(sketch, vectors, [text])[0])
        return near, worth(sketch, near, text, context)

    def _embedded(self, text: str) -> Vectors | None:
        try:
            return self._embed([text]) if self._embed is not None else None
        except EmbedderError:
            return None


def _request(lost: Lost, sketch: Sketch | None, around: Around) -> ModelRequest:
    return ModelRequest(
        kind=lost.kind,
        parent=around.parent.text if around.parent is not None else None,
        before=[one.text for one in around.before],
        after=[one.text for one in around.after],
        children=[one.text for one in around.children],
        threads=[one.text for one in around.threads],
        terms=sketch.terms if sketch is not None else (),
        characters=_CHARACTERS_PER_TERM * sketch.total if sketch is not None else 0,
    )


def nearby_texts(around: Around) -> list[str]:
    """The texts around a lost one, nearest first."""
    return [one.text for one in around.context.nearest()]
