"""Asking, and holding each answer against the truth.

What counts: an answer *fails* if the call raises, or gives nothing where it gave something before. It is
*wrong* if a text that is said to be the original is not it, if it is the text of an older version, if a
reconstruction stands where the true bytes were never lost, if a blank carries a text, or if a fragment is
missing where it should at least be a blank. A blank and a reconstruction that say what they are, are neither.

Rejected: comparing answers with those before as a whole (ranks may shift while something is missing; how far
they do is a figure of its own, the overlap).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from carma.errors import CarmaError, FragmentNotFound
from carma.memory.memory import Memory
from carma.models import Fragment, Node, Page, SearchResult, State
from carma.prove.corpus import Original
from carma.prove.queries import LIMIT, Query, ask
from carma.store.record import text_digest

__all__ = ["Answer", "Round", "Seen", "Truth", "answer_to", "percentile", "recall"]

_EXAMPLES = 20
_NOTHING = text_digest("").hex()


class Seen(NamedTuple):
    """A fragment in an answer. digest: of the text that was given out, hexadecimal; empty if there was
    none.
    """

    id: str
    state: State
    version: int
    digest: str


class Answer(NamedTuple):
    """What one query gave. begun, ended: seconds on the monotonic clock. missing: `get` found no such
    fragment.
    """

    seen: tuple[Seen, ...]
    begun: float
    ended: float
    degraded: bool = False
    error: str | None = None
    missing: bool = False

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.ended - self.begun) * 1000

    @property
    def ids(self) -> tuple[str, ...]:
        """The fragments that came with a text, in order."""
        return tuple(each.id for each in self.seen if each.state != "blank")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the answers are held against.

    lost: ids of what was lost. placeless: nothing on disk says any more where in the tree the lost ones
    stood; so a tree does not reach what lies below them either, though that is whole.
    """

    originals: Mapping[str, Original]
    lost: AbstractSet[str] = frozenset()
    placeless: bool = False

    def wrong(self, query: Query, answer: Answer, before: Answer | None) -> Iterator[str]:
        """What is wrong with an answer, one sentence each. before: the answer to the same query before the
        loss.
        """
        for seen in answer.seen:
            said = self._lies(seen)
            if said is not None:
                yield f"{seen.id}: {said}"
        if answer.missing:
            yield f"{query.target}: said not to exist"
        if query.verb in ("list", "tree") and before is not None and answer.error is None:
            gone = {each.id for each in before.seen} - {each.id for each in answer.seen}
            for id in sorted(gone):
                if not self._out_of_place(query, id):
                    yield f"{id}: left out of a {query.verb}"

    def may_be_empty(self, query: Query, before: Answer) -> bool:
        """Whether an answer may have nothing left of what it had before the loss."""
        return query.verb in ("list", "tree") and all(
            self._out_of_place(query, each.id) for each in before.seen
        )

    def _out_of_place(self, query: Query, id: str) -> bool:
        """Whether nothing says any more that a fragment lies below the target of a list or tree."""
        if not self.placeless or (query.verb == "list" and query.target is None):
            return False
        here: str | None = id
        while here is not None and here not in self.lost:
            if query.verb == "list" or here == query.target:
                return False
            here = self.originals[here].parent if here in self.originals else None
        return here is not None and here != query.target

    def _lies(self, seen: Seen) -> str | None:
        original = self.originals.get(seen.id)
        if original is None:
            return "nobody wrote this"
        if seen.state == "blank":
            return "a blank with a text" if seen.digest else None
        if seen.state == "reconstructed":
            return None if seen.id in self.lost else "a reconstruction in place of true bytes"
        if seen.version != original.version:
            return f"version {seen.version} in place of {original.version}"
        return (
            None if (seen.digest or _NOTHING) == original.digest else "another text in place of the original"
        )


@dataclass(slots=True)
class Round:
    """The answers of one phase, as they come in.

    times: what each took, in milliseconds. longest_wait_ms: between one answered query and the next.
    """

    name: str
    asked: int = 0
    failed: int = 0
    wrong: int = 0
    degraded: int = 0
    states: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    by_verb: dict[str, list[float]] = field(default_factory=dict)
    longest_wait_ms: float = 0.0
    _last: float | None = None

    def take(self, number: int, query: Query, answer: Answer, truth: Truth, before: Answer | None) -> None:
        """Judge an answer and count it. number: of the query; the first answer to each is kept."""
        self.asked += 1
        self.answers.setdefault(number, answer)
        self.times.append(answer.ms)
        self.by_verb.setdefault(query.verb, []).append(answer.ms)
        self.degraded += answer.degraded
        for seen in answer.seen:
            self.states[seen.state] = self.states.get(seen.state, 0) + 1
        why = answer.error
        if why is None and not answer.missing and before is not None and before.seen and not answer.seen:
            why = None if truth.may_be_empty(query, before) else "nothing in place of an answer"
        wrong = list(truth.wrong(query, answer, before))
        self.failed += why is not None
        self.wrong += bool(wrong)
        for text in ([why] if why else []) + wrong:
            if len(self.examples) < _EXAMPLES:
                self.examples.append(
                    f"{self.name}, {query.verb} {query.text or query.target or 'all'}: {text}"
                )
        if why is None:
            since = self._last if self._last is not None else answer.begun
            self.longest_wait_ms = max(self.longest_wait_ms, (answer.ended - since) * 1000)
            self._last = answer.ended

    def pause(self) -> None:
        """Nobody asks from now to the next query."""
        self._last = None

    def latency_ms(self, verb: str | None = None) -> dict[str, float]:
        """p50 and p99 of all answers, or of one verb's."""
        times = self.times if verb is None else self.by_verb.get(verb, [])
        return {"p50": round(percentile(times, 0.5), 3), "p99": round(percentile(times, 0.99), 3)}

    def overlap(self, queries: Sequence[Query], before: Round) -> float | None:
        """The mean share of the first ten hits before that are among those now, with a text; None without
        searches.
        """
        shares = []
        for number, answer in self.answers.items():
            earlier = before.answers[number].ids[:LIMIT]
            if queries[number].verb == "search" and earlier:
                shares.append(len(set(earlier) & set(answer.ids[:LIMIT])) / len(earlier))
        return _mean(shares)

    def finds(self, queries: Sequence[Query], lost: AbstractSet[str]) -> float | None:
        """Of the searches made from a lost fragment, the share that finds it among ten, with a text; None if
        none was.
        """
        asked = ((queries[number].about, answer) for number, answer in self.answers.items())
        return _mean([float(about in answer.ids) for about, answer in asked if about in lost])

    def evidence(self, queries: Sequence[Query], lost: AbstractSet[str] | None = None) -> float | None:
        """Evidence recall at ten of the given questions; with `lost` only of those whose evidence was hit."""
        shares = []
        for number, answer in self.answers.items():
            turns = queries[number].evidence
            if turns and (lost is None or any(turn & lost for turn in turns)):
                shares.append(recall(answer.ids[:LIMIT], turns))
        return _mean(shares)


def answer_to(memory: Memory, query: Query) -> Answer:
    """Ask once; an exception is an answer that failed."""
    begun = time.perf_counter()
    try:
        found = ask(memory, query)
    except FragmentNotFound:
        return Answer((), begun, time.perf_counter(), missing=True)
    except CarmaError as error:
        return Answer((), begun, time.perf_counter(), error=f"{type(error).__name__}: {error.message}")
    except Exception as error:
        return Answer((), begun, time.perf_counter(), error=repr(error))
    ended = time.perf_counter()
    degraded = isinstance(found, SearchResult) and found.degraded
    return Answer(tuple(map(_seen, _fragments(found))), begun, ended, degraded)


def _fragments(found: object) -> Iterable[Fragment]:
    if isinstance(found, SearchResult):
        return [hit.fragment for hit in found]
    if isinstance(found, Page):
        return found
    if isinstance(found, Node):
        return list(_below(found))
    assert isinstance(found, Fragment)
    return [found]


def _below(node: Node) -> Iterator[Fragment]:
    if node.fragment is not None:
        yield node.fragment
    for child in node.children:
        yield from _below(child)


def _seen(fragment: Fragment) -> Seen:
    digest = text_digest(fragment.text).hex() if fragment.text else ""
    return Seen(fragment.id, fragment.state, fragment.version, digest)


def recall(found: Iterable[str], evidence: Sequence[AbstractSet[str]]) -> float:
    """The share of evidence turns of which a fragment was found."""
    ids = set(found)
    return sum(bool(turn & ids) for turn in evidence) / len(evidence)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); 0 where there are
    none.
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(max(-(-len(ordered) * round(share * 1000) // 1000) - 1, 0), len(ordered) - 1)]


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
