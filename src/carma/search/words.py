"""From the text of a query to what FTS5 is asked.

FTS5 pays for every fragment that holds any of the words (about a microsecond each, for BM25), so the words
asked for decide how long a search takes. Words that say little are left out: stop words first, then, from the
most frequent down, whatever would make more than `postings_max` fragments to be scored. The rarest words are
the telling ones, so the loss is small, and it is none in a memory of a few thousand fragments.

Every word is taken from the tokenizer of the index and quoted, so no text can be a syntax error. A "quoted
phrase" must occur as it stands in whatever the words find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

__all__ = ["STOP_WORDS", "WordQuery", "plan", "read"]

Tokenize = Callable[[str], Sequence[str]]

_STOP: Final = """
a about again am an and any are as at be because been being but by can could d did do does doing during each
for from further had has have having he her hers herself him himself his how i if in into is it its itself
just ll m me more most my myself no nor not of off on once only or other our ours ourselves own re s same
she should so some such t than that the their theirs them themselves then there these they this those
through to too until up ve very was we were what when where which while who whom whose why will with would
you your yours yourself yourselves
"""
STOP_WORDS: Final = frozenset(_STOP.split())
"""English function words; in other languages the bound on frequency does their work. "may" is a month."""

WORDS_MAX: Final = 24
"""Words of one query that are asked for: the rarest."""
LOOKED_UP_MAX: Final = 96
"""Words of one query that are looked at: the first."""
POSTINGS_MAX: Final = 2_500
"""Fragments that BM25 is worked out for in one query, as far as the words allow."""

_QUOTED: Final = re.compile(r'"([^"]+)"|“([^”]+)”')


class WordQuery(NamedTuple):
    """A query as words: the phrases that must occur, and single words, each once, in the order of the
    text."""

    phrases: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]


class Attempt(NamedTuple):
    """One question to FTS5. `newest`: score only so many fragments, the newest; None: all that match."""

    match: str
    newest: int | None = None


def read(text: str, tokenize: Tokenize) -> WordQuery:
    """Takes a query apart: quoted phrases (of two words or more), then words without stop words.

    Stop words stay if nothing else is left, for "to be or not to be" is a question too.
    """
    phrases: list[tuple[str, ...]] = []

    def phrase(found: re.Match[str]) -> str:
        tokens = tuple(tokenize(found[1] or found[2]))
        if len(tokens) < 2:
            return found[0]
        if len(phrases) < 8:
            phrases.append(tokens[:WORDS_MAX])
        return " "

    rest = _QUOTED.sub(phrase, text)
    tokens = list(dict.fromkeys(tokenize(rest)))
    telling = [token for token in tokens if token not in STOP_WORDS]
    kept = telling if telling or phrases else tokens
    return WordQuery(tuple(dict.fromkeys(phrases)), tuple(kept[:LOOKED_UP_MAX]))


def plan(
    query: WordQuery, frequency: Callable[[str], int], postings_max: int = POSTINGS_MAX
) -> list[Attempt]:
    """What to ask FTS5, in order, until something answers. Empty: there is nothing to ask.

    frequency: in how many fragments a word occurs.
    """
    ranked = sorted((count, at, word) for at, word in enumerate(query.words) if (count := frequency(word)))
    ranked = ranked[:WORDS_MAX]
    if query.phrases:
        return _with_phrases(query.phrases, [word for _, _, word in ranked], frequency, postings_max)
    if not ranked:
        return []
    kept, total = [], 0
    for count, _, word in ranked:
        if total + count > postings_max:
            break
        kept.append(word)
        total += count
    if kept:
        return [Attempt(_any_of(kept))]
    rarest, others = ranked[0][2], [word for _, _, word in ranked[1:4]]
    alone = Attempt(_quote(rarest), postings_max)
    return [Attempt(f"{_quote(rarest)} AND ({_any_of(others)})", postings_max), alone] if others else [alone]


def _with_phrases(
    phrases: Sequence[tuple[str, ...]],
    words: Sequence[str],
    frequency: Callable[[str], int],
    postings_max: int,
) -> list[Attempt]:
    needed = " AND ".join(_quote(" ".join(tokens)) for tokens in phrases)
    most = min(min(frequency(token) for token in tokens) for tokens in phrases)
    newest = None if most <= postings_max else postings_max
    if not words:
        return [Attempt(needed, newest)]
    return [Attempt(f"({needed}) OR (({needed}) AND ({_any_of(words)}))", newest)]


def _any_of(words: Sequence[str]) -> str:
    return " OR ".join(map(_quote, words))


def _quote(words: str) -> str:
    """An FTS5 string: nothing in it is syntax."""
    return '"' + words.replace('"', '""') + '"'
