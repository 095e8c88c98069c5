"""The signs of an embedding's projections, one bit each, and the cosine they allow to estimate.

The idea: two unit vectors at angle t differ in the sign of a projection on a random direction with
probability t / pi, so the share of signs that agree gives their cosine, whatever the embedder. Rejected: the
signs of the components themselves, which say nothing of a vector that is mostly zeros; and product
quantization, which needs a trained codebook.

Source: M. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002, section 3.
"""

from __future__ import annotations

from functools import lru_cache

import blake3
import numpy as np
from numpy.typing import NDArray

__all__ = ["cosines", "direction", "signs_of"]

Vectors = NDArray[np.float32]
_SEED = b"carma sketch signs 1"


def signs_of(vector: Vectors, most_bytes: int) -> bytes:
    """The signs of a vector of shape (d,): ceil(d / 8) bytes, or `most_bytes` if that is less."""
    size = min((len(vector) + 7) // 8, most_bytes)
    projected = np.asarray(vector, np.float32) @ _directions(len(vector), 8 * size)
    return np.packbits(projected > 0).tobytes()


def cosines(signs: bytes, vectors: Vectors) -> Vectors:
    """The estimated cosine of each of `vectors`, shape (n, d), to the vector of `signs`: float32, shape (n,).

    Zeros where there are no signs. To signs of another embedder nothing comes near.
    """
    if not signs:
        return np.zeros(len(vectors), np.float32)
    kept = np.unpackbits(np.frombuffer(signs, np.uint8)).astype(bool)
    agree = ((vectors @ _directions(vectors.shape[1], len(kept)) > 0) == kept).mean(axis=1)
    estimated: Vectors = np.cos(np.pi * (1 - agree)).astype(np.float32)
    return estimated


def direction(signs: bytes, dimension: int) -> Vectors | None:
    """A unit vector that points roughly where the vector of `signs` did: float32, shape (dimension,); to
    search with.

    None where there are no signs.
    """
    if not signs:
        return None
    ones = np.unpackbits(np.frombuffer(signs, np.uint8)).astype(np.float32) * 2 - 1
    vector = _directions(dimension, len(ones)) @ ones
    unit: Vectors = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    return unit


@lru_cache(maxsize=8)
def _directions(dimension: int, count: int) -> Vectors:
    """Random directions of +1 and -1, the same everywhere: shape (dimension, count)."""
    seed = _SEED + dimension.to_bytes(4, "little") + count.to_bytes(4, "little")
    stream = blake3.blake3(seed).digest(length=(dimension * count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), count=dimension * count)
    return (bits.astype(np.float32) * 2 - 1).reshape(dimension, count)
