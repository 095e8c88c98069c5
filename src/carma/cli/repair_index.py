"""`carma repair-index`: the index made anew."""

from __future__ import annotations

from typing import Annotated

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output
from carma.cli.show import facts, facts_picture

__all__ = ["repair_index"]


def repair_index(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="registry, vectors: these in any case.", show_default=False),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make anew what is damaged or stale of the index.

    Registry (tree, metadata, words, damage ledger) and vectors.
    """
    with opened(store) as memory:
        done = memory.repair_index(*(names or ()))
    rows = list(facts(done))
    Output(as_json).show(
        done, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )
