"""The trained tier: recall, removals, filters, recent vectors and rebuilding beside searches."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from carma.search.vectorindex import VectorIndex

DIMENSION = 64
COUNT = 6000


def clustered(seed: int, count: int) -> np.ndarray:
    """Vectors of length 1 around 150 centres, as texts lie around subjects; shape (count, DIMENSION)."""
    centres = np.random.default_rng(0).standard_normal((150, DIMENSION), dtype=np.float32)
    random = np.random.default_rng(seed)
    near = random.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors = centres[random.integers(0, len(centres), count)] + 0.6 * near
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS = clustered(1, COUNT)
QUERIES = clustered(2, 200)


def trained(rows: np.ndarray | None = None) -> VectorIndex:
    """An index over `VECTORS`, rows 0 to COUNT - 1, that is trained."""
    index = VectorIndex(DIMENSION, exact_below=2000)
    index.add(np.arange(COUNT) if rows is None else rows, VECTORS)
    assert index.needs_rebuild() and index.rebuild() and not index.needs_rebuild()
    return index


def recall(found: np.ndarray, allowed: np.ndarray | None = None, k: int = 10) -> float:
    """The share of the true `k` nearest of `VECTORS` that `found` holds."""
    scores = QUERIES @ VECTORS.T
    if allowed is not None:
        scores[:, ~allowed] = -2
    truth = np.argsort(-scores, axis=1)[:, :k]
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    )


def test_the_trained_index_finds_most_of_the_nearest() -> None:
    """Recall@10 is at least 0.95, one by one as in a batch, and scores are inner products."""
    index = trained()
    rows, scores = index.search_batch(QUERIES, 10)
    assert recall(rows) >= 0.95
    assert np.einsum("qkd,qd->qk", VECTORS[rows], QUERIES) == pytest.approx(scores, abs=1e-3)
    assert (np.diff(scores, axis=1) <= 0).all()
    singles = [index.search(query, 10) for query in QUERIES]
    assert recall(np.array([found for found, _ in singles])) >= 0.95
    assert all((np.diff(score) <= 0).all() for _, score in singles)
    assert index.vectors(np.arange(50)) == pytest.approx(VECTORS[:50], abs=1e-3)


def test_rows_that_are_no_positions_come_back_as_given() -> None:
    """Rows may have gaps and any order; results name rows."""
    rows = np.random.default_rng(3).permutation(3 * COUNT)[:COUNT]
    index = trained(rows)
    place = {row: at for at, row in enumerate(rows.tolist())}
    found = index.search_batch(QUERIES, 10)[0]
    assert recall(np.vectorize(place.__getitem__)(found)) >= 0.95
    assert index.vectors(rows[:50]) == pytest.approx(VECTORS[:50], abs=1e-3)


def test_a_removed_row_is_never_returned() -> None:
    """Not by one search, a batch, or with a filter that allows it, nor after an extension or a purge."""
    index = trained()
    gone = np.unique(index.search_batch(QUERIES, 3)[0])
    assert index.remove(gone) == len(gone) and index.remove(gone) == 0
    alive = np.ones(COUNT, np.bool_)
    alive[gone] = False
    for rebuild in (lambda: True, index.rebuild, lambda: index.rebuild(purge=True)):
        assert rebuild()
        found = index.search_batch(QUERIES, 10)[0]
        assert recall(found, alive) >= 0.95 and not np.isin(found, gone).any()
        assert not np.isin(index.search_batch(QUERIES, 10, allowed=np.ones(COUNT, np.bool_))[0], gone).any()
        assert not any(np.isin(index.search(query, 10)[0], gone).any() for query in QUERIES[:50])
        assert len(index) == COUNT - len(gone) and np.isnan(index.vectors(gone)).all()


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.3, 0.9])
def test_a_filter_finds_what_it_allows(share: float) -> None:
    """However many are allowed, the nearest of them are found, and k of them if there are k."""
    index = trained()
    allowed = np.random.default_rng(5).random(COUNT) < share
    found = index.search_batch(QUERIES, 10, allowed=allowed)[0]
    count = min(10, int(allowed.sum()))
    assert (
        allowed[found[:, :count]].all() and (found[:, :count] >= 0).all() and (found[:, count:] == -1).all()
    )
    if count == 10:
        assert recall(found, allowed) >= 0.95
    assert len(index.search(QUERIES[0], 10, allowed=allowed)[0]) == count


def test_a_filter_of_one_far_cluster_finds_k() -> None:
    """Many are allowed, but none of them near the query: they are found all the same."""
    index = trained()
    allowed = np.zeros(COUNT, np.bool_)
    allowed[np.argsort(VECTORS @ QUERIES[0])[: COUNT // 3]] = True
    rows, scores = index.search(QUERIES[0], 10, allowed=allowed)
    assert len(rows) == 10 and allowed[rows].all()
    exact = np.sort(VECTORS[allowed] @ QUERIES[0])[::-1][:10]
    assert scores[0] >= exact[0] - 0.1


def test_more_results_than_the_probed_lists_hold() -> None:
    """A very large k is answered by comparing everything."""
    index = trained()
    index.remove(np.arange(10))
    rows, scores = index.search(QUERIES[0], COUNT)
    assert sorted(rows.tolist()) == list(range(10, COUNT)) and (np.diff(scores) <= 0).all()


def test_recent_vectors_are_found_at_once_and_exactly() -> None:
    """What was added after the training takes part in every search, also once it is removed again."""
    index = trained()
    index.add(np.arange(COUNT, COUNT + 200), QUERIES)
    assert [index.search(query, 3)[0][0] for query in QUERIES] == list(range(COUNT, COUNT + 200))
    assert index.search_batch(QUERIES, 3)[0][:, 0].tolist() == list(range(COUNT, COUNT + 200))
    index.remove(np.arange(COUNT, COUNT + 200))
    assert recall(index.search_batch(QUERIES, 10)[0]) >= 0.95


def test_growth_extends_and_then_trains_anew_and_shrinking_goes_back_to_exact() -> None:
    """Each rebuild leaves every vector in place and nothing to rebuild."""
    index = VectorIndex(DIMENSION, exact_below=1000)
    for start, stop in ((0, 1200), (1200, 2500), (2500, COUNT)):
        index.add(np.arange(start, stop), VECTORS[start:stop])
        assert index.needs_rebuild() and index.rebuild() and not index.needs_rebuild()
    assert recall(index.search_batch(QUERIES, 10)[0]) >= 0.95
    index.remove(np.arange(400, COUNT))
    assert index.needs_rebuild() and index.rebuild() and not index.needs_rebuild()
    expected = np.sort(QUERIES @ VECTORS[:400].T, axis=1)[:, ::-1][:, :10]
    assert index.search_batch(QUERIES, 10)[1] == pytest.approx(expected, abs=1e-3)


def test_the_same_vectors_train_the_same_index() -> None:
    """Training is deterministic: a seeded sample, seeded centroids, one thread."""
    first, second = trained().search_batch(QUERIES, 10), trained().search_batch(QUERIES, 10)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])


def test_writes_during_a_rebuild_are_kept() -> None:
    """What is added or removed while a rebuild works is added and removed when it is in place."""
    index = trained()
    added, removed, stop = COUNT, 0, threading.Event()

    def rebuild() -> None:
        while not stop.is_set():
            index.rebuild(purge=True)

    rebuilder = threading.Thread(target=rebuild)
    rebuilder.start()
    for step in range(40):
        index.add(np.arange(added, added + 5), QUERIES[5 * step :][:5])
        added += 5
        index.remove(np.arange(removed, removed + 20))
        removed += 20
        rows = index.search_batch(QUERIES[: 5 * step + 5], 10, threads=1)[0]
        assert rows.min() >= removed and rows[:, 0].tolist() == list(range(COUNT, added))
    stop.set()
    rebuilder.join()
    assert len(index) == added - removed
    assert index.has(np.arange(added)).tolist() == [False] * removed + [True] * (added - removed)


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 130])
def test_any_dimension_can_be_trained(dimension: int) -> None:
    """Dimensions that no code size divides are projected to one that it does."""
    vectors = np.random.default_rng(dimension).standard_normal((1200, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = VectorIndex(dimension, exact_below=1000)
    index.add(np.arange(1200), vectors)
    index.rebuild()
    rows, scores = index.search_batch(vectors[:100], 1)
    assert np.mean(scores > 0.999) > 0.9 and rows.min() >= 0
