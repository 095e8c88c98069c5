"""Any function as an embedder: what it returns is checked before it is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from carma.embed.port import Fingerprint, Vectors, unit_rows
from carma.errors import CarmaError, EmbedderError, InvalidInput

__all__ = ["CallableEmbedder"]


class CallableEmbedder:
    """Embeds with `fn`, a function from a list of texts to one vector of `dimension` numbers each.

    `name` goes into the fingerprint together with `digest` (default: the name): change one of them when the
    function's vectors change. `fn` must be safe to call from several threads.
    """

    def __init__(
        self, fn: Callable[[list[str]], object], name: str, dimension: int, *, digest: str | None = None
    ) -> None:
        if dimension < 1:
            raise InvalidInput(f"dimension must be at least 1, not {dimension}")
        self._fn = fn
        self._fingerprint = Fingerprint(name, dimension, name if digest is None else digest)

    @property
    def fingerprint(self) -> Fingerprint:
        """Name, dimension and digest as given."""
        return self._fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`. Raises EmbedderError when `fn` raises or answers nonsense."""
        name, dimension = self._fingerprint.name, self._fingerprint.dimension
        if not texts:
            return np.empty((0, dimension), np.float32)
        try:
            answer = self._fn(list(texts))
        except CarmaError:
            raise
        except Exception as error:
            raise EmbedderError(f"embedder {name!r} failed: {type(error).__name__}: {error}") from error
        return unit_rows(answer, len(texts), dimension, f"embedder {name!r}")
