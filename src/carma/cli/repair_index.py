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
        typer.Argument(metavar="NAMES", help="registry or vectors; else both.", show_default=False),
    ] = None,
    if_damaged: Annotated[
        bool, typer.Option("--if-damaged", help="Leave alone what is sound; look at all of it first.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make the index anew from the segments.

    Registry (tree, metadata, words, damage ledger) and vectors.
    """
    with opened(store) as memory:
        done = memory.repair_index(*(names or ()), only_damaged=if_damaged)
    rows = list(facts(done))
    Output(as_json).show(
        done, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )
