"""Promises of the words of a query."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.search.wordindex import WordIndex
from carma.search.words import WORDS_MAX, plan, read

from .worlds import Registry

TEXTS = [
    "Caroline went to the support group on 7 May",
    "the painting of a sunrise",
    "paintings by Caroline",
    "to be or not to be",
    "naïve café in Zürich",
    "supporting actors, a group of them",
]


def shelf() -> WordIndex:
    registry = Registry()
    for seq, text in enumerate(TEXTS, 1):
        registry.write(seq, text)
    return WordIndex(registry.reader)


SHELF = shelf()


@pytest.fixture
def index() -> WordIndex:
    return SHELF


def found(index: WordIndex, text: str, **options: Any) -> list[int]:
    return index.search(text, 10, total=len(TEXTS), **options).seqs.tolist()


def test_words_find_their_other_forms_and_the_rare_ones_count_more(index: WordIndex) -> None:
    assert set(found(index, "who painted?")) == {2, 3}
    assert found(index, "Caroline's paintings")[0] == 3


def test_accents_and_capitals_do_not_matter(index: WordIndex) -> None:
    assert found(index, "CAFE ZURICH NAIVE") == [5]


def test_stop_words_are_left_out_unless_nothing_else_is_left(index: WordIndex) -> None:
    assert found(index, "the sunrise of the") == [2]
    assert 4 in found(index, "to be or not to be")


def test_a_quoted_phrase_must_occur_as_it_stands(index: WordIndex) -> None:
    assert found(index, '"support group"') == [1]
    assert found(index, '"group of them" Caroline') == [6]
    assert found(index, "“support group on” sunrise") == [1]
    assert found(index, '"not there at all" Caroline') == []


def test_scores_are_best_first_and_positive(index: WordIndex) -> None:
    scores = index.search("Caroline sunrise support", 10, total=6).scores
    assert (np.diff(scores) <= 0).all()
    assert (scores > 0).all()


def test_only_allowed_fragments_are_found(index: WordIndex) -> None:
    assert found(index, "Caroline", allowed=np.array([3, 5])) == [3]
    assert found(index, "Caroline", allowed=np.array([], np.int64)) == []
    assert set(found(index, "Caroline")) == {1, 3}


def test_a_word_that_was_unknown_is_found_once_it_is_written() -> None:
    """Frequencies are kept, but not those of words that were not there."""
    registry = Registry()
    index = WordIndex(registry.reader)
    assert found(index, "zebra") == []
    registry.write(1, "a zebra")
    assert found(index, "zebra") == [1]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from('"*():^+-“”\x00 aN'), max_size=40))
def test_no_query_is_a_syntax_error(text: str) -> None:
    """Whatever is typed, FTS5 accepts what is asked."""
    found(SHELF, text)


def test_operators_of_fts5_are_plain_words(index: WordIndex) -> None:
    for text in (
        "NEAR(Caroline sunrise)",
        "Caroline AND",
        "text: Caroline",
        "^Caroline",
        "Carol*",
        "NOT Caroline",
    ):
        found(index, text)
    assert found(index, "NEAR(Caroline, 5)") != []


def test_a_long_query_asks_for_its_rarest_words_only() -> None:
    query = read(" ".join(f"w{i}" for i in range(5_000)), str.split)
    attempts = plan(query, lambda word: int(word[1:]) + 1, 10**9)
    assert len(attempts) == 1
    assert attempts[0].match.count(" OR ") == WORDS_MAX - 1
    assert '"w0"' in attempts[0].match


def test_frequent_words_are_left_out_when_rarer_ones_are_there() -> None:
    counts = {"rare": 10, "usual": 900, "common": 50_000}
    query = read("rare usual common missing", str.split)
    assert plan(query, lambda word: counts.get(word, 0), 1_000)[0].match == '"rare" OR "usual"'


def test_when_all_words_are_frequent_they_are_asked_together_then_the_rarest_alone() -> None:
    """And only the newest so many are scored: every search has a bound."""
    counts = {"common": 50_000, "usual": 9_000}
    first, second = plan(read("common usual", str.split), counts.__getitem__, 1_000)
    assert (first.match, first.newest) == ('"usual" AND ("common")', 1_000)
    assert (second.match, second.newest) == ('"usual"', 1_000)


def test_the_newest_are_scored_when_a_word_is_everywhere() -> None:
    registry = Registry()
    with registry.db:
        registry.db.executemany(
            "INSERT INTO words(rowid, text) VALUES(?, 'common')", ((i,) for i in range(1, 4_001))
        )
    seqs = WordIndex(registry.reader).search("common", 10, total=4_000).seqs
    assert len(seqs) == 10
    assert seqs.min() > 1_500


def test_nothing_to_ask_finds_nothing(index: WordIndex) -> None:
    assert found(index, "") == []
    assert found(index, " ?! ") == []


def test_a_failing_reader_is_not_hidden() -> None:
    def broken() -> AbstractContextManager[apsw.Connection]:
        raise apsw.CorruptError("the file is damaged")

    with pytest.raises(apsw.CorruptError):
        WordIndex(broken).search("a", 1, total=1)
