"""`carma topology`: the tree and the threads as a picture, coloured by state."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output

__all__ = ["topology"]


def topology(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to: a name in .html, .png or .json.")
    ],
    threads: Annotated[
        bool, typer.Option("--threads/--no-threads", help="Join what lies close in meaning.")
    ] = True,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Draw so many fragments at most.")] = 50_000,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Draw tree and threads, coloured by state."""
    from carma.healing.topology import check, write

    out = out.expanduser()
    check(out)
    with opened(store, read_only=True) as memory:
        drawn = memory.topology(threads=threads, limit=limit)
    write({"now": drawn}, out)
    states = Counter(spot.state for spot in drawn.spots)
    told = {
        "file": str(out),
        "fragments": len(drawn.spots),
        "threads": len(drawn.threads),
        "left_out": drawn.more,
        "states": dict(sorted(states.items())),
    }
    said = f"{len(drawn.spots)} fragments and {len(drawn.threads)} threads drawn in {out}"
    Output(as_json).show(told, lambda: [said], lambda: said + ".")
