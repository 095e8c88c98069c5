"""The port every embedder fills: text in, unit vectors out, and a fingerprint that says which embedder it
was.
 The idea: vectors of two embedders cannot be compared, so a memory records the fingerprint of the one that
filled it and refuses another. An embedder is asked for nothing else; pooling, prompts and batching are its
own business. Rejected: an abstract base class. A protocol lets any object with the two members be an
embedder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from carma.errors import EmbedderError

__all__ = ["Embedder", "Fingerprint", "unit_rows"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which embedder made a vector.

    `name` is for people, `dimension` is the length of a vector, `digest` is the BLAKE3 of the model file in
    hex, or an id given by the caller where there is no file. Two embedders are the same exactly when all
    three are equal.
    """

    name: str
    dimension: int
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """The fingerprint as JSON-ready values."""
        return {"name": self.name, "dimension": self.dimension, "digest": self.digest}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fingerprint:
        """The inverse of `to_dict`. Raises EmbedderError when a member is missing or of the wrong type."""
        try:
            name, dimension, digest = values["name"], values["dimension"], values["digest"]
        except KeyError as missing:
            raise EmbedderError(f"embedder fingerprint lacks {missing}") from None
        if not (
            isinstance(name, str) and isinstance(digest, str) and type(dimension) is int and dimension > 0
        ):
            raise EmbedderError("embedder fingerprint has a member of the wrong type")
        return cls(name=name, dimension=dimension, digest=digest)


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors. Implementations are safe to call from several threads."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Which embedder this is."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed `texts`: float32, shape (len(texts), dimension), rows in the order given and of length 1.

        Raises EmbedderError when the embedder cannot answer. Never returns fewer rows, NaN or infinity.
        """
        ...


def unit_rows(answer: object, rows: int, dimension: int | None, source: str) -> Vectors:
    """Check what an embedder answered and scale its rows to length 1.

    `answer` is anything NumPy reads as numbers of shape (rows, dimension); with `dimension` None any width
    passes. Raises EmbedderError, naming `source`, on another shape, on something that is not numbers, and on
    NaN or infinity. A row of zeros has no direction and is refused too.
    """
    try:
        vectors = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise EmbedderError(f"{source} answered something that is not a table of numbers") from None
    wanted = f"({rows}, {'any' if dimension is None else dimension})"
    if (
        vectors.ndim != 2
        or vectors.shape[0] != rows
        or vectors.shape[1] == 0
        or dimension not in (None, vectors.shape[1])
    ):
        raise EmbedderError(f"{source} answered vectors of shape {vectors.shape}, expected {wanted}")
    if not np.isfinite(vectors).all():
        raise EmbedderError(f"{source} answered a vector with NaN or infinity")
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    if not (largest > 0).all():
        raise EmbedderError(f"{source} answered a vector of zeros")
    vectors = vectors / largest  # so that squaring neither overflows nor vanishes
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors.astype(np.float32)
    return unit
