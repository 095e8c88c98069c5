"""What the embedding cache promises."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carma.embed import CachedEmbedder, Embedder, Fingerprint
from carma.embed.port import Vectors
from carma.errors import InvalidInput
from carma.testing.embedder import HashEmbedder


class Counting:
    """A real embedder that remembers what it was asked."""

    def __init__(self) -> None:
        self.inner = HashEmbedder()
        self.asked: list[str] = []

    @property
    def fingerprint(self) -> Fingerprint:
        return self.inner.fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return self.inner.embed(texts)


def test_a_repeated_text_is_embedded_once() -> None:
    """The second asking, and a repeat inside one call, come from the cache."""
    counting = Counting()
    cache = CachedEmbedder(counting, 10)
    first = cache.embed(["a", "b", "a"])
    assert np.array_equal(cache.embed(["a", "b", "a"]), first)
    assert np.array_equal(first, counting.inner.embed(["a", "b", "a"]))
    assert (counting.asked, cache.hits, cache.misses) == (["a", "b"], 4, 2)
    assert isinstance(cache, Embedder) and cache.fingerprint == counting.fingerprint


def test_the_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    """It never holds more than its bound, and a used entry outlives an unused one."""
    counting = Counting()
    cache = CachedEmbedder(counting, 2)
    for text in ("a", "b", "a", "c"):
        cache.embed([text])
    assert len(cache) == 2
    counting.asked.clear()
    cache.embed(["a", "c", "b"])
    assert counting.asked == ["b"]
    cache.embed([str(i) for i in range(1000)])
    assert len(cache) == 2


def test_what_a_caller_does_to_a_vector_stays_with_the_caller() -> None:
    """The cache hands out copies."""
    cache = CachedEmbedder(HashEmbedder(), 10)
    cache.embed(["a"])[:] = np.nan
    assert np.isfinite(cache.embed(["a"])).all()


def test_a_purged_text_is_forgotten() -> None:
    """`forget` drops one text, `clear` all."""
    cache = CachedEmbedder(HashEmbedder(), 10)
    cache.embed(["a", "b", "c"])
    cache.forget("a")
    cache.forget("never seen")
    assert len(cache) == 2
    cache.clear()
    assert len(cache) == 0


def test_threads_share_the_cache() -> None:
    """Under many threads every answer is right, the bound holds and every text is counted."""
    cache, plain = CachedEmbedder(HashEmbedder(), 50), HashEmbedder()
    asked = [[f"text {(i * 7 + j) % 80}" for j in range(20)] for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(cache.embed, asked))
    assert all(np.array_equal(got, plain.embed(texts)) for got, texts in zip(answers, asked, strict=True))
    assert len(cache) <= 50 and cache.hits + cache.misses == 4000


def test_odd_and_no_texts_pass_through() -> None:
    """Lone surrogates have a key; zero texts give zero rows; a bound of zero is refused."""
    cache = CachedEmbedder(HashEmbedder(8), 10)
    assert cache.embed(["\ud800", "", "\0"]).shape == (3, 8)
    assert cache.embed([]).shape == (0, 8)
    with pytest.raises(InvalidInput):
        CachedEmbedder(HashEmbedder(), 0)
