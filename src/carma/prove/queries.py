"""The questions of an experiment, made from what the memory holds.

Seven of ten are searches: a sentence of a fragment, a heading, or its rarest words in their order, each in
one of the three modes. Two of ten fetch a fragment by its id; the rest turn pages of lists and look at trees.
Questions that came with a conversation are asked as they are, up to half of all.

Rejected: questions written by a language model (no run would be like the one before), and only searches (a
memory that loses a fragment from its lists has lost it too).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal, NamedTuple

from carma.memory.memory import Memory
from carma.prove.corpus import Corpus, Given, Original

__all__ = ["LIMIT", "Query", "Verb", "ask", "make_queries"]

Verb = Literal["search", "get", "list", "tree"]

LIMIT = 10
"""Hits of a search: answers are compared by their first ten."""
_PAGE = 50
_DEPTH = 2
_SHARES: tuple[tuple[Verb, float], ...] = (("search", 0.7), ("get", 0.2), ("list", 0.06), ("tree", 0.04))
_MODES = ("hybrid", "hybrid", "hybrid", "vector", "words")
_WORD = re.compile(r"[^\W_]{2,}")
_SENTENCE = re.compile(r"[^.!?\n]{20,200}[.!?\n]?")
_PHRASE_WORDS = 5
_MOST_CHARS = 200


class Query(NamedTuple):
    """One call of a memory.

    about: the fragment that a search was made from. target: the id of `get`, or what lists and trees begin
    at.
    evidence: of a given question, as in `Given`.
    """

    verb: Verb
    text: str = ""
    mode: str = "hybrid"
    about: str | None = None
    target: str | None = None
    cursor: str | None = None
    evidence: tuple[frozenset[str], ...] = ()


def make_queries(corpus: Corpus, memory: Memory, count: int, rng: Random) -> list[Query]:
    """`count` queries in random order; the same for the same corpus and seed."""
    given = _given(corpus.given, count // 2, rng)
    made = count - len(given)
    sought = [each for each in corpus.originals.values() if _WORD.search(each.text)]
    frequency = Counter(word for each in sought for word in set(_words(each.text)))
    ids, parents = list(corpus.originals), _parents(corpus.originals)
    cursors = _cursors(memory)
    out = list(given)
    for verb, share in _SHARES:
        number = round(made * share) if verb != "search" else 0
        for _ in range(number):
            if verb == "get":
                out.append(Query("get", target=rng.choice(ids)))
            elif verb == "tree" and parents:
                out.append(Query("tree", target=rng.choice(parents)))
            elif verb == "list" and parents and rng.random() < 0.5:
                out.append(Query("list", target=rng.choice(parents)))
            else:
                out.append(Query("list", cursor=rng.choice(cursors)))
    while len(out) < count:
        out.append(
            _search(rng.choice(sought), frequency, rng) if sought else Query("get", target=rng.choice(ids))
        )
    rng.shuffle(out)
    return out


def ask(memory: Memory, query: Query) -> object:
    """Make the call; what it returns."""
    if query.verb == "search":
        return memory.search(query.text, mode=query.mode, limit=LIMIT)
    if query.verb == "get":
        assert query.target is not None
        return memory.get(query.target)
    if query.verb == "tree":
        return memory.tree(query.target, depth=_DEPTH)
    if query.target is not None:
        return memory.list(parent=query.target, limit=_PAGE)
    return memory.list(limit=_PAGE, cursor=query.cursor)


def _given(questions: Sequence[Given], most: int, rng: Random) -> list[Query]:
    chosen = questions if len(questions) <= most else rng.sample(list(questions), most)
    return [Query("search", each.text, evidence=each.evidence) for each in chosen]


def _search(about: Original, frequency: Mapping[str, int], rng: Random) -> Query:
    """A search for one fragment: by its heading, a sentence, or its rarest words."""
    mode = rng.choice(_MODES)
    if about.kind == "section" or rng.random() < 0.5:
        text = _sentence(about, rng)
    else:
        words = _words(about.text)
        rare = set(sorted(dict.fromkeys(words), key=lambda word: (frequency[word], word))[:_PHRASE_WORDS])
        text = " ".join(dict.fromkeys(word for word in words if word in rare))
    return Query("search", text, mode, about.id)


def _sentence(about: Original, rng: Random) -> str:
    """One sentence of a text; the beginning of a text that has none."""
    sentences = [each.strip(" #*-=\t\n") for each in _SENTENCE.findall(about.text)]
    sentences = [each for each in sentences if _WORD.search(each)]
    return rng.choice(sentences) if sentences else about.text.strip(" #*-=\t\n")[:_MOST_CHARS]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _parents(originals: Mapping[str, Original]) -> list[str]:
    found = (each.parent for each in originals.values() if each.parent in originals)
    return [parent for parent in dict.fromkeys(found) if parent is not None]


def _cursors(memory: Memory) -> list[str | None]:
    """The cursor of every page of the list of all."""
    cursors: list[str | None] = [None]
    while (cursor := memory.list(limit=_PAGE, cursor=cursors[-1]).cursor) is not None:
        cursors.append(cursor)
    return cursors
