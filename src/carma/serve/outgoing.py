"""The way out: what every answer carries, and how its body travels.

One place adds the request's id, the square and the headers that keep answers out of other people's caches and
browsers; packs a body for whoever takes that, or seals it for whoever sent a key. A stream goes through as it
is. The status and the count of bytes stay here for the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from carma.access.sealed import SEALED_MEDIA, seal_answer
from carma.ports.clock import Entropy
from carma.serve.call import Answer, Call
from carma.serve.encoding import chosen, packed
from carma.serve.etags import coded
from carma.uml.squares import as_text, square_of

__all__ = ["Outgoing", "Send"]

Send = Callable[[Any], Awaitable[None]]

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_VARY = (b"vary", b"accept-encoding")
_NO_BODY = (204, 304)
_LARGE = 256 * 2**10
"""Longer bodies are packed or sealed in a thread: everybody else would wait for it."""


class Outgoing:
    """The answer to one request. `send` is an ASGI send; `answer` is the short way for what is ready.

    square_tag: what Carma-Square is made of; None outside the operations. from_bytes: shorter bodies are not
    packed.
    """

    __slots__ = (
        "_call",
        "_entropy",
        "_from_bytes",
        "_headers",
        "_held",
        "_send",
        "close",
        "request_id",
        "secure",
        "sent_bytes",
        "square_tag",
        "started",
        "status",
    )

    def __init__(
        self, send: Send, headers: Mapping[str, str], request_id: str, from_bytes: int, entropy: Entropy
    ) -> None:
        self._send = send
        self._headers = headers
        self._from_bytes = from_bytes
        self._entropy = entropy
        self._call: Call | None = None
        self._held: dict[str, Any] | None = None
        self.request_id = request_id
        self.square_tag: bytes | None = None
        self.secure = False
        self.close = False
        """Whether the connection is to be closed: the rest of the request was not read."""
        self.started = False
        self.status = 0
        self.sent_bytes = 0

    def belongs_to(self, call: Call) -> None:
        """The call whose answer this is: it says whether the answer is sealed."""
        self._call = call

    async def answer(self, answer: Answer) -> None:
        """Send an answer that is ready."""
        await self._whole(answer.status_code, list(answer.raw_headers), bytes(answer.body))

    async def send(self, message: Any) -> None:
        """One ASGI message of an application."""
        if message["type"] == "http.response.start":
            self._held = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        held, self._held = self._held, None
        body, more = message.get("body", b""), message.get("more_body", False)
        if held is None:
            self.sent_bytes += len(body)
            await self._send(message)
        elif more:
            headers = [*held.get("headers", ()), *self._common()]
            await self._start(held["status"], headers)
            self.sent_bytes += len(body)
            await self._send(message)
        else:
            await self._whole(held["status"], list(held.get("headers", ())), body)

    async def _whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        if len(body) > _LARGE and status not in _NO_BODY:
            headers, body = await asyncio.to_thread(self._dressed, status, headers, body)
        elif body and status not in _NO_BODY:
            headers, body = self._dressed(status, headers, body)
        elif status == 304:
            headers = [each for each in headers if each[0] not in (b"content-length", b"content-type")]
            headers.append(_VARY)
        headers += self._common()
        await self._start(status, headers)
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body})

    def _dressed(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The body sealed, or packed, and the headers that say so."""
        call = self._call
        if call is not None and call.answer_key is not None:
            media = next((value.decode() for name, value in headers if name == b"content-type"), "")
            key, digest = call.answer_key, call.sealed_digest
            body = seal_answer(body, media, key, digest, status, self._entropy)
            headers = [each for each in headers if each[0] not in (b"content-type", b"content-length")]
            headers.append((b"content-type", SEALED_MEDIA.encode()))
            headers.append((b"content-length", str(len(body)).encode()))
            return headers, body
        if len(body) < self._from_bytes or (b"cache-control", b"no-store") in headers:
            return headers, body
        headers.append(_VARY)
        coding = chosen(self._headers.get("accept-encoding", ""))
        if coding is not None:
            body = packed(body, coding)
            headers = [
                (name, coded(value.decode(), coding).encode() if name == b"etag" else value)
                for name, value in headers
                if name != b"content-length"
            ]
            headers.append((b"content-encoding", coding.encode()))
            headers.append((b"content-length", str(len(body)).encode()))
        return headers, body

    def _common(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", self.request_id.encode()), _NOSNIFF]
        if self.square_tag is not None:
            headers.append((b"carma-square", as_text(square_of(self.square_tag)).encode()))
        if self.secure:
            headers.append(_HSTS)
        if self.close:
            headers.append((b"connection", b"close"))
        return headers

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
