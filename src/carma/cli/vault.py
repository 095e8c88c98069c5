"""`carma vault …`: the data keys of encrypted memories, the key that wraps them, and recipients."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli import exits
from carma.cli.options import AsJson, read_stdin
from carma.cli.output import Output, one_line
from carma.cli.unlocking import DataFolder, show_recovery_code
from carma.errors import InvalidInput, KekMissing, KeyStoreDamaged

if TYPE_CHECKING:
    from carma.access.data import Unlocked
    from carma.access.vault.entries import Shredding

__all__ = ["group"]

_Name = Annotated[str, typer.Argument(metavar="OWNER", help="An owner's name.", show_default=False)]

group = typer.Typer(name="vault", invoke_without_command=True, pretty_exceptions_enable=False)


@group.callback()
def vault(context: typer.Context) -> None:
    """Look after the keys of encrypted memories."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("status")
def status(data: DataFolder = None, as_json: AsJson = False) -> int:
    """Look at the keys, and mend their copies.

    Says where the key-encryption key is and whether every data key can be opened.
    """
    from carma.access.data import data_folder, unlock
    from carma.ports.disk import LocalDisk

    folder = data_folder(os.environ, data)
    try:
        unlocked = unlock(folder, os.environ, create=False)
    except KekMissing:
        if folder.holds_secrets(LocalDisk()):
            raise
        value: dict[str, Any] = {"data": str(folder.root), "key": None, "key_from": None}
        value |= {"rotating": False, "owners": 0, "shredded": 0, "healthy": True, "findings": []}
    else:
        found = unlocked.vault()
        findings = [*found.check(), *_left_behind(unlocked)]
        value = {"data": str(folder.root), "key": unlocked.kek.key_id.hex(), **_source(unlocked)}
        value |= {"owners": len(found.owners()), "shredded": len(found.shreddings())}
        value |= {"healthy": not findings, "findings": findings}
    Output(as_json).show(value, lambda: _status_lines(value))
    return exits.OK if value["healthy"] else exits.FINDINGS


def _source(unlocked: Unlocked) -> dict[str, Any]:
    """Where the key comes from, and whether a rotation is under way."""
    from carma.access.vault.kek import KekGiven

    source = unlocked.source
    if isinstance(source, KekGiven):
        return {"key_from": "CARMA_KEK", "rotating": source.next_text is not None}
    return {"key_from": str(source.path), "rotating": source.next.exists()}


def _left_behind(unlocked: Unlocked) -> Iterator[str]:
    """What a rotation that was cut off at its very end has left beside the key's file."""
    path = Path(_source(unlocked)["key_from"])
    old = path.with_name(f"{path.name}.old")
    if old.exists():
        yield f"{old} holds a key of before a rotation that was cut off; `carma vault rotate` removes it."


def _status_lines(value: dict[str, Any]) -> Iterator[str]:
    for name in ("data", "key", "key_from", "rotating", "owners", "shredded", "healthy"):
        yield f"{name}\t{one_line(str(value[name]))}"
    yield from (f"finding\t{one_line(finding)}" for finding in value["findings"])


@group.command("owners")
def owners(data: DataFolder = None, as_json: AsJson = False) -> None:
    """List everyone who has a data key."""
    found = _unlocked(data).vault().owners()
    Output(as_json).show({"owners": found}, lambda: (one_line(owner) for owner in found))


@group.command("rotate")
def rotate(
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Drop data keys that are lost or damaged in all copies.")
    ] = False,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Move to a new key-encryption key.

    Every key is wrapped anew and no memory is touched. If it is interrupted, the same command goes on. The
    new recovery code goes to standard error.
    """
    from carma.access.rewrapping import rewraps_of
    from carma.access.vault.kek import KekGiven
    from carma.access.vault.rotation import rotate_given, rotate_key_file

    unlocked = _unlocked(data)
    rewraps = rewraps_of(unlocked, accept_loss=accept_loss)
    out = Output(as_json)
    codes: list[str] = []
    if isinstance(unlocked.source, KekGiven):
        new, count = rotate_given(unlocked.source, rewraps)
        out.note("Everything is wrapped by the key in CARMA_KEK_NEXT: let CARMA_KEK be that now.")
    else:
        # Shown before anything changes: who is interrupted afterwards has it already.
        tell = codes.append if as_json else show_recovery_code
        new, count = rotate_key_file(unlocked.source, rewraps, tell)
    value = {"key": new.key_id.hex(), "wrapped": count, "recovery_code": codes[0] if codes else None}
    out.show(value, lambda: [f"key\t{value['key']}", f"wrapped\t{count}"])


@group.command("shred")
def shred(
    owner: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Destroy an owner's data key, for ever.

    Everything of theirs becomes unreadable, also in snapshots and mirrors.
    """
    if not yes and not typer.confirm(f"Destroy the data key of {one_line(owner)}?", err=True):
        raise typer.Abort
    done = _unlocked(data).vault().shred(owner)
    value = _shredding(owner, done)
    Output(as_json).show(value, lambda: (f"{name}\t{one_line(shown)}" for name, shown in value.items()))


def _shredding(owner: str, done: Shredding) -> dict[str, str]:
    when = datetime.fromtimestamp(done.when, UTC).isoformat(timespec="seconds")
    return {
        "owner": owner,
        "when": when,
        "key_id": done.key_id.hex(),
        "commitment": done.commitment.hex(),
    }


@group.command("readmit")
def readmit(owner: _Name, data: DataFolder = None, as_json: AsJson = False) -> None:
    """Give a new data key to an owner who was shredded.

    What the old key sealed stays unreadable.
    """
    cipher = _unlocked(data).vault().readmit(owner)
    value = {"owner": owner, "key_id": cipher.key_id.hex()}
    Output(as_json).show(value, lambda: (f"{name}\t{one_line(shown)}" for name, shown in value.items()))


@group.command("recover")
def recover(data: DataFolder = None, as_json: AsJson = False) -> None:
    """Make the key's file anew from its recovery code.

    The code is asked for, or read from a pipe; it is no argument, so that it stands in no list of processes.
    """
    from carma.access.data import data_folder
    from carma.access.journal import Journal
    from carma.access.keys.store import KeyStore
    from carma.access.vault.kek import KekGiven, kek_from_code, kek_source, recover_kek
    from carma.access.vault.vault import Vault
    from carma.ports.disk import LocalDisk

    folder = data_folder(os.environ, data)
    source = kek_source(os.environ, outside=(folder.root,))
    if isinstance(source, KekGiven):
        raise InvalidInput("CARMA_KEK holds the key: there is no file to recover.", hint="Unset it first.")
    asked = sys.stdin.isatty()
    code = typer.prompt("Recovery code", hide_input=True, err=True) if asked else read_stdin()
    # A code of another key would only hide that the right one is missing.
    kek = kek_from_code(code)
    Vault(Journal(LocalDisk(), folder.vault), kek).owners()
    with suppress(KeyStoreDamaged):  # What is left of it was unwrapped.
        KeyStore(Journal(LocalDisk(), folder.keys), kek).keys()
    try:
        kek = recover_kek(source, code)
    except FileExistsError:
        raise InvalidInput(
            f"There is a key file already: {source.path}.", hint="Move it away if it is not the right one."
        ) from None
    value = {"key": kek.key_id.hex(), "file": str(source.path)}
    Output(as_json).show(value, lambda: (f"{name}\t{one_line(shown)}" for name, shown in value.items()))


@group.command("recipient")
def recipient(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The identity's new file.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key pair for sealed exports.

    FILE is the identity, which opens them; FILE.pub is the recipient, to give away.
    """
    from carma.access.vault.recipients import create_identity, save_recipient

    identity = create_identity()
    public = out.with_name(f"{out.name}.pub")
    try:
        if public.exists():
            raise FileExistsError
        identity.save(out)
        save_recipient(identity.recipient, public)
    except FileExistsError:
        raise InvalidInput(f"{out} or {public} exists already.", hint="Choose another name.") from None
    value = {"identity": str(out), "recipient": str(public)}
    value["fingerprint"] = identity.recipient.fingerprint.hex()
    Output(as_json).show(value, lambda: (f"{name}\t{one_line(shown)}" for name, shown in value.items()))


def _unlocked(data: Path | None) -> Unlocked:
    """The data directory with its key. Raises KekMissing, KekUnsafe, KekWrong."""
    from carma.access.data import data_folder, unlock

    return unlock(data_folder(os.environ, data), os.environ, create=False)
