"""The trained index on disk: what comes back is what was saved, or nothing and a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carma.ports.disk import LocalDisk
from carma.search.vectorindex import Loaded, VectorIndex

DIMENSION = 32
COUNT = 1500
TAG = b"embedder"
QUERIES = np.random.default_rng(9).standard_normal((40, DIMENSION), dtype=np.float32)
SEQS = np.arange(COUNT) * 2 + 100
DIGESTS = np.random.default_rng(10).integers(0, 256, (COUNT, 16), dtype=np.uint8)


def trained() -> VectorIndex:
    vectors = np.random.default_rng(8).standard_normal((COUNT, DIMENSION), dtype=np.float32)
    index = VectorIndex(DIMENSION, exact_below=1000)
    index.add(np.arange(COUNT), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    index.rebuild()
    return index


def save(index: VectorIndex, path: Path) -> bool:
    return index.save(
        LocalDisk(), str(path), fingerprint=TAG, identify=lambda rows: (SEQS[rows], DIGESTS[rows].tobytes())
    )


def load(path: Path, *, dimension: int = DIMENSION, fingerprint: bytes = TAG) -> tuple[VectorIndex, Loaded]:
    def rows_of(seqs: NDArray[np.int64], digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        rows = (seqs - 100) // 2
        return np.where((digests == DIGESTS[np.clip(rows, 0, COUNT - 1)]).all(axis=1), rows, -1)

    index = VectorIndex(dimension)
    return index, index.load(LocalDisk(), str(path), fingerprint=fingerprint, rows_of=rows_of)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """The same rows, the same scores, and it goes on from there: removals, additions, rebuilds."""
    index = trained()
    index.remove(np.arange(0, COUNT, 5))
    assert save(index, tmp_path / "index")
    again, loaded = load(tmp_path / "index")
    assert loaded == Loaded(len(index), None) and len(again) == len(index)
    for ours, theirs in zip(index.search_batch(QUERIES, 10), again.search_batch(QUERIES, 10), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(again.vectors(np.arange(COUNT)), index.vectors(np.arange(COUNT)), equal_nan=True)
    again.remove(np.arange(1, COUNT, 5))
    again.add(np.array([0, COUNT]), QUERIES[:2])
    assert again.rebuild() and len(again) == len(index) - COUNT // 5 + 2
    assert again.search(QUERIES[1], 1)[0].tolist() == [COUNT]


def test_vectors_of_texts_that_changed_or_are_gone_are_left_out(tmp_path: Path) -> None:
    """A seq alone proves nothing: the digest of the text must be the same, and the caller decides."""
    save(trained(), tmp_path / "index")
    index = VectorIndex(DIMENSION)
    kept = np.random.default_rng(1).random(COUNT) < 0.5

    def rows_of(seqs: NDArray[np.int64], digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        at = (seqs - 100) // 2
        assert np.array_equal(digests, DIGESTS[at])
        return np.where(kept[at], at + 7, -1)

    loaded = index.load(LocalDisk(), str(tmp_path / "index"), fingerprint=TAG, rows_of=rows_of)
    assert loaded.vectors == kept.sum() == len(index)
    found = index.search_batch(QUERIES, 10)[0]
    assert kept[found - 7].all()


def test_nothing_is_saved_of_an_exact_index_and_nothing_loaded_where_nothing_is(tmp_path: Path) -> None:
    """The exact tier needs no training; a missing file is a reason, not an error."""
    assert not save(VectorIndex(DIMENSION), tmp_path / "index")
    assert load(tmp_path / "index")[1] == Loaded(0, "there is no trained index yet")


@pytest.mark.parametrize(("dimension", "fingerprint"), [(DIMENSION, b"other"), (16, TAG)])
def test_the_index_of_another_embedder_is_not_loaded(
    tmp_path: Path, dimension: int, fingerprint: bytes
) -> None:
    """Vectors of two embedders do not compare."""
    save(trained(), tmp_path / "index")
    index, loaded = load(tmp_path / "index", dimension=dimension, fingerprint=fingerprint)
    assert loaded == Loaded(0, "the trained index belongs to another embedder") and len(index) == 0


def test_any_damage_is_a_reason_and_never_a_wrong_answer(tmp_path: Path) -> None:
    """Flipped bits and cuts, in the header and everywhere else: nothing is loaded, nothing raises."""
    save(trained(), tmp_path / "index")
    intact = (tmp_path / "index").read_bytes()
    random = np.random.default_rng(2)
    places = [*range(0, 64 * 8, 5), *random.integers(0, len(intact) * 8, 150).tolist()]
    cuts = [0, 1, 23, 24, 100, len(intact) - 1, *random.integers(0, len(intact), 20).tolist()]
    damaged = [
        intact[: bit // 8] + bytes([intact[bit // 8] ^ 1 << bit % 8]) + intact[bit // 8 + 1 :]
        for bit in places
    ]
    for data in (*damaged, *(intact[:cut] for cut in cuts), intact + b"\0"):
        (tmp_path / "index").write_bytes(data)
        index, loaded = load(tmp_path / "index")
        assert loaded.vectors == 0 and loaded.reason and len(index) == 0
    (tmp_path / "index").write_bytes(intact)
    assert load(tmp_path / "index")[1].reason is None
