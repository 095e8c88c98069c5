"""`carma mcp`: a memory for agents that speak the Model Context Protocol."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.remote import address, given
from carma.cli.unlocking import current
from carma.errors import CannotListen, InvalidInput, KeyNotFound

if TYPE_CHECKING:
    from carma.access.keys.authority import Authority
    from carma.integrations.mcp import Admit

__all__ = ["mcp"]

_HTTP = "Over HTTP"
_LOCAL = ("127.0.0.1", "localhost", "::1")


def mcp(
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", show_default=False, rich_help_panel=_HTTP,
            help="Serve streamable HTTP at /mcp instead of standard input and output.",
        ),
    ] = None,
    account: Annotated[
        str, typer.Option(metavar="NAME", help="Whose static keys are let in.", rich_help_panel=_HTTP)
    ] = "local",
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default=False, rich_help_panel=_HTTP,
            help="A name that this machine is called by (repeatable).",
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate chain (PEM).", rich_help_panel=_HTTP),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).", rich_help_panel=_HTTP)
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only recall, history and status.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Serve a memory to agents by the Model Context Protocol.

    Over standard input and output, as agents start it; or with --http, where callers show a static key.
    """
    from carma.integrations import mcp as served

    if http is None:
        permissions = frozenset({"read"}) if read_only else served.EVERYTHING
        with opened(store, create=not read_only) as memory:
            served.serve_stdio(memory, permissions)
        return
    if read_only:
        raise InvalidInput("Over HTTP the key says what may be done.", hint="Make a key with permission r.")
    name, port = _place(http)
    _check(name, tls_certificate, tls_key)
    with ExitStack() as stack:
        admit = _admit(stack, store, account, secure=name in _LOCAL or tls_certificate is not None)
        hosts = [f"{each}:*" for each in (*_LOCAL[:2], "[::1]", name, *(host or ()))]
        _serve(served.http_app(admit, hosts), name, port, tls_certificate, tls_key, as_json)


def _place(text: str) -> tuple[str, int]:
    name, _, port = text.rpartition(":")
    if not name or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidInput(f"--http {text} is not HOST:PORT.", hint="For example 127.0.0.1:8361.")
    return name.strip("[]"), int(port)


def _check(name: str, certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise InvalidInput("TLS needs both files: the certificate chain and its key.")
    if certificate is None and name not in _LOCAL:
        raise InvalidInput(
            f"Static keys would travel to {name} in clear.",
            hint="Give --tls-certificate and --tls-key, or listen on 127.0.0.1.",
        )


def _admit(stack: ExitStack, store: Path | None, account: str, *, secure: bool) -> Admit:
    """Who is let in: keys that the server of CARMA_URL admits, else those of the data directory."""
    from carma.integrations.mcp_keys import LocalKeys, ServerKeys

    url = address(store)
    if url is not None:
        from carma.client.aio import AsyncClient

        trusted, pinned = given().trusted, given().server_key
        return ServerKeys(lambda key: AsyncClient(url, key, ca_file=trusted, server_key=pinned))
    memory = stack.enter_context(opened(store, create=True))
    return LocalKeys(_authority(), account, memory, secure=secure)


def _authority() -> Authority:
    """The keys of the data directory. Raises KeyNotFound (none was made yet), and what `unlock` raises."""
    from carma.access.data import data_folder, unlock
    from carma.access.journal import Journal
    from carma.access.keys.authority import Authority
    from carma.access.keys.store import KeyStore
    from carma.ports.disk import LocalDisk

    folder = data_folder(os.environ, current().data)
    if not folder.holds_secrets(LocalDisk()):
        raise KeyNotFound(
            "No key was made yet, so nobody could be let in.",
            hint="Make one: carma keys create --user local --permissions rwh --static",
        )
    unlocked = unlock(folder, os.environ, create=False)
    journal = Journal(unlocked.disk, unlocked.folder.keys)
    return Authority(KeyStore(journal, unlocked.kek, reload=unlocked.reload))


def _serve(app: Any, host: str, port: int, certificate: Path | None, key: Path | None, as_json: bool) -> None:
    """Serve until a signal; the address, once it is bound, on standard error, or as JSON."""
    import uvicorn

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise CannotListen(
            f"{host}:{port} cannot be listened on: {error.strerror or error}.",
            hint="End what listens there, or name another port; 0 takes a free one.",
        ) from error
    scheme, shown = "https" if certificate else "http", f"[{host}]" if ":" in host else host
    url = f"{scheme}://{shown}:{bound.getsockname()[1]}/mcp"
    if as_json:
        print(json.dumps({"ready": url}), flush=True)
    else:
        print(f"carma: MCP at {url}", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, limit_concurrency=256,
        timeout_graceful_shutdown=5,
        ssl_certfile=str(certificate) if certificate else None, ssl_keyfile=str(key) if key else None,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[bound])
