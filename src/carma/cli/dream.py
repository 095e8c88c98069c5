"""`carma dream` and `carma dreams`: repair cycles."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli import exits
from carma.cli.opening import key_for, opened, store_path
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.healing.dream import Wishes
    from carma.reports import DreamReport

__all__ = ["dream", "dreams"]

_COUNTS = (
    "looked_at", "damaged", "exact", "reconstructed", "still_blank", "files_repaired", "planned_s",
    "actual_s",
)  # fmt: skip


def dream(
    budget: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Stop after so long; the plan is the ceiling.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    no_exact: Annotated[
        bool, typer.Option("--no-exact", help="Leave out the rungs that give back true bytes.")
    ] = False,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            show_default=False,
            help="Another memory, an archive, an export, or a folder that was ingested (repeatable).",
        ),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", hidden=True)] = False,
    tell: Annotated[bool, typer.Option("--tell", hidden=True)] = False,
    settings: Annotated[str, typer.Option("--settings", hidden=True)] = "{}",
    key_pipe: Annotated[int | None, typer.Option("--key-pipe", hidden=True)] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> int:
    """Look everywhere, and repair what is damaged.

    First what can be proven, bit for bit; what is lost for good is rebuilt and marked as such.
    Exits with 12 if something is still blank.
    """
    out = Output(as_json)
    if in_process:
        from carma.healing.dream import Wishes

        wishes = Wishes(budget_s=budget, dry_run=dry_run, exact=not no_exact, sources=source or ())
        report = _here(store, wishes, settings, tell, key_pipe)
    else:
        with opened(store, read_only=dry_run) as memory, out.progress("Dreaming", "steps") as update:
            report = memory.dream(
                budget_s=budget, dry_run=dry_run, exact=not no_exact, sources=source or (), progress=update
            )
    out.show(report.to_dict(), lambda: _lines(report), lambda: _picture(report))
    if report.error:
        out.note(report.error)
    if report.status == "cancelled":
        return exits.INTERRUPTED
    return exits.FINDINGS if report.still_blank or report.status == "failed" else exits.OK


def _here(store: Path | None, wishes: Wishes, settings: str, tell: bool, key_pipe: int | None) -> DreamReport:
    """The dream itself, in this process. key_pipe: where the data key of an encrypted memory comes from."""
    from carma.healing.worker import cancelled_by_signals, key_from, reads_from, settings_of, teller
    from carma.memory.memory import Memory

    path, bounds = store_path(store), settings_of(settings)
    key: dict[str, Any]
    if key_pipe is None:
        key = key_for(path, create=False)
    else:
        from carma.access.vault.datakey import DataKeyCipher

        key = {"cipher": DataKeyCipher(key_from(key_pipe))}
    wishes = replace(wishes, reads=reads_from(sys.stdin.fileno())) if tell else wishes
    cancelled = cancelled_by_signals(with_parent=tell)
    with Memory.open(path, create=False, read_only=wishes.dry_run, settings=bounds, **key) as memory:
        return memory.dreamer.run(
            wishes, progress=teller(sys.stderr) if tell else None, in_process=True, cancelled=cancelled
        )


def dreams(
    cycle: Annotated[
        int | None,
        typer.Argument(metavar="[CYCLE]", help="Only this one, with everything it did.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the last ones.")] = 20,
    steps: Annotated[bool, typer.Option("--steps", help="With everything they did.")] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show the last repair cycles, newest first; or one of them."""
    with opened(store, read_only=True) as memory:
        found = memory.dreams(limit, steps=steps) if cycle is None else [memory.show_dream(cycle)]
    Output(as_json).show(
        {"dreams": [each.to_dict() for each in found]},
        lambda: (line for each in found for line in _row(each, steps or cycle is not None)),
        lambda: _table(found),
    )


def _row(report: DreamReport, steps: bool) -> Iterator[str]:
    counts = "\t".join(f"{name}={getattr(report, name)}" for name in _COUNTS)
    yield f"{report.cycle}\t{report.status}\t{counts}"
    for step in report.steps if steps else ():
        yield f"{step.cycle}\t{step.target}\t{one_line(step.name)}\t{step.rung}\t{step.before}\t{step.after}"


def _lines(report: DreamReport) -> Iterator[str]:
    yield f"status\t{report.status}"
    for name in _COUNTS:
        yield f"{name}\t{getattr(report, name)}"
    for what, counts in (("rung", report.rungs), ("reason", report.reasons)):
        for name, count in sorted(counts.items()):
            yield f"{what}\t{one_line(name)}\t{count}"


def _picture(report: DreamReport) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for line in _lines(report):
        what, name, *more = line.split("\t")
        table.add_row(what.replace("_", " "), " ".join((name, *more)))
    return table


def _table(found: Sequence[DreamReport]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not found:
        return Text("There was no repair cycle yet.")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("cycle", "status", *_COUNTS):
        table.add_column(name.replace("_", " "), justify="left" if name == "status" else "right")
    for each in found:
        table.add_row(str(each.cycle), each.status, *(str(getattr(each, name)) for name in _COUNTS))
    return table
