"""The ladder for texts: each lost fragment climbs from the cheapest exact rung to the last semantic one.

A new text is written only if it is better than what stands: whatever rung it comes from, it is held against
the digest first, and exact outranks every guess; among guesses the score (`judge.py`) decides, so it never
falls from cycle to cycle. What is written is a record of its
own that points at the lost write; it never takes its place. Whether the write is still the newest, and
whether everything that is quoted is still there, is asked again under the turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from carma.errors import CarmaError, EmbedderError
from carma.healing.cycle import Cycle
from carma.healing.exacttexts import ExactTexts
from carma.healing.ledger import rejected
from carma.healing.lost import Lost, Standing, standing
from carma.healing.priority import priority, references
from carma.healing.replica import Replicas
from carma.healing.resources import Resources
from carma.healing.rungs import Guess, Models, Words, composed, nearby_texts
from carma.healing.selection import Embed
from carma.healing.sketch import Sketch
from carma.healing.surroundings import Around, Surroundings
from carma.store.commit import View
from carma.store.entry import Draft, Entry
from carma.store.losses import REJECTED, Rebuilt, pack_rebuilt, unpack_rebuilt
from carma.store.record import RecordKind
from carma.store.store import Store

__all__ = ["Ladder"]

_BATCH = 32
_LEAST_MS, _MOST_MS = 20.0, 250.0
"""For ways of writing one text that are tried against its digest."""
_LOST = -1
"""Spare shards of a stripe that has too few left."""


class _Made(NamedTuple):
    """A text that waits to be written."""

    lost: Lost
    guess: Guess
    before: str
    since: float
    until: float


class Ladder:
    """Texts for lost fragments, in one cycle.

    exact: try the rungs that give the true text. reads: how often a loss was met, by id in hexadecimal.
    """

    def __init__(
        self,
        store: Store,
        resources: Resources,
        replicas: Replicas,
        cycle: Cycle,
        *,
        exact: bool,
        reads: Mapping[str, int] | None = None,
    ) -> None:
        self._reads = reads or {}
        self._store = store
        self._resources = resources
        self._cycle = cycle
        self._exact = ExactTexts(store, resources, replicas) if exact else None
        self._around = Surroundings(store, resources)
        self._stands = standing(store)
        self._embed: Embed | None = resources.embed
        self._models = Models(resources.model, resources.embed)
        self._made: list[_Made] = []

    def climb(self, losses: Sequence[Lost]) -> None:
        """Find the best text for each, the most urgent first. Raises Ended."""
        left = [lost for lost in losses if not self._stood(lost).exact]
        left = self._in_order(left)
        try:
            left = self._proven(left)
            self._guessed(left)
        finally:
            self._write()
            self._cycle.reasons.update(self._models.troubles)

    def _in_order(self, losses: Sequence[Lost]) -> list[Lost]:
        writes = {lost.id: lost.seq for lost in losses}
        counts = references(self._store, writes, threads=self._resources.threads, reads=self._reads)
        return sorted(losses, key=lambda x: (-priority(_LOST, counts[x.id], x.created_ms / 1000), x.seq))

    def _stood(self, lost: Lost) -> Standing:
        return self._stands.get(lost.seq, Standing(False, -2.0, ""))

    # The rungs

    def _proven(self, losses: Sequence[Lost]) -> list[Lost]:
        """The exact rungs for all; those they do not give back."""
        if self._exact is None:
            return list(losses)
        self._exact.prepare(losses)
        left = []
        for at, lost in enumerate(losses):
            self._cycle.go_on()
            self._cycle.tell(at, len(losses), lost.id.hex())
            since = self._cycle.now()
            found = self._exact.find(lost)
            if found is None:
                left.append(lost)
            else:
                self._put(lost, Guess(found[0], found[1], True, 1.0), since)
        return left

    def _guessed(self, losses: Sequence[Lost]) -> None:
        """The semantic rungs."""
        # Nothing but the true text is better than all of its words in order.
        losses = [lost for lost in losses if self._stood(lost).score < 1.0]
        judged = rejected(self._store)
        open_ = [lost for lost in losses if lost.seq not in judged]
        if len(open_) < len(losses):
            self._cycle.reasons[REJECTED] += len(losses) - len(open_)
        losses = open_
        if not losses:
            return
        self._cycle.go_on()
        words = Words(self._store, self._resources, losses)
        for at, lost in enumerate(losses):
            self._cycle.go_on()
            self._cycle.tell(at, len(losses), lost.id.hex())
            since = self._cycle.now()
            share_ms = 1000 * self._cycle.left_s / (len(losses) - at)
            try:
                guess = self._best(lost, words, min(max(share_ms, _LEAST_MS), _MOST_MS))
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A text that a rung trips over must not cost the others theirs.
                self._cycle.failed("guessing a text", error)
                continue
            if guess is None:
                if lost.seq not in self._stands:
                    self._cycle.reasons["neither words, sketch nor context are left"] += 1
            elif self._is_better(guess, lost):
                self._put(lost, guess, since)

    def _best(self, lost: Lost, words: Words, budget_ms: float) -> Guess | None:
        """The best text for one, now."""
        sketch = self._resources.exact.copies.sketch(lost.seq)
        around = self._around.around(lost, sketch)
        told = self._composed(sketch, around) if sketch is not None and sketch.whole else None
        hints = ([told.text] if told is not None else []) + nearby_texts(around)
        guess = words.restore(lost, sketch, hints, budget_ms)
        if guess is None or (told is not None and not guess.exact):
            # A sketch with all terms knows the signs between the words too, which the index does not.
            guess = told or guess or self._composed(sketch, around)
        guess = self._proven_or(guess, lost)
        if guess is None or guess.score < 1.0:
            written = self._proven_or(self._models.write(lost, sketch, around), lost)
            if written is not None and (guess is None or _rank(written) > _rank(guess)):
                guess = written
        return guess

    def _proven_or(self, guess: Guess | None, lost: Lost) -> Guess | None:
        """A guess that has the lost text's digest is none: it is the truth."""
        if guess is None or guess.exact or not self._is_true(guess.text, lost):
            return guess
        return Guess(guess.text, guess.rung, True, 1.0)

    def _is_true(self, text: str, lost: Lost) -> bool:
        return bool(lost.digest) and self._store.sealing.text_digest(text).startswith(lost.digest)

    def _is_better(self, guess: Guess, lost: Lost) -> bool:
        stood = self._stood(lost)
        return _rank(guess) > (stood.exact, stood.score)

    def _composed(self, sketch: Sketch | None, around: Around) -> Guess | None:
        """The composer, without the embedder once that has failed."""
        try:
            return composed(sketch, around, self._embed)
        except EmbedderError as error:
            self._cycle.failed("embedding", error)
            self._embed = None
            return composed(sketch, around, None)

    # Writing

    def _put(self, lost: Lost, guess: Guess, since: float) -> None:
        before = "reconstructed" if lost.seq in self._stands else "blank"
        self._made.append(_Made(lost, guess, before, since, self._cycle.now()))
        if len(self._made) >= _BATCH:
            self._write()

    def _write(self) -> None:
        """Write what waits, in one short turn."""
        made, self._made = self._made, []
        if not made:
            return
        written = {each.lost.seq for each in made}
        if not self._cycle.dry_run:
            self._cycle.begin()
            try:
                entries = self._store.commit(lambda view: self._drafts(view, made))
            except CarmaError as error:
                self._cycle.failed("writing a reconstruction", error)
                return
            written = {_lost_seq(entry) for entry in entries}
        for each in made:
            if each.lost.seq in written:
                self._note(each)

    def _drafts(self, view: View, made: Sequence[_Made]) -> list[Draft]:
        return [self._draft(each) for each in made if _may_stand(view, each)]

    def _draft(self, made: _Made) -> Draft:
        lost, guess = made.lost, made.guess
        rebuilt = Rebuilt(
            text=guess.text, lost_seq=lost.seq, rung=guess.rung, exact=guess.exact, score=guess.score,
            confidence=guess.confidence, similarity=guess.similarity, method=guess.method,
            sources=guess.sources, cycle=self._cycle.number, time_ms=self._store.now_ms(),
        )  # fmt: skip
        return Draft(
            RecordKind.RECONSTRUCTION, lost.id, lost.version, pack_rebuilt(rebuilt),
            self._store.sealing.text_digest(guess.text), None,
        )  # fmt: skip

    def _note(self, made: _Made) -> None:
        guess, cycle = made.guess, self._cycle
        cycle.rebuilt.add(made.lost.seq)
        cycle.rungs[guess.rung] += 1
        cycle.exact += guess.exact
        cycle.reconstructed += not guess.exact
        cycle.step(
            "fragment", made.lost.id.hex(), guess.rung, made.before,
            "repaired" if guess.exact else "reconstructed", made.since, guess.similarity, guess.confidence,
            made.until,
        )  # fmt: skip


def _rank(guess: Guess) -> tuple[bool, float]:
    """What is true outranks every guess."""
    return guess.exact, guess.score


def _may_stand(view: View, made: _Made) -> bool:
    """Whether the lost write is still the newest of its fragment, and all that is quoted is still there."""
    head = view.head(made.lost.id)
    if not isinstance(head, Entry) or head.kind != RecordKind.FRAGMENT or head.seq != made.lost.seq:
        return False
    quoted = [view.head(source) for source in made.guess.sources]
    return all(each is not None and each.kind != RecordKind.TOMBSTONE for each in quoted)


def _lost_seq(entry: Entry) -> int:
    return unpack_rebuilt(entry.payload).lost_seq
