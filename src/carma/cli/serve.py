"""`carma serve`: put the memories of a data directory on the network."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli.first_contact import address_of, greet
from carma.cli.unlocking import show_recovery_code
from carma.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from carma.serve.server import Server
    from carma.serve.settings import ServeSettings

__all__ = ["DataDir", "need_extra", "serve"]

_NETWORK, _WATCHING = "Network", "Watching"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", show_default=False,
        help="The data directory; else $CARMA_DATA, else ~/.local/share/carma.",
    ),
]  # fmt: skip


def serve(
    data: DataDir = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen.", rich_help_panel=_NETWORK)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="N", help="0: any.", rich_help_panel=_NETWORK)
    ] = 8360,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate chain (PEM).", rich_help_panel=_NETWORK),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).", rich_help_panel=_NETWORK)
    ] = None,
    insecure_http: Annotated[
        bool,
        typer.Option(
            "--insecure-http", help="Allow plain HTTP beyond this machine.", rich_help_panel=_NETWORK
        ),
    ] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Believe X-Forwarded-For from there.", rich_help_panel=_NETWORK),
    ] = None,
    audience: Annotated[
        str, typer.Option(metavar="NAME", help="What attempt keys are made for.", rich_help_panel=_NETWORK)
    ] = "carma",
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="Rate of a key: server, bulk, interactive, one-per-second.")
    ] = "server",
    static_keys: Annotated[
        bool, typer.Option("--static-keys/--no-static-keys", help="Whether static keys are accepted.")
    ] = True,
    plain_seats: Annotated[bool, typer.Option("--plain-seats", help="Do not encrypt the memories.")] = False,
    embedder: Annotated[
        str | None, typer.Option(metavar="NAME", help="For new memories; the packaged one if not named.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Metrics on a port of their own; their key: $CARMA_METRICS_KEY.",
            rich_help_panel=_WATCHING,
        ),
    ] = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Traces, sent where $OTEL_… says.", rich_help_panel=_WATCHING),
    ] = False,
    log: Annotated[
        str, typer.Option(metavar="LEVEL", help="info, warning or error.", rich_help_panel=_WATCHING)
    ] = "info",
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Pages at /, if they are installed.")
    ] = True,
    first_contact: Annotated[
        bool,
        typer.Option("--first-contact", help="Make an account and a key for a day, and print how to ask."),
    ] = False,
    fill: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="With --first-contact: what an empty memory takes in first."),
    ] = None,
    destroy: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            metavar="N",
            help="With --fill: destroy so many of its fragments on the disk, to see them lost and healed.",
        ),
    ] = 0,
) -> None:
    """Serve memories over HTTP until SIGTERM or Ctrl-C.

    Logs go to standard error, a line of JSON each. Accounts are made with `carma users add`.
    """
    need_extra()
    from carma.serve.settings import ServeSettings

    settings = ServeSettings(
        host=host, port=port, insecure_http=insecure_http, audience=audience, profile=profile,
        static_keys=static_keys, metrics_port=metrics_port, dashboard=dashboard,
        metrics_key=os.environ.get("CARMA_METRICS_KEY") or None,
        trusted_proxies=tuple(trusted_proxy or ()),
        tls_certificate=str(tls_certificate) if tls_certificate else None,
        tls_key=str(tls_key) if tls_key else None,
    )  # fmt: skip
    ready: Callable[[Server], None] = _say_ready
    if fill is not None and not fill.expanduser().exists():
        raise InvalidInput(
            f"{fill} cannot be taken in: it is not there.", hint="Give --fill a file or folder."
        )
    if first_contact:
        ready = greet(fill.expanduser() if fill is not None else None, destroy)
    _run(data, settings, ready, encrypted=not plain_seats, embedder=embedder, trace=trace, log=log)


def _run(
    data: Path | None,
    settings: ServeSettings,
    ready: Callable[[Server], None],
    *,
    encrypted: bool,
    embedder: str | None,
    trace: bool,
    log: str,
) -> None:
    import asyncio

    from carma.access.data import data_folder, unlock
    from carma.embed import MiniLM
    from carma.embed.by_name import embedder_by_name
    from carma.embed.gathering import GatheringEmbedder
    from carma.serve.allocator import few_arenas
    from carma.serve.household import open_household
    from carma.serve.log import make_log
    from carma.serve.server import Server, check_settings
    from carma.serve.tracing import NoTracer, OpenTelemetryTracer, provider_of

    few_arenas()
    check_settings(settings)  # Whatever can be wrong is wrong before anything is made.
    chosen = embedder_by_name(embedder) if embedder else GatheringEmbedder(MiniLM(2))
    logger = make_log(level=log)
    spans = provider_of() if trace else None
    unlocked = unlock(data_folder(os.environ, data), os.environ)
    if unlocked.recovery_code is not None:
        show_recovery_code(unlocked.recovery_code)
    household = open_household(unlocked, encrypted=encrypted, seats=settings.seats)

    async def run() -> None:
        server = Server(
            household,
            settings,
            logger,
            embedder=chosen,
            tracer=OpenTelemetryTracer(spans) if spans is not None else NoTracer(),
        )
        await server.run(ready)

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run())
    finally:
        if spans is not None:
            spans.shutdown()


def _say_ready(server: Server) -> None:
    """One line for whoever started it, and for programs: the address."""
    print(json.dumps({"ready": address_of(server)}), flush=True)


def _loop_factory() -> Any:
    """The faster event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def need_extra() -> None:
    """Raises MissingExtra if what the server needs is not installed."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("The server needs its extra: pip install 'carma-memory[serve]'.") from error
    if sys.platform == "win32":
        raise MissingExtra("The server runs on Linux and macOS.")
