"""`carma top`: a server, or a memory, as it lives.

Of a server it reads what every monitor reads, `/readyz` and `/metrics`, so it needs no key but that of the
metrics, and opens no memory. On a terminal it goes on until Ctrl-C; in a pipe, with `--once` or with `--json`
it looks once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output
from carma.cli.top_picture import rows_of, top_picture
from carma.cli.top_readings import Page, memory_view, parse_page, server_view
from carma.errors import InvalidAnswer, InvalidInput, ServerUnreachable, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

__all__ = ["top"]

_SERVER = "Server"
_ANSWER_S = 5.0
_DREAMS = 3

Look = Callable[[], dict[str, Any]]


def top(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            rich_help_panel=_SERVER,
            help="Watch the server there; else $CARMA_URL; else a memory.",
        ),
    ] = None,
    metrics_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            rich_help_panel=_SERVER,
            help="Its metrics, if on a port of their own. Their key: $CARMA_METRICS_KEY.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            rich_help_panel=_SERVER,
            help="Certificates (PEM) to trust instead of the system's.",
        ),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.2, max=3600.0, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit.")] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Watch a server or a memory, live. Ctrl-C ends it.

    Of a single look the rates are those since the server was started.
    """
    if url is not None and store is not None:
        raise InvalidInput("--store and --url name two things to watch.", hint="Give one of them.")
    address = url or (os.environ.get("CARMA_URL") if store is None else None)
    output = Output(as_json)
    watched = _memory(store) if address is None else _server(address, metrics_url, ca_file)
    with watched as look:
        if once or not output.terminal:
            view = look()
            output.show(
                view, lambda: (f"{name}\t{value}" for name, value in rows_of(view)),
                lambda: top_picture(view, time.time()),
            )  # fmt: skip
        else:
            _live(output, look, every)


def _live(output: Output, look: Look, every: float) -> None:
    """Look again and again, on a screen of its own, until Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    shown: Any = top_picture(look(), time.time())
    with (
        suppress(KeyboardInterrupt),
        Live(shown, console=output.console(), screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(shown, refresh=True)
            time.sleep(every)
            try:
                shown = top_picture(look(), time.time())
            except ServerUnreachable as error:
                shown = Text(f"{error.message} It is asked again every {every:g} s.", style="bold red")


@contextmanager
def _memory(store: Path | None) -> Iterator[Look]:
    """A memory of this machine, read only: whoever watches changes nothing."""
    before: list[tuple[float, dict[str, Any]]] = []
    with opened(store, read_only=True) as memory:

        def look() -> dict[str, Any]:
            at, stats = time.time(), memory.stats()
            dreams = [dream.to_dict() for dream in memory.dreams(_DREAMS)]
            view = memory_view(str(stats["path"]), at, stats, dreams, before[-1] if before else None)
            before[:] = [(at, stats)]
            return view

        yield look


@contextmanager
def _server(url: str, metrics_url: str | None, ca_file: Path | None) -> Iterator[Look]:
    """A server, asked over one connection. Raises InvalidInput."""
    import httpx

    base = url.rstrip("/")
    pages = metrics_url or f"{base}/metrics"
    before: list[Page] = []
    trusted: dict[str, Any] = {"verify": str(ca_file.expanduser())} if ca_file is not None else {}
    with _readable(lambda: httpx.Client(timeout=_ANSWER_S, **trusted)) as client:

        def look() -> dict[str, Any]:
            ready = _json(_asked(client, f"{base}/readyz", {200, 503}))
            page = parse_page(_asked(client, pages, {200}, _shown_key()).text, time.time())
            view = server_view(base, ready, page, before[-1] if before else None)
            before[:] = [page]
            return view

        yield look


def _readable(make: Callable[[], httpx.Client]) -> AbstractContextManager[httpx.Client]:
    try:
        return make()
    except OSError as error:
        raise InvalidInput("The file of certificates cannot be read.") from error


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict) or "status" not in found:
        raise InvalidAnswer("What answers there is no server of CARMA.")
    return found


def _shown_key() -> dict[str, str]:
    key = os.environ.get("CARMA_METRICS_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def _asked(
    client: httpx.Client, url: str, right: set[int], headers: dict[str, str] | None = None
) -> httpx.Response:
    """An answer of the server. Raises InvalidInput, ServerUnreachable, Unauthorized, InvalidAnswer."""
    import httpx

    try:
        answer = client.get(url, headers=headers or {})
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InvalidInput("The address is not an http or https URL.") from error
    except httpx.HTTPError as error:
        raise ServerUnreachable(f"Nothing answers at {url}.") from error
    if answer.status_code == 401:
        raise Unauthorized(
            "The metrics of this server are shown to whoever has their key.",
            hint="Set CARMA_METRICS_KEY to the key that the server was started with.",
        )
    if answer.status_code == 404 and url.endswith("/metrics"):
        raise InvalidAnswer(
            "This server shows no metrics at this address.",
            hint="They may be on a port of their own: give --metrics-url.",
        )
    if answer.status_code not in right:
        raise InvalidAnswer(f"The answer at {url} has status {answer.status_code}.")
    return answer
