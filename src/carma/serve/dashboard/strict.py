"""What every answer of the dashboard carries: headers that keep the browser strict.

NiceGUI writes scripts and styles into its pages. Each gets a number used once (a nonce) on its way out, and
the policy names that number: a script that came into a page by any other way, from a stored text say, is not
run. What NiceGUI cannot do without is `unsafe-eval`: it makes functions of strings that this server sent.
Rejected: `unsafe-inline`, which its own examples use and which would run whatever stands in the page.

Source: W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["NONCE_BYTES", "Page", "Strict"]

NONCE_BYTES = 16
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
_INLINE = re.compile(rb"<(script|style)(?=[\s>])")
_STYLED = b' style="display: none"'
"""Stands in the frame of NiceGUI's pages, where the policy allows no style."""


class Strict:
    """A `send` that adds the headers which every answer carries; what the answer says itself stays."""

    def __init__(self, send: Any) -> None:
        self._send = send

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _with(message.get("headers", ()), _HEADERS)}
        await self._send(message)


class Page:
    """A `send` for what NiceGUI answers: its pages get their numbers and the policy that names them.

    nonce: random bytes, of this answer alone. known: whether there is such a page; if not, the status is 404.
    """

    def __init__(self, send: Any, nonce: bytes, *, known: bool = True) -> None:
        self._send = send
        self._nonce = base64.b64encode(nonce).decode()
        self._known = known
        self._start: Any = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._whole()

    async def _whole(self) -> None:
        """The page is there: it is told its length anew, and sent."""
        mark = rb'<\1 nonce="' + self._nonce.encode() + b'"'
        body = _INLINE.sub(mark, b"".join(self._parts)).replace(_STYLED, b" hidden", 1)
        headers = [each for each in self._start["headers"] if each[0].lower() != b"content-length"]
        policy = {"content-security-policy": _PAGE_POLICY.format(nonce=self._nonce)}
        status = self._start["status"] if self._known or self._start["status"] != 200 else 404
        await self._send({
            **self._start, "status": status,
            "headers": _with([*headers, (b"content-length", str(len(body)).encode())], policy),
        })  # fmt: skip
        await self._send({"type": "http.response.body", "body": body})


def _with(given: Any, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    headers = list(given)
    there = {name.lower() for name, _ in headers}
    return headers + [
        (name.encode(), value.encode()) for name, value in more.items() if name.encode() not in there
    ]


def _is_html(message: Any) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html")
        for name, value in message["headers"]
    )
