"""How a command reaches a memory on a server: `--url`, `--key-file` and more, the same for every verb.

As with encryption the options are added to a verb's signature by `reachable`, and `opened` asks what was
given. The key itself is no option: what stands in a command line can be read by every process of the machine
and stays in the shell's history. It comes from CARMA_KEY or from a file.

A verb that no server has says so (`NotRemote`) before anything else is asked for: `stays_here` for the server
of CARMA_URL, `refuse_url` for a `--url` that it does not take.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.errors import InvalidInput, NotRemote

if TYPE_CHECKING:
    from carma.client.client import Client

__all__ = [
    "KeyFile", "Reaching", "Url", "address", "given", "reachable", "reached", "refuse_url", "stays_here",
]  # fmt: skip

_PANEL = "Server"
_HERE = "Run it where the memory, or the server's data directory, lies."

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", rich_help_panel=_PANEL, show_default=False,
        help="A memory on a server; else $CARMA_URL. Its key: $CARMA_KEY or a file.",
    ),
]  # fmt: skip
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", rich_help_panel=_PANEL, show_default=False,
        help="The file that holds the key; else $CARMA_KEY_FILE.",
    ),
]  # fmt: skip
_ServerKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--server-key-file", metavar="FILE", rich_help_panel=_PANEL, show_default=False,
        help="The server's public key: bodies are sealed to it. Else $CARMA_SERVER_KEY, else the key file.",
    ),
]  # fmt: skip
_CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", metavar="FILE", rich_help_panel=_PANEL, show_default=False,
        help="Certificates (PEM) to trust instead of the system's.",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reaching:
    """What was given."""

    url: str | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    server_key_file: Path | None = None

    @property
    def server_key(self) -> str | None:
        """The server's public key, if its file was named. Raises InvalidInput."""
        if self.server_key_file is None:
            return None
        try:
            return self.server_key_file.expanduser().read_text("ascii", "replace").strip()
        except OSError as error:
            raise InvalidInput(
                f"The server's key {self.server_key_file} cannot be read: {error.strerror or error}."
            ) from error

    @property
    def trusted(self) -> str | None:
        """The certificates, as httpx takes them."""
        return str(self.ca_file.expanduser()) if self.ca_file is not None else None


_NOTHING = Reaching()
_current: ContextVar[Reaching] = ContextVar("reaching", default=_NOTHING)


def reachable(verb: Callable[..., Any], *, seals: bool = True) -> Callable[..., Any]:
    """The verb with the options more. seals: whether it can seal what it sends."""
    options: dict[str, Any] = {"url": Url, "key_file": KeyFile, "ca_file": _CaFile}
    if seals:
        options["server_key_file"] = _ServerKeyFile

    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = _current.set(Reaching(**{name: kwargs.pop(name) for name in options}))
        try:
            return verb(*args, **kwargs)
        finally:
            _current.reset(before)

    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(verb, eval_str=True)
    added = [
        inspect.Parameter(name, keyword, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    new = signature.replace(parameters=[*signature.parameters.values(), *added])
    call.__signature__ = new  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in new.parameters.values()}
    return call


def stays_here(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb of a memory that no server has: where CARMA_URL and no folder was given, it refuses."""

    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:
        if address(kwargs.get("store")) is not None:
            raise _not_remote(name)
        return verb(*args, **kwargs)

    return call


def refuse_url(words: Sequence[str], taken: Sequence[str], options: Sequence[str]) -> None:
    """Raises NotRemote for `--url` behind a verb that does not take it.

    words: the verb's name. taken: the options that it takes. options: what stands behind it.
    """
    end = options.index("--") if "--" in options else len(options)
    if "--url" in taken or not any(each == "--url" or each.startswith("--url=") for each in options[:end]):
        return
    raise _not_remote(" ".join(words))


def _not_remote(name: str) -> NotRemote:
    from carma.client.local import LOCAL

    verb = {"import": "import_"}.get(name, name.replace("-", "_"))
    return NotRemote(f"{name} works on this machine only.", hint=LOCAL.get(verb) or _HERE)


def given() -> Reaching:
    """What was given to the verb that runs."""
    return _current.get()


def address(store: Path | None) -> str | None:
    """The address of the server that is meant; None for a memory of this machine.

    A folder that was named wins over CARMA_URL. Raises InvalidInput if both were named.
    """
    url = given().url
    if url is not None and store is not None:
        raise InvalidInput("--store and --url name two memories.", hint="Give one of them.")
    if url is None and store is not None:
        return None
    return url or os.environ.get("CARMA_URL") or None


@contextmanager
def reached(url: str) -> Iterator[Client]:
    """The memory on the server at `url`. Raises what `Client` raises."""
    from carma.client.client import Client

    reaching = given()
    with Client(
        url, key_file=reaching.key_file, ca_file=reaching.trusted, server_key=reaching.server_key
    ) as client:
        yield client
