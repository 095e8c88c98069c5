"""How a command opens an encrypted memory: `--vault`, `--data`, `--owner`, the same for every verb.

The three options are not written into every verb: `unlockable` adds them to its signature, and `opened` asks
`current()` for what was given. A memory says itself whether it is encrypted, so reading one needs no option
but the owner's name, if that is not `local`. Rejected: options of the program before the verb (`carma
--owner alice get`: nobody looks for them there).
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from carma.access.vault.vault import Vault

__all__ = ["DataFolder", "Owner", "Unlocking", "current", "show_recovery_code", "unlockable", "vault_at"]

_PANEL = "Encryption"

DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", rich_help_panel=_PANEL, show_default=False,
        help="The data directory that holds the vault; else $CARMA_DATA, else ~/.local/share/carma.",
    ),
]  # fmt: skip
Owner = Annotated[
    str | None,
    typer.Option(
        "--owner", metavar="NAME", rich_help_panel=_PANEL, show_default=False,
        help="Whose data key encrypts the memory; else $CARMA_OWNER, else local.",
    ),
]  # fmt: skip
_Vault = Annotated[
    bool,
    typer.Option(
        "--vault", rich_help_panel=_PANEL, help="The memory is encrypted; a new one becomes so."
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unlocking:
    """What was given. wanted: the caller says that the memory is encrypted."""

    wanted: bool = False
    data: Path | None = None
    owner: str | None = None

    @property
    def name(self) -> str | None:
        """The owner, if one was named."""
        return self.owner or os.environ.get("CARMA_OWNER") or None


_NOTHING = Unlocking()
_current: ContextVar[Unlocking] = ContextVar("unlocking", default=_NOTHING)


def current() -> Unlocking:
    """What was given to the verb that runs."""
    return _current.get()


def unlockable(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with the three options more."""

    @functools.wraps(verb)
    def call(*args: Any, vault: bool, data: Path | None, owner: str | None, **kwargs: Any) -> Any:
        given = _current.set(Unlocking(vault or owner is not None, data, owner))
        try:
            return verb(*args, **kwargs)
        finally:
            _current.reset(given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(verb, eval_str=True)
    added = [
        inspect.Parameter("vault", keyword, default=False, annotation=_Vault),
        inspect.Parameter("data", keyword, default=None, annotation=DataFolder),
        inspect.Parameter("owner", keyword, default=None, annotation=Owner),
    ]
    new = signature.replace(parameters=[*signature.parameters.values(), *added])
    call.__signature__ = new  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in new.parameters.values()}
    return call


def vault_at(data: Path | None, *, create: bool) -> Vault:
    """The vault of a data directory. create: a first key-encryption key may be made; its code is shown.

    Raises KekMissing, KekUnsafe, KekWrong, StorageError.
    """
    from carma.access.data import data_folder, unlock

    unlocked = unlock(data_folder(os.environ, data), os.environ, create=create)
    if unlocked.recovery_code is not None:
        show_recovery_code(unlocked.recovery_code)
    return unlocked.vault()


def show_recovery_code(code: str) -> None:
    """Show the recovery code of a new key-encryption key, once, where results do not go."""
    print(
        "A key-encryption key was made. Its recovery code is shown only now; keep it on paper:\n\n"
        f"  {code}\n",
        file=sys.stderr,
    )
