"""What surrounds a lost fragment, and what can be learnt from it: sentences, and how names are written.

The idea: the composer sees only values. Which fragments surround another, and that they belong to the same
owner and scope, is the caller's to know. Rejected: handing over the store, which would let a reconstruction
look anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carma.healing.units import Case, case_of, units_of

__all__ = ["Context", "Nearby", "Sentence", "sentences_of", "spellings"]

MOST_NEARBY = 64
MOST_CHARACTERS = 4_000  # of one fragment are looked at
MOST_SENTENCES = 400
MOST_READ_CHARACTERS = 20_000  # of all fragments together are read for the spelling of names
_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_RANK = {"sibling": 0, "thread": 1, "parent": 2, "child": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Nearby:
    """One fragment of the context. distance: how many siblings away, at least 1; of a thread, its rank from
    1.

    vector: its embedding, float32 (d,), if it is at hand; it saves an embedding.
    """

    id: str
    text: str
    relation: Literal["parent", "child", "sibling", "thread"]
    distance: int = 1
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The intact fragments around a lost one, in any order; the nearest 64 are used."""

    nearby: tuple[Nearby, ...] = ()

    def nearest(self) -> list[Nearby]:
        """The fragments that are used, nearest first; the order is fixed whatever order they came in."""
        ranked = sorted(self.nearby, key=lambda one: (one.distance, _RANK[one.relation], one.id))
        return ranked[:MOST_NEARBY]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the context. fragment: the id; place: its number among all of them, nearest first."""

    fragment: str
    text: str
    place: int


def sentences_of(nearest: Sequence[Nearby]) -> list[Sentence]:
    """The sentences of the context, nearest fragment first, each text once, at most 400."""
    found: dict[str, Sentence] = {}
    for one in nearest:
        for text in _sentences(one.text[:MOST_CHARACTERS]):
            if len(found) == MOST_SENTENCES:
                return list(found.values())
            found.setdefault(text, Sentence(one.id, text, len(found)))
    return list(found.values())


def spellings(nearest: Sequence[Nearby]) -> dict[str, tuple[str, str]]:
    """How words with capitals are written: by lower case, the form and the id of a fragment that writes it
    so.

    Only what is written so inside sentences, and more often than in lower case, counts: it cannot owe its
    capital to its place. The word before a colon at the beginning, a speaker, counts too.
    """
    forms: dict[str, Counter[str]] = {}
    seen: dict[str, str] = {}
    left = MOST_READ_CHARACTERS
    for one in nearest:
        if left <= 0:
            break
        begins = True
        units, _ = units_of(one.text[: min(MOST_CHARACTERS, left)])
        left -= min(MOST_CHARACTERS, len(one.text))
        for at, unit in enumerate(units):
            if not unit.word:
                begins = begins or unit.written in ".!?" or (unit.written == ":" and at == 1)
                continue
            speaker = at == 0 and len(units) > 1 and units[1].written == ":"
            if not begins or speaker or case_of(unit.written) in (Case.UPPER, Case.MIXED):
                forms.setdefault(unit.plain, Counter())[unit.written] += 1
                seen.setdefault(unit.written, one.id)
            begins = False
    best = {plain: max(counts, key=lambda form: (counts[form], form)) for plain, counts in forms.items()}
    return {plain: (form, seen[form]) for plain, form in best.items() if form != plain and len(plain) > 1}


def _sentences(text: str) -> Iterator[str]:
    for part in _END.split(text):
        if stripped := part.strip():
            yield stripped
