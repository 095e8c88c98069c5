"""`carma blanks`: what is lost, and waits for a dream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line
from carma.cli.show import when

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.models import Fragment

__all__ = ["blanks"]


def blanks(
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="How many at most.")] = 1000,
    reconstructed: Annotated[
        bool, typer.Option("--reconstructed", help="Also those that a dream has put something in place of.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """List fragments whose text is lost, the most urgent first."""
    with opened(store) as memory:
        found = memory.blanks(limit=limit, reconstructed=reconstructed)
    Output(as_json).show(
        {"count": len(found), "items": [each.to_dict() for each in found]},
        lambda: _lines(found),
        lambda: _table(found),
    )


def _lines(found: Iterable[Fragment]) -> Iterator[str]:
    """Id, state, reason, first seen, priority and parent, with tabs between; one fragment a line."""
    for each in found:
        yield "\t".join((each.id, each.state, *_fields(each), each.parent or ""))


def _fields(fragment: Fragment) -> tuple[str, str, str]:
    """Reason, first seen and priority."""
    blank = fragment.blank
    if blank is None:
        rung = fragment.repair.rung if fragment.repair is not None else ""
        return one_line(rung), "", ""
    seen = when(blank.first_seen) if blank.first_seen is not None else ""
    return one_line(blank.reason), seen, f"{blank.priority:.2f}"


def _table(found: list[Fragment]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not found:
        return Text("Nothing is lost, as far as scans have looked.", style="green")
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("state", "reason", "first seen", "priority", "fragment"):
        table.add_column(name, overflow="fold")
    for each in found:
        style = "red" if each.state == "blank" else "yellow"
        table.add_row(Text(each.state, style=style), *map(Text, _fields(each)), Text(each.id))
    return table
