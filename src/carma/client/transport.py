"""Between the steps and httpx: the same few translations for both of its clients."""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import SplitResult

import httpx

from carma.client.credentials import is_local
from carma.client.exchange import Lost, Received, Send
from carma.client.settings import ClientSettings
from carma.errors import InvalidAnswer, InvalidInput

__all__ = ["Collected", "lost", "options_of", "request_of"]

_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NEVER = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)


def options_of(
    settings: ClientSettings, address: SplitResult, ca_file: str | os.PathLike[str] | None
) -> dict[str, Any]:
    """How httpx's clients are made. Redirects are the steps' affair. Raises InvalidInput (ca_file).

    What goes to this machine goes there directly, whatever proxy the environment names: a static key may
    travel in clear only as long as it stays here.
    """
    return {
        "follow_redirects": False,
        "limits": httpx.Limits(max_connections=settings.connections),
        # Without TLS nothing is verified, and the system's certificates need not be read (30 ms).
        "verify": _trusting(ca_file) if ca_file is not None else address.scheme == "https",
        "mounts": {address.geturl(): None} if is_local(address) else {},
    }


def _trusting(ca_file: str | os.PathLike[str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # What holds no certificate is an SSLError, which is one.
        said = error.strerror or "it holds no certificate"
        raise InvalidInput(f"The certificates of {os.fspath(ca_file)} cannot be read: {said}.") from error


def request_of(http: httpx.Client | httpx.AsyncClient, send: Send, settings: ClientSettings) -> httpx.Request:
    """The request, its path and query to the letter as they were signed."""
    timeout = httpx.Timeout(
        send.answer_s, connect=settings.connect_s, write=send.answer_s, pool=settings.patience_s
    )
    request = http.build_request(
        send.method, send.url, headers=dict(send.headers), content=send.body, timeout=timeout
    )
    assert send.url.endswith(request.url.raw_path.decode("ascii")), "what is sent is what was signed"
    return request


def lost(error: httpx.HTTPError) -> Lost:
    """What became of a request that has no answer."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Lost(f"its certificate is not trusted ({cause.verify_message}).", sent=False, final=True)
    said = str(error) or type(error).__name__
    never = isinstance(error, _NEVER)
    return Lost(
        f"{said.rstrip('.')}.", sent=not never and not isinstance(error, _BEFORE_SENDING), final=never
    )


class Collected:
    """An answer as it comes in, within its bound."""

    def __init__(self, response: httpx.Response, most: int) -> None:
        self._response = response
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of events."""
        return self._response.is_success and self._header("content-type").startswith("text/event-stream")

    def _header(self, name: str) -> str:
        value: str = self._response.headers.get(name, "")
        return value

    def add(self, piece: bytes) -> None:
        """Another piece of the body. Raises InvalidAnswer if it is too much."""
        self._size += len(piece)
        if self._size > self._most:
            raise InvalidAnswer(f"The answer is longer than {self._most} bytes (answer_bytes).")
        self._pieces.append(piece)

    def received(self) -> Received:
        """The answer, with what was added."""
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Received(self._response.status_code, headers, b"".join(self._pieces))
