"""`carma users …`: who is served, on which seat; adding and removing them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli.options import AsJson
from carma.cli.output import Output, one_line
from carma.cli.serve import DataDir
from carma.cli.show import facts, facts_picture, when
from carma.cli.unlocking import show_recovery_code

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.serve.accounts import Account
    from carma.serve.household import Household

__all__ = ["group"]

group = typer.Typer(name="users", invoke_without_command=True, pretty_exceptions_enable=False)


@group.callback()
def users(context: typer.Context) -> None:
    """Add, list and remove the users of a server.

    Each has a seat: a memory of their own.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people; one account has it.")],
    permissions: Annotated[
        str, typer.Option(metavar="LETTERS", help="Of r (read), w (write), h (heal), a (admin).")
    ] = "rwha",
    static: Annotated[
        bool, typer.Option("--static", help="A static key instead of a root key: for curl.")
    ] = False,
    plain_seats: Annotated[
        bool, typer.Option("--plain-seats", help="The server does not encrypt its seats.")
    ] = False,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give somebody a seat and a key, which is printed once. Exits with 45 if every seat is taken."""
    with _opened(data, encrypted=not plain_seats) as household:
        joined = household.churn().join(name, permissions, static=static)
        told = _told(joined.account) | {
            "key": joined.key.text,
            "server_key": household.sealing.public.text,
            "server_key_fingerprint": household.sealing.public.fingerprint,
        }
    output = Output(as_json)
    brief = {name: value for name, value in told.items() if name != "server_key"}
    output.show(told, lambda: _facts(told), lambda: facts_picture(facts(brief)))
    if output.terminal:
        print(told["server_key"])  # In one piece, so that it can be copied; a table would cut it.
    output.note(
        "The key is shown only now. With server_key below it in its file, clients seal what they send."
    )


@group.command("list")
def list_(data: DataDir = None, as_json: AsJson = False) -> None:
    """List the users, by seat."""
    rows: list[dict[str, Any]] = []
    if _has_accounts(data):
        with _opened(data) as household:
            rows = [_told(account) for account in household.accounts.all()]
    Output(as_json).show({"users": rows}, lambda: _lines(rows), lambda: _table(rows))


@group.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A user's name or id.", show_default=False)],
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove somebody with everything they had: keys, data key, memory. There is no way back."""
    from carma.errors import AccountNotFound

    if not _has_accounts(data):
        raise AccountNotFound(f"There is no account {name!r}.")
    with _opened(data) as household:
        account = household.churn().leave(name)
    told = _told(account) | {"removed": True}
    Output(as_json).show(told, lambda: _facts(told), lambda: facts_picture(facts(told)))


def _has_accounts(data: Path | None) -> bool:
    from carma.access.data import data_folder

    return os.path.isdir(data_folder(os.environ, data).accounts)


@contextmanager
def _opened(data: Path | None, *, encrypted: bool = True) -> Iterator[Household]:
    """The data directory. Raises KekMissing and what else opening raises."""
    from carma.access.data import data_folder, unlock
    from carma.serve.household import open_household

    unlocked = unlock(data_folder(os.environ, data), os.environ)
    if unlocked.recovery_code is not None:
        show_recovery_code(unlocked.recovery_code)
    household = open_household(unlocked, encrypted=encrypted)
    try:
        yield household
    finally:
        household.close()


def _told(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "seat": account.seat,
        "generation": account.generation,
        "created": account.created,
        "leaving": account.leaving,
    }


def _facts(told: dict[str, Any]) -> Iterator[str]:
    return (f"{name}\t{value}" for name, value in facts(told))


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield "\t".join((str(row["seat"]), row["id"], one_line(row["name"]), when(row["created"])))


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table("seat", "name", "id", "since", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        name = f"{one_line(row['name'])} (leaving)" if row["leaving"] else one_line(row["name"])
        table.add_row(str(row["seat"]), name, row["id"], when(row["created"]))
    return table
