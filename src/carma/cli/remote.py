"""How a command reaches a memory on a server: `--url`, `--key-file`, `--ca-file`, the same for every verb.

As with encryption the options are added to a verb's signature by `reachable`, and `opened` asks what was
given. The key itself is no option: what stands in a command line can be read by every process of the machine
and stays in the shell's history. It comes from CARMA_KEY or from a file.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.errors import InvalidInput

if TYPE_CHECKING:
    from carma.client.client import Client

__all__ = ["KeyFile", "Reaching", "Url", "address", "given", "reachable", "reached"]

_PANEL = "Server"

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

    @property
    def trusted(self) -> str | None:
        """The certificates, as httpx takes them."""
        return str(self.ca_file.expanduser()) if self.ca_file is not None else None


_NOTHING = Reaching()
_current: ContextVar[Reaching] = ContextVar("reaching", default=_NOTHING)


def reachable(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with the three options more."""

    @functools.wraps(verb)
    def call(*args: Any, url: str | None, key_file: Path | None, ca_file: Path | None, **kwargs: Any) -> Any:
        before = _current.set(Reaching(url, key_file, ca_file))
        try:
            return verb(*args, **kwargs)
        finally:
            _current.reset(before)

    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(verb, eval_str=True)
    added = [
        inspect.Parameter(name, keyword, default=None, annotation=annotation)
        for name, annotation in (("url", Url), ("key_file", KeyFile), ("ca_file", _CaFile))
    ]
    new = signature.replace(parameters=[*signature.parameters.values(), *added])
    call.__signature__ = new  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in new.parameters.values()}
    return call


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

    with Client(url, key_file=given().key_file, ca_file=given().trusted) as client:
        yield client
