"""Promises of the fusion."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from carma.search.fuse import CONTEXT, HIGHEST, NEIGHBOUR, Fused, Pool, fuse

Array = np.ndarray[Any, Any]
NONE = -1


def pool(
    cosine: list[float],
    words: list[float],
    before: list[int] | None = None,
    after: list[int] | None = None,
    parent: list[int] | None = None,
    group: list[int] | None = None,
) -> Pool:
    count = len(cosine)
    places = [
        np.array(p if p is not None else [NONE] * count, np.int64) for p in (before, after, parent, group)
    ]
    return Pool(np.array(cosine, float), np.array(words, float), *places)


def order(fused: Fused) -> list[int]:
    return [int(at) for at in np.argsort(-fused.scores, kind="stable")]


def test_meaning_and_words_count_alike() -> None:
    """The best of each list alone is worth the same."""
    scores = fuse(pool([0.6, 0.0, 0.3], [np.nan, 7.0, np.nan])).scores
    assert scores[0] == scores[1] > scores[2]


def test_a_good_neighbour_lifts_a_fragment() -> None:
    """Of two equal fragments the one beside the best comes first."""
    fused = fuse(pool([0.9, 0.3, 0.3], [np.nan] * 3, [NONE, 0, NONE], [1, NONE, NONE], group=[5, 5, 6]))
    assert order(fused) == [0, 1, 2]
    assert fused.neighbours[1] == NEIGHBOUR
    assert fused.neighbours[2] == 0.0


def test_only_the_better_neighbour_counts() -> None:
    """Long runs of mildly fitting turns do not outdo a good one."""
    three = pool(
        [0.5, 0.5, 0.5, 1.0], [np.nan] * 4, [NONE, 0, 1, NONE], [1, 2, NONE, NONE], group=[1, 1, 1, 2]
    )
    assert order(fuse(three))[0] == 3


def test_a_good_section_lifts_its_paragraphs() -> None:
    """Fragments of the section that holds the best hit come before equals elsewhere."""
    fused = fuse(pool([0.9, 0.3, 0.3], [np.nan] * 3, group=[5, 5, 6]))
    assert order(fused) == [0, 1, 2]
    assert fused.context[0] == fused.context[1] == CONTEXT


def test_a_heading_lifts_what_is_below_it_and_stays_behind_it() -> None:
    """The paragraph under the heading that names the subject comes first."""
    fused = fuse(pool([0.3, 0.3, 0.3], [5.0, np.nan, np.nan], parent=[NONE, 0, NONE], group=[9, 0, 8]))
    assert fused.scores[1] > fused.scores[2]
    below = fuse(pool([0.6, 0.5, 0.1], [5.0, 4.0, np.nan], parent=[NONE, 0, NONE], group=[9, 0, 8]))
    assert order(below)[0] == 1


def test_a_note_that_stands_alone_can_come_first() -> None:
    """Having no siblings is not held against it."""
    fused = fuse(pool([1.0, 0.8, 0.6], [9.0, 7.0, 5.0], [NONE, NONE, 1], [NONE, 2, NONE], group=[NONE, 4, 4]))
    assert order(fused)[0] == 0


def test_three_fragments_without_any_word_are_ordered_by_meaning() -> None:
    assert order(fuse(pool([0.1, 0.5, 0.3], [np.nan] * 3))) == [1, 2, 0]


def test_words_alone_order_when_there_are_no_vectors() -> None:
    scores = fuse(pool([np.nan] * 3, [1.0, np.nan, 3.0])).scores
    assert np.argsort(-scores).tolist() == [2, 0, 1]
    assert 0.0 == scores[1] < scores[0] < scores[2] <= 1.0


def test_everything_scores_low_where_nothing_is_close() -> None:
    """The score says something about the query, not only about the order."""
    near, far = fuse(pool([0.8, 0.4], [np.nan] * 2)), fuse(pool([0.08, 0.04], [np.nan] * 2))
    assert np.allclose(near.scores, far.scores * 10)
    assert (fuse(pool([-0.2, -0.1], [np.nan] * 2)).scores == 0.0).all()


def test_identical_fragments_score_identically() -> None:
    assert len(set(fuse(pool([0.5] * 4, [2.0] * 4)).scores.tolist())) == 1


def test_an_empty_pool_is_no_error() -> None:
    assert len(fuse(pool([], [])).scores) == 0


COUNT = 8
PLACES = hnp.arrays(np.int64, COUNT, elements=st.integers(-1, COUNT - 1))
COSINES = hnp.arrays(float, COUNT, elements=st.floats(-1, 1) | st.just(np.nan))
SCORES = hnp.arrays(float, COUNT, elements=st.floats(0, 1e6) | st.just(np.nan))


@given(COSINES, SCORES, PLACES, PLACES, PLACES, PLACES)
def test_scores_are_numbers_between_zero_and_one(
    cosine: Array, words: Array, before: Array, after: Array, parent: Array, group: Array
) -> None:
    """Whatever the structure, be it nonsense."""
    fused = fuse(Pool(cosine, words, before, after, parent, group))
    assert np.isfinite(fused.scores).all()
    assert ((fused.scores >= 0.0) & (fused.scores <= 1.0 + 1e-9)).all()


@given(COSINES, SCORES, PLACES, PLACES, PLACES, PLACES)
def test_the_parts_add_up_to_the_score(
    cosine: Array, words: Array, before: Array, after: Array, parent: Array, group: Array
) -> None:
    fused = fuse(Pool(cosine, words, before, after, parent, group))
    known = np.nan_to_num(cosine)
    best = max(known.max(), 0.0)
    own = np.maximum(known, 0.0) / best if best else np.zeros(COUNT)
    bm25 = np.nan_to_num(words)
    own = own + (bm25 / bm25.max() if bm25.max() else 0.0)
    scale = 1.0 if np.isnan(cosine).all() else best
    assert np.allclose(fused.scores, (own + fused.neighbours + fused.context) / HIGHEST * scale)


@given(COSINES, SCORES, PLACES, PLACES, PLACES, PLACES)
def test_what_is_below_the_candidates_changes_nothing(
    cosine: Array, words: Array, before: Array, after: Array, parent: Array, group: Array
) -> None:
    """More fragments that stand alone and fit worse leave the scores as they are, however many there are."""
    cosine = np.where(np.isnan(cosine), 0.1, cosine)
    small = fuse(Pool(cosine, words, before, after, parent, group))
    more = [np.append(values, np.full(5, fill)) for values, fill in ((cosine, -1.0), (words, np.nan))]
    links = [np.append(links, np.full(5, NONE)) for links in (before, after, parent, group)]
    assert np.array_equal(fuse(Pool(*more, *links)).scores[:COUNT], small.scores)
