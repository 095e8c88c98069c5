"""`carma keys …`: make, list, rotate and revoke keys, and say what one is worth.

A key's text is printed once, when it is made. Everything else shows names and fingerprints, which open
nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli import exits
from carma.cli.options import AsJson, moment, text_argument
from carma.cli.output import Output, one_line
from carma.cli.remote import reachable
from carma.cli.rotating import refuse_other, rotate_own
from carma.cli.show import facts, facts_picture, when
from carma.cli.unlocking import show_recovery_code
from carma.errors import InvalidInput, KeyNotFound, Unauthorized

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.access.keys.record import StoredKey
    from carma.access.keys.store import KeyStore
    from carma.access.keys.text import RootKey, StaticKey

__all__ = ["group"]

_DAY_S = 86_400

group = typer.Typer(name="keys", invoke_without_command=True, pretty_exceptions_enable=False)

DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", show_default=False,
        help="The data directory; else $CARMA_DATA, else ~/.local/share/carma.",
    ),
]  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="KEY", help="A key's name or fingerprint.", show_default=False)]


@group.callback()
def keys(context: typer.Context) -> None:
    """Make, list, rotate, revoke and audit keys."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("create")
def create(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Whose key it is.", show_default=False)],
    permissions: Annotated[
        str, typer.Option(metavar="LETTERS", help="Of r (read), w (write), h (heal), a (admin).")
    ] = "rw",
    static: Annotated[
        bool, typer.Option("--static", help="A static key: for curl, over TLS or on this machine.")
    ] = False,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="From now (90d, 12h) or ISO 8601; none: never.")
    ] = "none",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once.

    The first one makes a key-encryption key too, outside the data directory, and shows its recovery code.
    """
    ends = moment(expires, "--expires")
    store = _opened(data, create=True)
    owner = _owner(user, data)
    key, stored = store.create(owner, permissions, kind="static" if static else "root", expires=ends)
    _show_new(key, store, stored, as_json)


@group.command("list")
def list_(
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Only this user's.", show_default=False)
    ] = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the keys, newest first; none of them is shown itself."""
    rows: list[dict[str, Any]] = []
    if _holds_keys(data):
        store = _opened(data)
        found = sorted(store.keys().values(), key=lambda each: -each.created)
        owner = _owner(user, data) if user is not None else None
        rows = [_told(store, each) for each in found if owner in (None, each.owner)]
    Output(as_json).show({"keys": rows}, lambda: _lines(rows), lambda: _table(rows))


@group.command("show")
def show(name: Name, data: DataFolder = None, as_json: AsJson = False) -> None:
    """Show what is known of a key, and what happened to it."""
    store = _opened(data)
    key = store.get(_name_in(name))
    told = _told(store, key)
    told["history"] = [
        {"operation": each.operation, "when": each.when, "by": each.by or None} for each in key.history
    ]
    _show(told, as_json)


@group.command("rotate")
@reachable
def rotate(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A key's name or fingerprint.", show_default=False),
    ] = None,
    grace: Annotated[
        float, typer.Option(metavar="DAYS", help="How long the old key still works.", min=0, max=366)
    ] = 7.0,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key in the place of one, and print it, once.

    The old key works on during the days of grace, or until it is revoked. If the new key was lost before it
    was ever used, rotate the old one again. Without KEY the server is asked for a new one in the place of the
    key that asks; it is written into that key's file and not printed.
    """
    if name is None:
        _show(rotate_own(grace * _DAY_S), as_json)
        return
    refuse_other()
    store = _opened(data)
    key, stored = store.rotate(_name_in(name), grace_s=grace * _DAY_S)
    _show_new(key, store, stored, as_json)


@group.command("revoke")
def revoke(name: Name, data: DataFolder = None, as_json: AsJson = False) -> None:
    """End a key at once, in every process."""
    store = _opened(data)
    _show(_told(store, store.revoke(_name_in(name))), as_json)


@group.command("audit")
def audit(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The key; - reads it from a pipe.", show_default=False)
    ],
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help="The whole name it was made for.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attack a key as a stranger would, and say what it is worth.

    Against keys of the first texts' scheme it finds the second they were made in and forges another.
    """
    from carma.uml.seed_keys import audit_report

    report = audit_report(text_argument(key), user=user)
    rows = [(name, one_line(shown)) for name, shown in facts(report.to_dict())]
    Output(as_json).show(
        report.to_dict(), lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )


@group.command("check")
def check(
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A key; - reads it from a pipe.", show_default=False),
    ] = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without records that are lost in all copies.")
    ] = False,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> int:
    """Say what a key is; without KEY, check the key store.

    Exits with 22 for a key that is not valid here, and with 12 if the key store had damage.
    """
    if key is None:
        return _check_store(data, accept_loss, as_json)
    if accept_loss:
        raise InvalidInput("--accept-loss is about the key store; it takes no KEY.")
    told = _checked(text_argument(key), data)
    _show(told, as_json)
    return exits.OK if told["valid"] is not False else Unauthorized.exit_code


# What is shown


def _checked(text: str, data: Path | None) -> dict[str, Any]:
    """What a key is, without its secret. Raises KeyMalformed."""
    from carma.access.keys.text import AttemptKey, parse_key

    key = parse_key(text)
    told: dict[str, Any] = {"kind": type(key).__name__.removesuffix("Key").lower(), "name": key.name}
    store = _opened(data) if _holds_keys(data) else None
    stored = store.keys().get(key.name) if store is not None else None
    if isinstance(key, AttemptKey):
        # Whether its tag is right only the server can tell that it was made for.
        told |= {"session": key.session, "attempt": key.counter, "valid": None if stored else False}
    else:
        told |= {"fingerprint": key.fingerprint, "valid": False}
    told |= {"permissions": key.permissions, "known": stored is not None}
    if stored is None or store is None:
        return told
    told |= {name: value for name, value in _told(store, stored).items() if name not in told}
    if not isinstance(key, AttemptKey):
        told["known"] = store.is_true(key)
        told["valid"] = told["known"] and told["state"] in ("active", "grace")
    return told


def _told(store: KeyStore, key: StoredKey) -> dict[str, Any]:
    """A key as it may be shown."""
    ended = key.state != "revoked" and time.time() >= key.until()
    return {
        "name": key.name,
        "fingerprint": store.fingerprint(key),
        "kind": key.kind,
        "user": key.owner,
        "permissions": key.permissions,
        "state": "expired" if ended else key.state,
        "created": key.created,
        "expires": key.expires,
        "grace_until": key.grace_until,
        "successor": key.successor,
    }


def _show_new(key: RootKey | StaticKey, store: KeyStore, stored: StoredKey, as_json: bool) -> None:
    out = Output(as_json)
    out.show({"key": key.text, **_told(store, stored)}, lambda: [key.text])
    out.note("This key is shown only now. Keep it where you keep passwords.")


def _show(told: dict[str, Any], as_json: bool) -> None:
    rows = [(name, _shown(name, value)) for name, value in told.items() if value is not None]
    Output(as_json).show(
        told, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )


def _shown(name: str, value: Any) -> str:
    if name in ("created", "expires", "grace_until", "old_works_until"):
        return when(value)
    if name == "history":
        return "; ".join(f"{each['operation']} {when(each['when'])}" for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(value))


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Name, user, kind, permissions, state and when it was made, with tabs between; one key a line."""
    for row in rows:
        yield "\t".join((
            row["name"], one_line(row["user"]), row["kind"], row["permissions"], row["state"],
            when(row["created"]),
        ))  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("key", "user", "kind", "may", "state", "made"):
        table.add_column(head)
    for line in _lines(rows):
        table.add_row(*line.split("\t"))
    return table


# The key store


def _check_store(data: Path | None, accept_loss: bool, as_json: bool) -> int:
    found: list[str] = []
    count = 0
    if _holds_keys(data):
        store = _opened(data)
        found = store.check()
        count = store.accept_loss() if accept_loss else len(store.keys())
    out = Output(as_json)
    out.show({"keys": count, "findings": found}, lambda: [f"keys\t{count}", *(f"found\t{x}" for x in found)])
    return exits.FINDINGS if found else exits.OK


def _holds_keys(data: Path | None) -> bool:
    """Whether there is a key store at all."""
    from carma.access.data import data_folder
    from carma.ports.disk import LocalDisk

    return bool(LocalDisk().listdir(data_folder(os.environ, data).keys))


def _opened(data: Path | None, *, create: bool = False) -> KeyStore:
    """The key store of a data directory. Raises KekMissing and what else `unlock` raises."""
    from carma.access.data import data_folder, unlock
    from carma.access.journal import Journal
    from carma.access.keys.store import KeyStore

    folder = data_folder(os.environ, data)
    if not create and not _holds_keys(data):
        raise KeyNotFound("There are no keys here.", hint="Make one with `carma keys create --user NAME`.")
    unlocked = unlock(folder, os.environ, create=create)
    if unlocked.recovery_code is not None:
        show_recovery_code(unlocked.recovery_code)
    return KeyStore(Journal(unlocked.disk, folder.keys), unlocked.kek, reload=unlocked.reload)


def _owner(user: str, data: Path | None) -> str:
    """The id of the account of this name, where a server has one; else the name itself."""
    from carma.access.data import data_folder
    from carma.errors import AccountNotFound
    from carma.ports.disk import LocalDisk
    from carma.serve.accounts import Accounts

    folder = data_folder(os.environ, data).accounts
    if not os.path.isdir(folder):
        return user
    accounts = Accounts(LocalDisk(), folder)
    try:
        return accounts.find(user).id
    except AccountNotFound:
        return user
    finally:
        accounts.close()


def _name_in(given: str) -> str:
    """The name of a key, also where somebody gives the key itself."""
    from carma.access.keys.text import SECRET_CHARS

    is_whole = given.startswith("carma_") and len(given.rpartition("_")[2]) == SECRET_CHARS + 6
    return given.rpartition("_")[0] if is_whole else given
