"""What the embedder for tests promises."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from carma.embed import Embedder
from carma.errors import InvalidInput
from carma.testing.embedder import HashEmbedder


def test_texts_that_share_words_lie_closer() -> None:
    """Shared words and shared stems bring texts near."""
    query, near, far = HashEmbedder().embed(
        ["the red fox runs", "a red fox was running", "stocks fell sharply today"]
    )
    assert query @ near > query @ far + 0.3


def test_every_text_has_a_unit_vector() -> None:
    """Empty, wordless and odd texts too."""
    embedder = HashEmbedder(16)
    vectors = embedder.embed(["", "!?", "\ud800", "word " * 10_000, "日本語"])
    assert vectors.shape == (5, 16) and vectors.dtype == np.float32 and isinstance(embedder, Embedder)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    with pytest.raises(InvalidInput):
        HashEmbedder(1)


def test_another_process_makes_the_same_vectors() -> None:
    """Nothing depends on Python's salted hash."""
    script = (
        "from carma.testing.embedder import HashEmbedder\n"
        "print(HashEmbedder().embed(['one two three']).tobytes().hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {HashEmbedder().embed(["one two three"]).tobytes().hex().encode() + b"\n"}
