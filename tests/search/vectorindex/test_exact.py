"""The exact tier: what a search over few vectors promises."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import InvalidInput
from carma.search.vectorindex import VectorIndex

DIMENSION = 12


def unit(seed: int, count: int, dimension: int = DIMENSION) -> np.ndarray:
    """Random vectors of length 1, shape (count, dimension)."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def best(
    query: np.ndarray, vectors: dict[int, np.ndarray], k: int, allowed: np.ndarray | None = None
) -> np.ndarray:
    """The scores of the `k` best, by comparing everything."""
    scores = [
        float(vector @ query)
        for row, vector in vectors.items()
        if allowed is None or (row < len(allowed) and allowed[row])
    ]
    return np.array(sorted(scores, reverse=True)[:k], np.float32)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "remove", "rebuild"]), st.integers(0, 40), st.integers(0, 2**31)),
        max_size=12,
    ),
    k=st.sampled_from([1, 3, 10, 150]),
    mask=st.none() | st.lists(st.booleans(), max_size=200),
)
def test_a_search_equals_comparing_everything(
    steps: list[tuple[str, int, int]], k: int, mask: list[bool] | None
) -> None:
    """After any adds, removals and rebuilds, with and without a filter, one by one and in a batch."""
    index, model, following = VectorIndex(DIMENSION), dict[int, np.ndarray](), 0
    for verb, count, seed in steps:
        if verb == "add":
            rows = np.arange(following, following + 3 * count, 3)
            following += 3 * count
            vectors = unit(seed, count)
            assert index.add(rows, vectors) == count
            model.update(zip(rows.tolist(), vectors, strict=True))
        elif verb == "remove" and model:
            gone = np.random.default_rng(seed).choice(sorted(model), min(count, len(model)), replace=False)
            assert index.remove(np.append(gone, 10**6)) == len(gone)
            for row in gone.tolist():
                del model[row]
        elif verb == "rebuild":
            assert index.rebuild()
    allowed = None if mask is None else np.array(mask, np.bool_)
    queries = unit(7, 5)
    batch_rows, batch_scores = index.search_batch(queries, k, allowed=allowed)
    assert len(index) == len(model)
    for query, many_rows, many_scores in zip(queries, batch_rows, batch_scores, strict=True):
        expected = best(query, model, k, allowed)
        rows, scores = index.search(query, k, allowed=allowed)
        found = len(expected)
        assert scores == pytest.approx(expected, abs=1e-5) and len(set(rows.tolist())) == len(rows)
        assert many_scores[:found] == pytest.approx(expected, abs=1e-5)
        assert (many_rows[found:] == -1).all() and np.isneginf(many_scores[found:]).all()
        assert all(
            model[row] @ query == pytest.approx(score, abs=1e-5)
            for row, score in zip(rows, scores, strict=True)
        )


@pytest.mark.parametrize("m", [1, 2, 341, 1025, 3000])
def test_a_batch_of_any_size_on_any_number_of_threads_gives_the_same(m: int) -> None:
    """Blocks and threads meet without a gap, whichever way FAISS takes for so many queries."""
    vectors, queries = unit(1, 700), unit(2, m)
    index = VectorIndex(DIMENSION)
    index.add(np.arange(700), vectors)
    expected = np.sort(queries @ vectors.T, axis=1)[:, ::-1][:, :10]
    for threads in (1, 2, 5):
        rows, scores = index.search_batch(queries, 10, threads=threads)
        assert scores == pytest.approx(expected, abs=1e-5)
        assert np.einsum("qkd,qd->qk", vectors[rows], queries) == pytest.approx(scores, abs=1e-5)
    index.close()


def test_vectors_and_similarities_name_what_is_missing() -> None:
    """A row that was never added, was removed or is negative has NaN; the others what was added."""
    vectors = unit(3, 4)
    index = VectorIndex(DIMENSION)
    index.add(np.array([5, 0, 9, 2]), vectors)
    index.remove(np.array([9]))
    asked = np.array([9, 5, -1, 77, 2])
    assert np.array_equal(index.vectors(asked)[[1, 4]], vectors[[0, 3]])
    assert np.isnan(index.vectors(asked)[[0, 2, 3]]).all()
    similarities = index.similarities(vectors[0], asked)
    assert np.isnan(similarities).tolist() == [True, False, True, True, False]
    assert similarities[1] == pytest.approx(1, abs=1e-6)
    assert index.has(asked).tolist() == [False, True, False, False, True]


def test_a_row_that_is_present_is_left_as_it_is() -> None:
    """Adding the same rows again, as after following a file from its start, changes nothing."""
    vectors = unit(4, 6)
    index = VectorIndex(DIMENSION)
    assert index.add(np.arange(4), vectors[:4]) == 4
    assert index.add(np.arange(2, 6), np.concatenate([vectors[:2], vectors[4:]])) == 2
    assert np.array_equal(index.vectors(np.arange(6)), vectors)


@pytest.mark.parametrize(
    ("rows", "vectors"),
    [
        ([1, 1], unit(1, 2)),
        ([-1], unit(1, 1)),
        ([1], unit(1, 2)),
        ([1], unit(1, 1, 3)),
        ([1], np.full((1, DIMENSION), np.nan)),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(rows: list[int], vectors: np.ndarray) -> None:
    """Two vectors for a row, a negative row, wrong shapes, a vector that is not finite."""
    index = VectorIndex(DIMENSION)
    with pytest.raises(InvalidInput):
        index.add(np.array(rows), vectors)
    assert len(index) == 0 and index.search(unit(1, 1)[0], 3)[0].tolist() == []


def test_a_query_of_another_shape_is_refused() -> None:
    """A wrong dimension or no result asked for is the caller's error, not FAISS's assertion."""
    index = VectorIndex(DIMENSION)
    for query, k in ((unit(1, 1, 3)[0], 5), (unit(1, 1)[0], 0), (unit(1, 2), 5)):
        with pytest.raises(InvalidInput):
            index.search(query, k)
    with pytest.raises(InvalidInput):
        index.search_batch(unit(1, 1)[0], 5)
    assert index.search_batch(np.empty((0, DIMENSION)), 4)[0].shape == (0, 4)


def test_searches_see_every_write_that_ended_before_they_began() -> None:
    """While one thread adds, removes and rebuilds, others never get a row that was gone before they asked."""
    vectors = unit(5, 4000)
    index = VectorIndex(DIMENSION, exact_below=10**9)
    index.add(np.arange(1000), vectors[:1000])
    gone, stop, failures = 0, threading.Event(), list[str]()

    def search() -> None:
        while not stop.is_set():
            before = gone
            for rows in (
                index.search(vectors[before], 5)[0],
                index.search_batch(vectors[:20], 5, threads=1)[0],
            ):
                if rows.min() < before:
                    failures.append(f"{rows.min()} came back, removed before {before}")

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for searcher in searchers:
        searcher.start()
    for step in range(30):
        index.add(np.arange(1000 + 100 * step, 1100 + 100 * step), vectors[1000 + 100 * step :][:100])
        index.remove(np.arange(gone, gone + 30))
        gone += 30
        if step % 5 == 0:
            index.rebuild()
    stop.set()
    for searcher in searchers:
        searcher.join()
    assert failures == [] and len(index) == 4000 - gone
