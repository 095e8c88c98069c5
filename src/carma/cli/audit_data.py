"""Where `carma audit` finds its log, and whose keys it trusts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carma.errors import InvalidInput

if TYPE_CHECKING:
    from carma.access.audit.note import Verifier
    from carma.access.audit.trail import AuditTrail
    from carma.access.data import Unlocked
    from carma.access.vault.vault import Vault
    from carma.ports.cipher import Cipher

__all__ = [
    "DataDir", "Keys", "LogDir", "copy_waiting", "opened_log", "opened_trail", "owner_tag", "read_given",
    "verifiers_from",
]  # fmt: skip

_MOST_BYTES = 2**20

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", rich_help_panel="Common options", show_default=False,
        help="The data directory; else $CARMA_DATA, else ~/.local/share/carma.",
    ),
]  # fmt: skip
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", metavar="FILE", show_default=False,
        help="The log's public keys, from a source that you trust; else those that lie beside the log.",
    ),
]  # fmt: skip

LogDir = Annotated[
    Path | None,
    typer.Option(
        "--log", metavar="DIR", show_default=False, help="The log's folder, if it is not <data>/audit/log."
    ),
]


def opened_log(data: Path | None, log: Path | None) -> str:
    """The folder of the log. Raises InvalidInput if there is none."""
    from carma.access.audit.trail import log_folder
    from carma.access.data import data_folder

    folder = str(log.expanduser()) if log is not None else log_folder(data_folder(os.environ, data).audit)
    if not os.path.isdir(folder):
        raise InvalidInput(
            f"There is no audit log at {folder}.",
            hint="Name its folder with --log, or the data directory with --data.",
        )
    return folder


def verifiers_from(keys: Path | None, folder: str) -> list[Verifier]:
    """The public keys in a file; those beside the log if there is none. Raises InvalidInput, AuditDamaged."""
    from carma.access.audit.note import vkey_lines
    from carma.access.audit.trail import published_keys
    from carma.ports.disk import LocalDisk

    if keys is None:
        return published_keys(LocalDisk(), folder)
    try:
        found = vkey_lines(read_given(keys))
    except ValueError as error:
        raise InvalidInput(f"{keys} holds no public keys ({error}).") from error
    if not found:
        raise InvalidInput(f"{keys} holds no public keys.")
    return found


def read_given(file: Path, most: int = _MOST_BYTES) -> bytes:
    """What a file that was named holds, `most` bytes of it; of `-`, standard input. Raises InvalidInput."""
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with file.expanduser().open("rb") as opened:
                data = opened.read(most + 1)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror}).") from error
    if len(data) > most:
        raise InvalidInput(f"{file} is longer than {most:,} bytes.")
    return data


def _unlocked(data: Path | None) -> Unlocked | None:
    """The data directory with its key-encryption key, None where it has none and needs none."""
    from carma.access.data import data_folder, unlock
    from carma.errors import KekMissing
    from carma.ports.disk import LocalDisk

    folder = data_folder(os.environ, data)
    try:
        return unlock(folder, os.environ, create=False)
    except KekMissing:
        if folder.holds_secrets(LocalDisk()):
            raise
        return None


@contextmanager
def opened_trail(data: Path | None) -> Iterator[AuditTrail]:
    """The audit log of a data directory, made if there is none. Raises AuditUnavailable, AuditDamaged."""
    from carma.access.audit.trail import AuditTrail
    from carma.access.data import data_folder

    unlocked = _unlocked(data)
    folder = data_folder(os.environ, data)
    vault = unlocked.vault() if unlocked is not None and os.path.isdir(folder.vault) else None
    with AuditTrail(
        folder.audit,
        kek=unlocked.kek if unlocked is not None else None,
        cipher_of=(lambda owner: _cipher(vault, owner)) if vault is not None else None,
    ) as trail:
        yield trail


def _cipher(vault: Vault, owner: str) -> Cipher | None:
    """An owner's cipher, None if they have no data key. Raises Shredded."""
    from carma.errors import OwnerNotFound

    try:
        return vault.cipher(owner, create=False)
    except OwnerNotFound:
        return None


def copy_waiting(trail: AuditTrail, data: Path | None, store: Path | None, owner: str | None) -> int:
    """Copy what waits in the queue, in the key store and in one memory; how many leaves."""
    from carma.access.data import data_folder
    from carma.access.journal import Journal
    from carma.access.keys.key_events import KeyEvents
    from carma.access.keys.store import KeyStore
    from carma.ports.disk import LocalDisk

    folder = data_folder(os.environ, data)
    unlocked = _unlocked(data)
    if unlocked is not None and os.path.isdir(folder.keys):
        keys = KeyStore(Journal(LocalDisk(), folder.keys), unlocked.kek, reload=unlocked.reload)
        trail.follow(KeyEvents(keys, trail.key_of))
    if store is None:
        return trail.sequence()
    from carma.cli.opening import opened
    from carma.memory.act_source import ActSource

    with opened(store) as memory:
        trail.follow(ActSource(memory, owner or "local", trail.key_of))
        return trail.sequence()


def owner_tag(data: Path | None, owner: str) -> str:
    """The tag that an owner's leaves carry. Raises InvalidInput if the owner's audit key was destroyed."""
    with opened_trail(data) as trail:
        key = trail.key_of(owner)
    if key is None:
        raise InvalidInput("This owner's audit key was destroyed: nobody can tell any more what is theirs.")
    return key.owner(owner)
