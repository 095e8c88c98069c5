"""What a memory's intact texts teach about writing: which gaps there are, how tokens are written, and when.

One pass counts forms and gaps; three `Choice`s are then trained on a bounded sample of the texts: whether a
gap is a plain space, else which gap, and how the token after it is written. A few sentences of our own stand
for what a small memory has not shown yet.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carma.healing.words.choice import Choice
from carma.healing.words.primer import PRIMER
from carma.healing.words.traits import (
    PAD,
    Columns,
    Path,
    State,
    case_traits,
    columns_of,
    following,
    gap_traits,
    path_traits,
)
from carma.healing.words.written import OTHER, Splitter, Written, shape_of

__all__ = ["PLAIN", "Learnt"]

Ints = NDArray[np.int64]

PLAIN: Final = " "
RARE: Final = 0
"""Label of a gap that is no class of its own."""
_PLAIN_CLASS: Final = 99
_CLASSES_MOST: Final = 40
_CLASS_LEAST: Final = 2
_FORMS_MOST: Final = 200_000
_RARE_MOST: Final = 50_000
_RARE_GAPS_MOST: Final = 200
_GAP_LONGEST: Final = 64


class Learnt:
    """The statistics of some texts. slots: how many slots at most the choices are trained on."""

    def __init__(self, texts: Iterable[str], splitter: Splitter, *, slots: int = 100_000) -> None:
        self.others: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Forms of a token that no shape makes, with their counts."""
        self.rare: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        """Gaps between two tokens that are neither plain nor a class."""
        self._seen: Counter[str] = Counter()
        self._raised: Counter[str] = Counter()
        gaps: Counter[str] = Counter()
        sample = _Sample(slots)
        for text in (*PRIMER, *texts):
            written = splitter(text)
            self._count(written, gaps)
            sample.add(written)
        common = [(gap, n) for gap, n in gaps.most_common(_CLASSES_MOST) if n >= _CLASS_LEAST]
        self.classes: list[str] = [gap for gap, _ in common]
        """Gaps by label, from label 1."""
        self.labels = {gap: label for label, gap in enumerate(self.classes, 1)}
        self.rare_gaps = [gap for gap, _ in gaps.most_common(_CLASSES_MOST + _RARE_GAPS_MOST)][len(common) :]
        self._keep_rare()
        self.capitals = {
            token: min(3, 4 * self._raised[token] // seen) + (4 if seen > 3 else 0)
            for token, seen in self._seen.items()
        }
        del self._seen, self._raised
        self._train(sample.kept)

    def _count(self, written: Written, gaps: Counter[str]) -> None:
        tokens, forms = written.tokens, written.forms
        for at, (token, form) in enumerate(zip(tokens, forms, strict=True)):
            gap = written.gaps[at]
            if at and gap == PLAIN:
                if token in self._seen or len(self._seen) < _FORMS_MOST:
                    self._seen[token] += 1
                    self._raised[token] += form != token
            elif len(gap) <= _GAP_LONGEST and (gap in gaps or len(gaps) < _RARE_MOST):
                gaps[gap] += 1
                if at and len(self.rare) < _RARE_MOST:
                    self.rare[tokens[at - 1], token][gap] += 1
            if form != token and shape_of(token, form) == OTHER and len(self.others) < _FORMS_MOST:
                self.others[token][form] += 1
        last = written.gaps[-1]
        if len(last) <= _GAP_LONGEST:
            gaps[last] += 1

    def _keep_rare(self) -> None:
        """Of the gaps by neighbours only those that are no class; the choices know the others."""
        for pair, found in list(self.rare.items()):
            for gap in [gap for gap in found if gap in self.labels]:
                del found[gap]
            if not found:
                del self.rare[pair]

    def _train(self, texts: Sequence[Written]) -> None:
        columns = self.columns([written.tokens for written in texts])
        path, gaps, shapes = _walk(texts)
        plain = np.fromiter((gap == PLAIN for gap in gaps), np.int64, len(gaps))
        labels = np.fromiter((self.labels.get(gap, RARE) for gap in gaps), np.int64, len(gaps))
        traits = np.concatenate([gap_traits(columns, path), path_traits(columns, path)], axis=1)
        self.plain = Choice(traits, plain, 2, epochs=5, rate=0.05, damping=1.0)
        some = plain == 0
        self.gap = Choice(traits[some], labels[some], len(self.classes) + 1, epochs=5, rate=0.1, damping=10.0)
        inner = shapes >= 0
        path = Path(*(column[inner] for column in path))
        case = case_traits(columns, path, self.gap_classes(gaps)[inner])
        self.case = Choice(case, shapes[inner], 4, epochs=5, rate=0.3, damping=1.0)

    def columns(self, texts: Sequence[Sequence[str]]) -> Columns:
        """The columns of some texts' tokens, with what was learnt of their capitals."""
        return columns_of(texts, self.capitals)

    def gap_classes(self, gaps: Sequence[str]) -> Ints:
        """The gaps as a trait of the token after them."""
        found = (_PLAIN_CLASS if gap == PLAIN else self.labels.get(gap, RARE) for gap in gaps)
        return np.fromiter(found, np.int64, len(gaps))


class _Sample:
    """Texts up to a number of slots; when that is passed, every second one goes, and of what comes only every
    2nd, 4th, 8th ... is taken: an even choice of all, without knowing how many there are."""

    def __init__(self, slots: int) -> None:
        self.kept: list[Written] = []
        self._most, self._slots = slots, 0
        self._stride, self._number = 1, 0

    def add(self, written: Written) -> None:
        self._number += 1
        if self._number % self._stride or len(written.gaps) > self._most // 4:
            return
        self.kept.append(written)
        self._slots += len(written.gaps)
        while self._slots > self._most:
            self.kept = self.kept[1::2]
            self._stride *= 2
            self._slots = sum(len(one.gaps) for one in self.kept)


def _walk(texts: Sequence[Written]) -> tuple[Path, list[str], Ints]:
    """Every slot of some texts with the state in which it is met, its gap, and the shape after it (-1:
    none)."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    gaps: list[str] = []
    shapes: list[int] = []
    base = PAD
    for tokens, forms, own in texts:
        state = State()
        count = len(tokens)
        for slot, gap in enumerate(own):
            rows.append((base + slot, base, base + count, base + state.start, state.open, state.before))
            shape = shape_of(tokens[slot], forms[slot]) if slot < count else -1
            shapes.append(shape)
            state = following(state, slot, gap, shape)
        gaps += own
        base += count + 2 * PAD
    columns = np.array(rows, np.int64).T
    return Path(*columns), gaps, np.array(shapes, np.int64)
