"""Embeddings from any server that speaks OpenAI's `POST /embeddings` (OpenAI, Ollama, vLLM, llama.cpp, LM
Studio, ...).
 The idea: the server is not trusted. Its answer is checked for count, order, width and finiteness; the number
of attempts, the wait between them and the length of a text are bounded; and no error or repr carries the key,
even when the server echoes it. Rejected: the `openai` package, which brings far more than one request.
Source: OpenAI API reference, "Create embeddings".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from carma.embed.minilm import clean
from carma.embed.port import Fingerprint, Vectors, unit_rows
from carma.errors import EmbedderError, InvalidInput
from carma.ports.clock import Clock, SystemClock

if TYPE_CHECKING:  # loaded with the first such embedder
    import httpx

__all__ = ["OpenAICompatibleEmbedder"]

LONGEST_WAIT_S = 8.0
MOST_CHARACTERS_OF_DETAIL = 200


class OpenAICompatibleEmbedder:
    """Embeds over HTTP.

    Arguments: `base_url` up to and without `/embeddings` (`https://host/v1`); `model`; `api_key`, sent as a
    bearer token; `dimension`, the expected width (None: learnt from the first answer); `timeout_s` per
    attempt; `batch`, texts per request; `attempts` per request, tried again on a failed connection, 408, 429
    and 5xx; `longest_text`, in characters: what is longer is cut; `digest` for the fingerprint (default: the
    model's name). Raises InvalidInput on an argument that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        dimension: int | None = None,
        *,
        timeout_s: float = 30.0,
        batch: int = 64,
        attempts: int = 3,
        longest_text: int = 20_000,
        digest: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        import httpx

        self._url = _endpoint(base_url)
        self._place = f"embedding server {self._url.host}" + (f":{self._url.port}" if self._url.port else "")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise InvalidInput("the API key contains characters that no HTTP header can carry")
        bounds = {"timeout_s": timeout_s, "batch": batch, "attempts": attempts, "longest_text": longest_text}
        for name, value in bounds.items():
            if value <= 0:
                raise InvalidInput(f"{name} must be above 0, not {value}")
        self._model, self._key, self._dimension = model, api_key, dimension
        self._batch, self._attempts, self._longest_text = batch, attempts, longest_text
        self._digest = model if digest is None else digest
        self._clock: Clock = SystemClock() if clock is None else clock
        self._lock = threading.Lock()
        self._client = httpx.Client(timeout=timeout_s)

    def __repr__(self) -> str:
        return f"OpenAICompatibleEmbedder({self._place!r}, model={self._model!r})"

    @property
    def fingerprint(self) -> Fingerprint:
        """Model name, width and digest. A width not known yet is learnt by embedding one short text."""
        if self._dimension is None:
            self.embed(["dimension"])
        assert self._dimension is not None
        return Fingerprint(self._model, self._dimension, self._digest)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`. Raises EmbedderError when the server is unreachable, refuses or errs."""
        if not texts:
            return np.empty((0, self.fingerprint.dimension), np.float32)
        # An empty input is refused by some servers; a blank stands for it.
        cleaned = [clean(text, self._longest_text) or " " for text in texts]
        parts = [self._request(cleaned[i : i + self._batch]) for i in range(0, len(cleaned), self._batch)]
        return np.concatenate(parts)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, texts: list[str]) -> Vectors:
        vectors = unit_rows(
            self._rows(self._post(texts), len(texts)), len(texts), self._dimension, self._place
        )
        with self._lock:
            if self._dimension is None:
                self._dimension = int(vectors.shape[1])
        return vectors

    def _post(self, texts: list[str]) -> httpx.Response:
        import httpx

        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        problem = ""
        for attempt in range(self._attempts):
            asked_wait = 0.0
            try:
                response = self._client.post(self._url, json=body, headers=headers)
            except (httpx.TransportError, httpx.DecodingError) as error:
                # `from None` below: the original carries the request, and the request carries the key.
                problem = f"{self._place} cannot be reached: {self._hide(f'{type(error).__name__}: {error}')}"
            else:
                if response.status_code == 200:
                    return response
                problem = f"{self._place} answered {response.status_code}: {self._detail(response)}"
                if response.status_code not in (408, 429) and response.status_code < 500:
                    break
                asked_wait = _seconds(response.headers.get("retry-after"))
            if attempt + 1 < self._attempts:
                self._clock.sleep(min(LONGEST_WAIT_S, max(asked_wait, 0.25 * 2**attempt)))
        raise EmbedderError(problem) from None

    def _rows(self, response: httpx.Response, count: int) -> list[Any]:
        """The vectors of an answer in the order of the texts (the API numbers them in `index`)."""
        try:
            data = response.json()["data"]
            rows = {item["index"]: item["embedding"] for item in data}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise EmbedderError(
                f"{self._place} answered something that is not a list of embeddings"
            ) from None
        if len(data) != count or set(rows) != set(range(count)):
            raise EmbedderError(
                f"{self._place} answered {len(data)} embeddings for {count} texts, or misnumbered them"
            )
        return [rows[i] for i in range(count)]

    def _detail(self, response: httpx.Response) -> str:
        text = " ".join(response.text[: 10 * MOST_CHARACTERS_OF_DETAIL].split())
        return self._hide(text)[:MOST_CHARACTERS_OF_DETAIL] or "no further detail"

    def _hide(self, text: str) -> str:
        """`text` without the key, in case the server or the HTTP library echoes it."""
        return text.replace(self._key, "[key]") if self._key else text


def _endpoint(base_url: str) -> httpx.URL:
    import httpx

    try:
        base = httpx.URL(base_url.strip())
        url = base.copy_with(path=base.path.rstrip("/") + "/embeddings")
    except (httpx.InvalidURL, TypeError):
        raise InvalidInput("base_url is not a URL; it looks like https://host/v1") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput("base_url must begin with http:// or https:// and name a host")
    return url


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header in seconds; its date form and nonsense count as 0."""
    return (
        float(retry_after)
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit()
        else 0.0
    )
