"""The body: read in pieces, within bounds of size and time, compared with its digest, opened and unpacked.

Nothing of a body is read before its sender is admitted, and a length that is too large is refused before the
first byte. The bytes of all bodies together are bounded too, as they are when they are unpacked: many small
ones are as good a flood as a large one; and one account has at most half of that room, so that whoever sends
large bodies slowly leaves the others theirs. So is the count of values: sixteen million zeros fit into a
body and fill half a gigabyte when they are read. Content-Digest covers what travels, so it is compared first;
then a sealed body is opened, or a packed one unpacked, not both.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Any

from carma.access.keys.wire import check_body
from carma.access.sealed import SEALED_MEDIA, SealingKey, open_request
from carma.errors import RequestRefused, RequestTooSlow, SealedDamaged, ServerBusy, TooLarge, UnsupportedMedia
from carma.serve.call import JSON, Call
from carma.serve.encoding import unpacked
from carma.serve.settings import ServeSettings

__all__ = ["BodyReader", "SenderGone"]

_JSON_TYPES = ("", JSON)
_WITH_TEXTS = {"add", "update"}
_WITHOUT_BODY = {"GET", "DELETE"}
_LARGE = 256 * 2**10
"""Longer bodies are hashed and unpacked in a thread."""


class SenderGone(Exception):
    """Whoever sent the request has closed the connection; there is nobody to answer."""


class BodyReader:
    """Reads bodies for one server, on one event loop. sealing: the server's key, None if it has none."""

    def __init__(self, settings: ServeSettings, sealing: SealingKey | None) -> None:
        self._settings = settings
        self._sealing = sealing
        self.held_bytes = 0
        """Bytes of all bodies that are being read or used."""
        self._held_of: Counter[str] = Counter()
        """The same by account; who holds nothing is not in it."""

    def most(self, call: Call) -> int:
        """The longest body that an operation takes, in bytes."""
        small = call.operation.name not in _WITH_TEXTS
        return self._settings.small_body_bytes if small else self._settings.body_bytes

    async def read(self, call: Call, receive: Any, method: str, target: str) -> None:
        """Put the plain body into the call; `release` gives its bytes back.

        Raises TooLarge, RequestTooSlow, ServerBusy, RequestRefused, BodyAltered, UnsupportedMedia,
        SenderGone.
        """
        most = self.most(call)
        length = _length(call.headers.get("content-length"))
        if length is not None and length > most:
            raise TooLarge(f"The body has {length} bytes; {call.operation.name} takes {most}.")
        if length == 0 or (length is None and "transfer-encoding" not in call.headers):
            body = b""
        else:
            body = await self._received(call, receive, most)
        if len(body) > _LARGE or (body and "content-encoding" in call.headers):
            await asyncio.to_thread(self._prove, call, body, most, method, target)
        else:
            self._prove(call, body, most, method, target)
        if len(call.body) > len(body):
            self._hold(call, len(call.body) - len(body))

    def _prove(self, call: Call, body: bytes, most: int, method: str, target: str) -> None:
        digest = hashlib.sha256(body).digest() if body else None
        if "content-digest" in call.headers or _is_signed(call):
            check_body(call.headers.get("content-digest", ""), digest)
        if body:
            self._open(call, body, most, method, target)
            if call.body and method in _WITHOUT_BODY:
                raise RequestRefused(f"{call.operation.name} takes no body.")

    def release(self, call: Call) -> None:
        """The body of a call is not used any more."""
        account = call.admission.principal.account
        self.held_bytes -= call.held_bytes
        self._held_of[account] -= call.held_bytes
        if not self._held_of[account]:
            del self._held_of[account]

    async def _received(self, call: Call, receive: Any, most: int) -> bytes:
        pieces: list[bytes] = []
        count = 0
        deadline = asyncio.get_running_loop().time() + self._settings.body_s
        more = True
        while more:
            try:
                async with asyncio.timeout_at(deadline + count / self._settings.body_bytes_per_s):
                    message = await receive()
            except TimeoutError:
                raise RequestTooSlow(f"The body did not come whole in time; {count} bytes did.") from None
            if message["type"] == "http.disconnect":
                raise SenderGone
            piece = message.get("body", b"")
            count += len(piece)
            self._hold(call, len(piece))
            if count > most:
                raise TooLarge(f"The body has more than the {most} bytes that {call.operation.name} takes.")
            pieces.append(piece)
            more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, call: Call, count: int) -> None:
        account, settings = call.admission.principal.account, self._settings
        self.held_bytes += count
        call.held_bytes += count
        self._held_of[account] += count
        if self.held_bytes > settings.bodies_bytes:
            raise ServerBusy("Too many bytes of bodies are held already.")
        if self._held_of[account] > max(settings.bodies_bytes // 2, settings.body_bytes):
            raise ServerBusy("Too many bytes of bodies of this account are held already.")

    def _open(self, call: Call, body: bytes, most: int, method: str, target: str) -> None:
        media = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        packing = call.headers.get("content-encoding")
        if media == SEALED_MEDIA:
            if packing is not None or self._sealing is None:
                raise UnsupportedMedia("Sealed bodies are not packed, and this server must have a key.")
            try:
                opened = open_request(body, self._sealing, method, target, call.admission.principal.key)
            except SealedDamaged as error:
                raise RequestRefused(error.message) from None
            call.answer_key, call.sealed_digest = opened.answer_key, opened.digest
            call.body, media = opened.body, opened.media if opened.body else JSON
        else:
            call.body = unpacked(body, packing, most) if packing is not None else body
        if media not in _JSON_TYPES:
            raise UnsupportedMedia(f"{call.operation.name} takes application/json.")
        if len(call.body) > _LARGE and call.body.count(b",") > self._settings.body_values:
            raise TooLarge(f"The body has more than {self._settings.body_values} values.")


def _is_signed(call: Call) -> bool:
    """Whether the request shows an attempt key: then its digest is part of what was signed."""
    return call.headers.get("authorization", "").startswith("Carma ")


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RequestRefused("Content-Length is not a number of bytes.")
    return int(text)
