"""`carma curl`: one request to a server, signed, and its answer as it came.

curl itself can show a static key, and cannot sign: an attempt key is made for one request, out of its bytes
and of the server's nonce. This signs whatever path it is given, opens a session where it must, and prints
what comes back, a problem too. Rejected: printing headers for curl to send (a session has to be opened by a
request first, and an attempt that waits in a shell's history is over when it is used).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carma.cli.options import read_stdin
from carma.cli.remote import address, given
from carma.errors import InvalidInput

if TYPE_CHECKING:
    import httpx

    from carma.client.credentials import Credentials

__all__ = ["curl"]

_TRIES = 6
"""Two answers open a session; more are left for a server that is restarted in between."""
_ANSWER_S = 60.0


def curl(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Path and query: /v1/tree?depth=2.", show_default=False)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="JSON", show_default=False,
            help="The body; @FILE reads it from a file, - from a pipe.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--request", "-X", metavar="METHOD", show_default=False, help="GET; POST where there is a body."
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="NAME: VALUE", help="One header more.", show_default=False),
    ] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Print the status and the headers too.")
    ] = False,
) -> int:  # fmt: skip
    """Send one signed request to a server and print its answer.

    The key comes from CARMA_KEY or a file, as for every verb with --url. Exits as the verbs do: with 0, or
    with the code of the problem that the server answers.
    """
    import httpx

    from carma.client.credentials import address_of, credentials_of
    from carma.client.key_file import key_of
    from carma.client.problems import error_of
    from carma.client.settings import ClientSettings
    from carma.client.transport import lost, options_of
    from carma.errors import ServerUnreachable

    at = address_of(address(None))
    credentials = credentials_of(key_of(None, given().key_file)[0], at)
    body = _body(data)
    headers = {"accept": "application/json", **({"content-type": "application/json"} if body else {})}
    headers |= dict(_header(each) for each in header or ())
    verb = (method or ("POST" if body else "GET")).upper()
    if not path.startswith("/"):
        raise InvalidInput("The path begins with a slash.", hint="For example: carma curl /v1/fragments")
    with httpx.Client(**options_of(ClientSettings(), at, given().trusted), timeout=_ANSWER_S) as http:
        try:
            request = http.build_request(verb, at.geturl() + path, headers=headers, content=body)
            response = _asked(http, request, credentials, sha256(body).digest() if body else None)
            said = _printed(response, include)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{path!r:.80} is no path: {error}.") from error
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{at.geturl()} does not answer: {lost(error).reason}") from error
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return 0
    found = {name.lower(): value for name, value in response.headers.items()}
    return error_of(response.status_code, found, said).exit_code


def _asked(
    http: httpx.Client, request: httpx.Request, credentials: Credentials, digest: bytes | None
) -> httpx.Response:
    """The answer to a request, its body still to be read; signed as often as the server opens a session."""
    target = request.url.raw_path.decode("ascii")
    for left in reversed(range(_TRIES)):
        signed = credentials.sign(request.method, target, request.headers, digest)
        for name in ("carma-nonce", "authorization"):
            request.headers.pop(name, None)
        request.headers.update(signed)
        response = http.send(request, stream=True)
        found = {name.lower(): value for name, value in response.headers.items()}
        if not left or not credentials.learn(response.status_code, found, signed):
            break
        response.close()
    return response


def _printed(response: httpx.Response, include: bool) -> bytes:
    """Print an answer while it comes in; what it said, if it is a problem."""
    out = sys.stdout.buffer
    if include:
        lines = [f"{response.http_version} {response.status_code} {response.reason_phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        out.write("".join(f"{line}\n" for line in (*lines, "")).encode())
    said, ends = b"", True
    try:
        for piece in response.iter_bytes():
            out.write(piece)
            out.flush()
            ends = piece.endswith(b"\n")
            if not response.is_success:
                said += piece
    finally:
        response.close()
    out.write(b"" if ends else b"\n")
    out.flush()
    return said


def _body(data: str | None) -> bytes:
    """Raises InvalidInput if the file cannot be read."""
    if data is None:
        return b""
    if data == "-":
        return read_stdin().encode()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).expanduser().read_bytes()
    except OSError as error:
        raise InvalidInput(f"{data[1:]} cannot be read: {error.strerror or error}.") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    known = name.strip().lower()
    if not colon or not known or not text.isascii() or not text.isprintable():
        raise InvalidInput(f"{text!r:.80} is no header.", hint="For example: -H 'If-Match: \"3\"'")
    if known in _SIGNED:
        raise InvalidInput(f"{name.strip()} is made anew for every attempt.")
    return known, value.strip()


_SIGNED: Sequence[str] = ("authorization", "carma-date", "carma-nonce", "carma-square", "content-digest")
