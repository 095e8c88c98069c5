"""Queries that come at once: one call, and everybody has their own vectors or their own error."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carma.embed import MiniLM
from carma.embed.gathering import GatheringEmbedder
from carma.embed.port import Fingerprint, Vectors
from carma.errors import EmbedderError, InvalidInput
from carma.testing import HashEmbedder

WAIT_S = 20.0


class Slow:
    """Embeds by hash; the first call waits until it is let go on, so that others come meanwhile."""

    def __init__(self) -> None:
        self.hash = HashEmbedder(16)
        self.calls: list[list[str]] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    @property
    def fingerprint(self) -> Fingerprint:
        return self.hash.fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        if len(self.calls) == 1:
            self.began.set()
            assert self.go_on.wait(WAIT_S)
        if "bad" in texts:
            raise EmbedderError("a bad text")
        return self.hash.embed(texts)


def all_at_once(slow: Slow, gathering: GatheringEmbedder, others: Sequence[list[str]]) -> list[object]:
    """What each caller gets: the first, whose call is under way while the others come."""

    def call(texts: list[str]) -> object:
        try:
            return gathering.embed(texts)
        except EmbedderError as error:
            return error

    with ThreadPoolExecutor(len(others) + 1) as pool:
        first = pool.submit(call, ["first"])
        assert slow.began.wait(WAIT_S)
        rest = [pool.submit(call, texts) for texts in others]
        deadline = threading.Event()
        while len(gathering._waiting) < len(others) and not deadline.wait(0.001):
            pass
        slow.go_on.set()
        return [each.result(WAIT_S) for each in (first, *rest)]


def test_those_who_come_while_a_call_runs_share_the_next() -> None:
    """Two calls for nine callers, and each has the vectors of their own texts."""
    slow = Slow()
    gathering = GatheringEmbedder(slow)
    others = [[f"text {at}", f"more {at}"][: 1 + at % 2] for at in range(8)]
    found = all_at_once(slow, gathering, others)
    assert len(slow.calls) == 2 and sorted(slow.calls[1]) == sorted(text for each in others for text in each)
    for texts, vectors in zip([["first"], *others], found, strict=True):
        assert np.array_equal(vectors, slow.hash.embed(texts))  # type: ignore[arg-type]


def test_an_error_goes_to_whoever_caused_it() -> None:
    """A common call that fails is made again by each alone."""
    slow = Slow()
    found = all_at_once(slow, GatheringEmbedder(slow), [["good"], ["bad"], ["fine"]])
    assert [isinstance(each, EmbedderError) for each in found] == [False, False, True, False]


def test_one_call_takes_no_more_than_its_bound() -> None:
    """Who is left over goes with the call after it."""
    slow = Slow()
    found = all_at_once(slow, GatheringEmbedder(slow, most=3), [[f"text {at}"] for at in range(7)])
    assert [len(each) for each in slow.calls] == [1, 3, 3, 1] and len(found) == 8
    with pytest.raises(InvalidInput):
        GatheringEmbedder(slow, most=0)


def test_many_threads_get_the_vectors_of_the_packaged_embedder() -> None:
    """The same bits as without gathering, whoever was embedded beside them."""
    alone = MiniLM(1)
    gathering = GatheringEmbedder(alone)
    texts = [f"The heron number {at} stands in the harbour." for at in range(24)]
    wanted = [alone.embed([text])[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: gathering.embed([text])[0], texts))
    assert np.array_equal(found, wanted)
    assert gathering.embed([]).shape == (0, 384) and gathering.fingerprint == alone.fingerprint
