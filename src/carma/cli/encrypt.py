"""`carma vault encrypt`: turn a plain memory into an encrypted one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from carma.cli.opening import is_encrypted, store_path
from carma.cli.options import AsJson
from carma.cli.output import Output
from carma.cli.show import facts, facts_picture
from carma.cli.unlocking import DataFolder, Owner, vault_at

__all__ = ["encrypt"]


def encrypt(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]", help="The memory's folder; else $CARMA_STORE, else ~/.carma/memory.",
            show_default=False,
        ),
    ] = None,
    leave_lost: Annotated[
        bool, typer.Option("--leave-lost", help="What is lost now may stay lost for ever.")
    ] = False,
    owner: Owner = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Encrypt a memory that is not encrypted.

    Everything is sealed anew and proven; then the plain files are overwritten and removed. It can be
    interrupted and repeated. Close the memory everywhere else first.
    """
    from carma.memory.memory import Memory

    folder = store_path(path)
    name = owner or os.environ.get("CARMA_OWNER") or None
    vault = vault_at(data, create=is_encrypted(folder) is False)
    out = Output(as_json)
    with out.progress("Encrypting", "records") as update:
        counts = Memory.encrypt(
            folder, vault=vault, owner=name, leave_lost=leave_lost,
            progress=lambda done, total: update(done, total, ""),
        )  # fmt: skip
    rows = list(facts(counts))
    out.show(counts, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows))
