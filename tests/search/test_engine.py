"""Promises of the engine: what is found, in which order, and what is said when something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from carma.errors import InvalidInput
from carma.search.columns import Columns, Entry
from carma.search.engine import Engine, Mode, Ranked
from carma.search.wordindex import Found

from .worlds import Vectors, World, bag, embed, fragment_id

DOCUMENT = World(
    ("Operations handbook", None),
    ("Retry policy", 1),
    ("An upload is tried again five times with growing pauses.", 2),
    ("After that the job waits for a person.", 2),
    ("Holidays", 1),
    ("The office is closed in August.", 5),
    ("Lunch is at noon.", 5),
)


def engine(world: World = DOCUMENT, **options: Any) -> Engine:
    parts: dict[str, Any] = {"vectors": world.vectors, "words": world.words, "embed": embed} | options
    return Engine(world.columns, parts.pop("vectors"), parts.pop("words"), parts.pop("embed"), **parts)


def texts(world: World, ranked: Ranked) -> list[str]:
    return [world.texts[row] for row in ranked.rows]


def test_the_fragment_that_answers_comes_first() -> None:
    assert texts(DOCUMENT, engine().rank("when is the office closed"))[0] == "The office is closed in August."


def test_a_paragraph_is_found_through_its_heading() -> None:
    """Both paragraphs under the heading come before those of other sections, without a word of the query."""
    found = texts(DOCUMENT, engine().rank("retry policy", limit=7))
    mine = [found.index(DOCUMENT.texts[number]) for number in (2, 3)]
    others = [found.index(DOCUMENT.texts[number]) for number in (5, 6)]
    assert max(mine) < min(others)


def test_a_neighbour_of_a_hit_is_found_although_it_shares_no_word() -> None:
    world = World(
        ("Where did you go on holiday?", 9), ("Lisbon!", 9), ("My car broke down.", 9), ("Oh no.", 8)
    )
    assert texts(world, engine(world).rank("where did Ann go on holiday", limit=2))[1] == "Lisbon!"


@pytest.mark.parametrize("mode", ["hybrid", "vector", "words"])
def test_every_mode_gives_scores_best_first(mode: Mode) -> None:
    ranked = engine().rank("the office upload", mode=mode)
    assert len(ranked.rows) >= 2
    assert (np.diff(ranked.scores) <= 0).all()
    assert not ranked.degraded


def test_explain_shows_each_part() -> None:
    """The vector part is the cosine, the words part BM25, as they are in the modes of their own."""
    ranked = engine().rank("office closed", limit=1, explain=True)
    alone = engine().rank("office closed", limit=1, mode="words", explain=True)
    assert ranked.parts.vector[0] == pytest.approx(float(bag(DOCUMENT.texts[5]) @ bag("office closed")))
    assert ranked.parts.words[0] == alone.parts.words[0] == alone.scores[0]
    assert ranked.parts.neighbours[0] >= 0.0
    assert ranked.parts.context[0] > 0.0
    assert engine().rank("office closed").parts is None


def test_only_allowed_rows_are_hits_and_only_visible_ones_lend_evidence() -> None:
    """A filter hides hits and keeps their evidence; a scope hides both."""
    world = World(("the password is swordfish", 9), ("yes", 9), ("no", 8))
    allowed = np.array([False, True, True])
    filtered = engine(world).rank("password swordfish", allowed=allowed, explain=True)
    scoped = engine(world).rank("password swordfish", visible=allowed, explain=True)
    assert 0 not in filtered.rows.tolist() + scoped.rows.tolist()
    assert filtered.rows[0] == 1
    assert scoped.parts.neighbours[scoped.rows.tolist().index(1)] == 0.0


def test_many_hidden_fragments_do_not_crowd_out_what_may_be_seen() -> None:
    """Whether a few or most are hidden, what is left is found as if the others were not there."""
    world = World(*((f"green tea number {number}", None) for number in range(400)))
    modes: tuple[Mode, ...] = ("hybrid", "vector", "words")
    for hidden in (1, 50, 390):
        mask = np.arange(400) >= hidden
        for mode in modes:
            found = engine(world).rank("green tea number", visible=mask, limit=10, mode=mode).rows
            assert len(found) == 10
            assert mask[found].all()


def test_what_is_less_than_min_score_is_left_out() -> None:
    every = engine().rank("office closed", limit=7)
    some = engine().rank("office closed", limit=7, min_score=float(every.scores[1]))
    assert some.rows.tolist() == every.rows.tolist()[:2]


def test_diversity_lets_a_double_give_way() -> None:
    world = World(("blue whale", None), ("blue whale", None), ("blue sky over us", None))
    plain = engine(world).rank("blue whale", limit=2)
    diverse = engine(world).rank("blue whale", limit=2, diversity=0.7)
    assert sorted(plain.rows.tolist()) == [0, 1]
    assert diverse.rows.tolist()[1] == 2


def test_of_equals_the_newest_comes_first() -> None:
    world = World(("same words", None), ("same words", None))
    assert engine(world).rank("same words").rows.tolist() == [1, 0]


def test_what_was_deleted_is_not_found_even_if_the_indexes_still_have_it() -> None:
    world = World(("green tea", None), ("green tea", None))
    world.columns.drop([2])
    for mode in ("hybrid", "vector", "words"):
        assert engine(world).rank("green tea", mode=mode).rows.tolist() == [0]


def test_rows_written_after_a_mask_was_made_are_not_seen() -> None:
    world = World(("green tea", None))
    mask = np.array([True])
    world.columns.append([Entry(2, fragment_id(2))])
    world.vectors = Vectors(embed(["green tea", "green tea"]))
    assert engine(world).rank("green tea", visible=mask).rows.tolist() == [0]


def test_a_failing_embedder_leaves_words_and_says_so() -> None:
    def fails(texts: Sequence[str]) -> Any:
        raise RuntimeError("no model")

    ranked = engine(embed=fails).rank("office closed")
    assert texts(DOCUMENT, ranked)[0] == "The office is closed in August."
    assert ranked.degraded
    assert "could not be embedded (no model)" in ranked.reasons[0]
    alone = engine(embed=fails).rank("office closed", mode="vector")
    assert alone.degraded
    assert len(alone.rows) == 0


def test_a_failing_word_index_leaves_meaning_and_says_so() -> None:
    class Broken:
        def search(self, text: str, limit: int, *, total: int, allowed: Any = None) -> Found:
            raise OSError("damaged")

    for words in (Broken(), None):
        ranked = engine(words=words).rank("office closed")
        assert texts(DOCUMENT, ranked)[0] == "The office is closed in August."
        assert ranked.degraded
        assert len(ranked.reasons) == 1


def test_a_missing_vector_index_or_embedder_is_said() -> None:
    assert engine(vectors=None).rank("office").reasons == (
        "The vector index is unavailable: nothing was searched by meaning.",
    )
    assert engine(embed=None).rank("office").degraded
    assert not engine(embed=None).rank("office", mode="words").degraded


def test_fragments_that_wait_for_vectors_are_found_by_words_and_counted() -> None:
    world = World(("red fox", None), ("red wine", None))
    world.vectors.matrix[1] = np.nan
    ranked = engine(world, pending=lambda: 1).rank("wine", explain=True)
    assert ranked.rows[0] == 1
    assert np.isnan(ranked.parts.vector[0])
    assert ranked.reasons == ("1 fragment has no vector yet and can be found by words only.",)


def test_a_vector_beside_the_text_replaces_the_embedding() -> None:
    """And a vector alone searches by meaning only."""
    ranked = engine(embed=None).rank("office", bag("Lunch is at noon."), limit=3)
    assert not ranked.degraded
    assert "Lunch is at noon." in texts(DOCUMENT, ranked)
    assert texts(DOCUMENT, engine(embed=None).rank(vector=bag("Lunch is at noon.")))[0] == "Lunch is at noon."


def test_batches_are_columns_and_agree_with_single_searches() -> None:
    queries = ["office closed", "retry policy", "zzz"]
    for mode in ("vector", "hybrid", "words"):
        batch = engine().rank_batch(queries, limit=3, mode=mode)
        assert batch.rows.shape == batch.scores.shape == (3, 3)
        assert batch.scores.dtype == np.float32
        for i, query in enumerate(queries):
            single = engine().rank(query, limit=3, mode=mode)
            assert np.allclose(batch.scores[i][: len(single.rows)], single.scores, atol=1e-6)
            assert (batch.rows[i][len(single.rows) :] == -1).all()
    assert engine(embed=None).rank_batch(embed(queries), limit=2).rows[0, 0] == 5


def test_an_empty_memory_answers_nothing() -> None:
    for mode in ("hybrid", "vector", "words"):
        ranked = engine(World()).rank("anything", mode=mode, diversity=0.5)
        assert len(ranked.rows) == 0
    assert engine(World()).rank_batch(["anything"]).rows.tolist() == [[-1] * 10]


def test_a_query_of_spaces_or_signs_is_no_error() -> None:
    for query in ("", "  ", "?!", '"', "\x00", "\ud800"):
        engine().rank(query)


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": None},
        {"text": None, "vector": bag("a"), "mode": "words"},
        {"text": "a", "mode": "magic"},
        {"text": "a", "limit": 0},
        {"text": "a", "diversity": 1.5},
        {"text": "a", "vector": np.array([np.nan, 1.0])},
        {"text": "a", "vector": np.ones((2, 2))},
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        engine().rank(**arguments)


def test_a_fragment_without_its_own_row_in_the_columns_is_skipped() -> None:
    """An index that is ahead of the columns does no harm."""
    world = World(("green tea", None))
    world.registry.write(7, "green tea")
    ahead = Engine(Columns(), world.vectors, world.words, embed)
    assert len(ahead.rank("green tea").rows) == 0
    assert engine(world).rank("green tea").rows.tolist() == [0]
