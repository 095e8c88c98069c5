"""`carma stats`, `doctor` and `flush`: how the memory is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from carma.cli import exits
from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line
from carma.cli.remote import address
from carma.cli.show import facts, facts_picture

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["doctor", "flush", "stats"]

_NAMES = ("level", "subject", "what", "advice")
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def stats(store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show counts and sizes of the memory.

    Of one on a server also its requests, its bytes and its bounds.
    """
    with opened(store) as memory:
        counted = memory.stats() if address(store) is None else cast("Any", memory).usage()
    rows = list(facts(counted))
    Output(as_json).show(
        counted, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )


def doctor(store: StoreFolder = None, as_json: AsJson = False) -> int:
    """Say what is wrong with memory and machine; only reads.

    Exits with 12 if it found an error.
    """
    with opened(store, read_only=True) as memory:
        findings = memory.doctor()
    sick = any(finding["level"] == "error" for finding in findings)
    Output(as_json).show(
        {"healthy": not sick, "findings": findings},
        lambda: ("\t".join(one_line(str(each[name])) for name in _NAMES) for each in findings),
        lambda: _findings(findings),
    )
    return exits.FINDINGS if sick else exits.OK


def _findings(findings: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each finding as level, what, and under it where and what to do."""
    from rich.table import Table
    from rich.text import Text

    if not findings:
        return Text("Nothing is wrong.", style="green")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        cell = Text(one_line(str(each["what"])))
        cell.append(f"\n{one_line(str(each['subject']))}", style="dim")
        cell.append(f"\n{one_line(str(each['advice']))}", style="italic")
        table.add_row(Text(str(each["level"]), style=_STYLES.get(each["level"], "")), cell)
    return table


def flush(
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait so long at most.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> int:
    """Wait until all is findable by words and by meaning.

    Then sketches that are missing are made. Exits with 13 if time ran out.
    """
    with opened(store) as memory:
        done = memory.flush(timeout)
        if done and address(store) is None:
            with Output(as_json).progress("Sketching", "sketches") as update:
                memory.rest(progress=update)
    said = "done" if done else "not finished"
    Output(as_json).show({"flushed": done}, lambda: [said], lambda: said.capitalize() + ".")
    return exits.OK if done else exits.UNFINISHED
