"""The metrics on a port of their own, for whoever scrapes from another network than clients come from.

Only GET /metrics, one request a connection, a bounded head, a bounded number of connections, under TLS where
the server is: a whole second web server would be too much for one page.
"""

from __future__ import annotations

import asyncio
import ssl

from carma.errors import CannotListen, Unauthorized
from carma.serve.gate import metrics_page
from carma.serve.metrics import MEDIA
from carma.serve.services import Services

__all__ = ["serve_metrics"]

_HEAD_BYTES = 8 * 2**10
_HEAD_S = 5.0
_AT_ONCE = 32


async def serve_metrics(services: Services, tls: ssl.SSLContext | None = None) -> asyncio.Server | None:
    """Listen where the settings say; None if they do not. tls: of the server itself. Raises CannotListen."""
    settings = services.settings
    if settings.metrics_port is None:
        return None
    held = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal held
        held += 1
        try:
            if held <= _AT_ONCE:
                async with asyncio.timeout(_HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_answer(services, head))
                    await writer.drain()
        except TimeoutError:
            writer.transport.abort()  # What nobody reads would keep the connection.
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            held -= 1
            writer.close()

    timeout = settings.head_s if tls is not None else None
    try:
        return await asyncio.start_server(
            answer, settings.host, settings.metrics_port,
            limit=_HEAD_BYTES, ssl=tls, ssl_handshake_timeout=timeout,
        )  # fmt: skip
    except OSError as error:
        raise CannotListen(f"{settings.host} port {settings.metrics_port} cannot be listened on.") from error


def _answer(services: Services, head: bytes) -> bytes:
    status, body = _page(services, head)
    media = MEDIA if body else "text/plain"
    challenge = 'www-authenticate: Bearer realm="carma"\r\n' if status.startswith("401") else ""
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{challenge}"
        "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    ).encode() + body


def _page(services: Services, head: bytes) -> tuple[str, bytes]:
    """The status, and the page if it may be seen."""
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    if rest.partition(" ")[0].partition("?")[0] != "/metrics":
        return "404 Not Found", b""
    if method != "GET":
        return "405 Method Not Allowed", b""
    shown = next((line[14:].strip() for line in lines if line.lower().startswith("authorization:")), "")
    try:
        return "200 OK", metrics_page(services, shown)
    except Unauthorized:
        return "401 Unauthorized", b""
