"""Models of the `sentence-transformers` package as embedders; the package is optional and heavy."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from carma.embed.minilm import clean
from carma.embed.port import Fingerprint, Vectors, unit_rows
from carma.errors import EmbedderError, MissingExtra

__all__ = ["SentenceTransformersEmbedder"]

LONGEST_TEXT = 50_000  # characters; what is longer is cut


class SentenceTransformersEmbedder:
    """Embeds with a `SentenceTransformer`: an instance, or the name or path of one to load.

    The fingerprint's digest is `digest` where given, else a SHA-256 of the name and of what the model answers
    to a fixed text (rounded), so that other weights under the same name are noticed. Raises MissingExtra when
    the package is not installed, EmbedderError when the model cannot be loaded.
    """

    def __init__(
        self, model: Any, *, name: str | None = None, batch: int = 32, digest: str | None = None
    ) -> None:
        self._model = _load(model) if isinstance(model, str) else model
        self._name = name or (model if isinstance(model, str) else type(model).__name__)
        self._batch = batch
        self._lock = threading.Lock()  # tokenizers of that package are not safe to share between threads
        probe = self._encode(["The quick brown fox jumps over the lazy dog."], None)
        if digest is None:
            rounded = np.round(probe, 2) + 0.0
            digest = hashlib.sha256(self._name.encode() + b"\0" + rounded.astype("<f4").tobytes()).hexdigest()
        self._fingerprint = Fingerprint(self._name, int(probe.shape[1]), digest)

    @property
    def fingerprint(self) -> Fingerprint:
        """Name, the width of the model's vectors, and the digest."""
        return self._fingerprint

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`. Raises EmbedderError when the model fails or answers nonsense."""
        if not texts:
            return np.empty((0, self._fingerprint.dimension), np.float32)
        return self._encode([clean(text, LONGEST_TEXT) for text in texts], self._fingerprint.dimension)

    def _encode(self, texts: list[str], dimension: int | None) -> Vectors:
        try:
            with self._lock:
                answer = self._model.encode(
                    texts, batch_size=self._batch, convert_to_numpy=True, show_progress_bar=False
                )
        except Exception as error:
            raise EmbedderError(f"model {self._name!r} failed: {type(error).__name__}: {error}") from error
        return unit_rows(answer, len(texts), dimension, f"model {self._name!r}")


def _load(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        message = "sentence-transformers is not installed"
        raise MissingExtra(message, hint="pip install 'carma-memory[sentence-transformers]'") from error
    try:
        return SentenceTransformer(name)
    except Exception as error:
        raise EmbedderError(f"cannot load the model {name!r}: {type(error).__name__}: {error}") from error
