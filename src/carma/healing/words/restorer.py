"""Texts from their tokens: the word index still holds what was said, and the memory how things are written.

The index forgets case and punctuation. A model learnt from the intact texts of the same memory says how
likely each way of writing the tokens is; where the text's digest is known, the ways are tried from the
likeliest on until one has the digest, and the text is then proven. A language model as the judge of the
variants was rejected: it would have to be shipped, and the digest is the better judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from carma.errors import InvalidInput
from carma.healing.words.lattice import lattice
from carma.healing.words.learnt import Learnt
from carma.healing.words.phrases import Phrases
from carma.healing.words.variants import ways
from carma.healing.words.written import Splitter
from carma.ports.clock import Clock, SystemClock
from carma.store.sealing import Digest, plain_digest

__all__ = ["DIGEST_LEAST", "Restored", "Restorer"]

DIGEST_LEAST: Final = 8
"""Fewer bytes of a digest would let a wrong variant pass for the text."""
_LOOK_AT_CLOCK: Final = 256


class Restored(NamedTuple):
    """text: as likely as can be said. exact: it has the digest. tried: how many variants were made."""

    text: str
    exact: bool
    tried: int


class Restorer:
    """Restores texts of the memory whose intact texts it was given.

    texts: intact texts of the memory, in any order; they are read once and not kept.
    variants, budget_ms: how many are tried at most for one text, and for how long; None: no such bound.
    slots: how many places between tokens the model is trained on at most (100,000 take about 5 s).
    digest_of: how texts are digested; of an encrypted memory the keyed way.

    One thread at a time.
    """

    def __init__(
        self,
        texts: Iterable[str] = (),
        *,
        variants: int = 20_000,
        budget_ms: float | None = 250.0,
        slots: int = 100_000,
        clock: Clock | None = None,
        digest_of: Digest = plain_digest,
    ) -> None:
        self._digest_of = digest_of
        self._splitter = Splitter()
        self._learnt = Learnt(texts, self._splitter, slots=slots)
        self._variants, self._budget_ms = variants, budget_ms
        self._clock: Clock = SystemClock() if clock is None else clock

    def restore(
        self,
        tokens: Sequence[str],
        *,
        digest: bytes | None = None,
        nearby: Sequence[str] = (),
        variants: int | None = None,
        budget_ms: float | None = None,
    ) -> Restored:
        """The text whose tokens these are, in their order.

        digest: BLAKE3 of the text in UTF-8, or its first bytes (8 at least); None if it is not known.
        nearby: texts that may share phrases with the lost one: its metadata, its siblings, its parent.
        variants, budget_ms: for this text, in place of the restorer's own.

        Raises InvalidInput on a digest that is too short.
        """
        if digest is not None and not DIGEST_LEAST <= len(digest) <= 32:
            raise InvalidInput(f"a digest has 8 to 32 bytes, not {len(digest)}")
        first = lattice(self._learnt, tokens, Phrases(nearby, self._splitter).hints(tokens))
        found = ways(first)
        best = next(found)
        if digest is None:
            return Restored(best.decode("utf-8"), False, 1)
        most = self._variants if variants is None else variants
        budget_ms = self._budget_ms if budget_ms is None else budget_ms
        ends = None if budget_ms is None else self._clock.monotonic() + budget_ms / 1e3
        length = len(digest)
        tried = 1
        text = best
        while self._digest_of(text)[:length] != digest:
            if tried >= most or (
                ends is not None and tried % _LOOK_AT_CLOCK == 0 and self._clock.monotonic() >= ends
            ):
                return Restored(best.decode("utf-8"), False, tried)
            following = next(found, None)
            if following is None:
                return Restored(best.decode("utf-8"), False, tried)
            text = following
            tried += 1
        return Restored(text.decode("utf-8"), True, tried)
