"""`carma scan`: what is damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carma.cli import exits
from carma.cli.opening import opened, store_path
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line
from carma.cli.remote import address
from carma.cli.unlocking import current
from carma.errors import KekMissing, KekUnsafe, Shredded, VaultKeyWrong, VaultNeeded, VaultWrong

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.reports import Finding, ScanReport

__all__ = ["scan"]

_MOST_SHOWN = 50
_FIELDS = ("files", "records", "bytes", "damaged", "lost", "unnamed", "sketches", "sketches_missing")
_NO_KEY = (KekMissing, KekUnsafe, VaultKeyWrong, VaultNeeded, VaultWrong, Shredded)


def scan(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte, not only names and headers.")
    ] = False,
    clear_breaker: Annotated[
        bool, typer.Option("--clear-breaker", help="First allow compaction again after mass damage.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> int:
    """Look for damage, and note in the ledger what is lost.

    Of an encrypted memory whose key is not at hand the bytes are proven all the same.
    Exits with 12 if it found anything.
    """
    try:
        with opened(store) as memory:
            if clear_breaker:
                memory.clear_breaker()
            report = memory.scan(deep=deep)
    except _NO_KEY as error:
        # Whoever says that they have the key is told that they have not, and a server's bytes are not here.
        if clear_breaker or current().wanted or address(store) is not None:
            raise
        report = _without_key(store, deep)
        Output(as_json).note(f"{error.message} Looked at the bytes alone, without the key.")
    Output(as_json).show(report.to_dict(), lambda: _lines(report), lambda: _picture(report))
    return exits.OK if report.healthy else exits.FINDINGS


def _without_key(store: Path | None, deep: bool) -> ScanReport:
    from carma.healing.bytescan import scan_bytes
    from carma.ports.disk import LocalDisk

    return scan_bytes(LocalDisk(), os.path.abspath(store_path(store)), deep=deep)


def _counts(report: ScanReport) -> dict[str, Any]:
    return {
        "looked at": f"{report.files:,} files, {report.records:,} records, {report.bytes:,} bytes",
        "damaged": f"{report.damaged:,} records",
        "lost": f"{report.lost:,} records",
        "unnamed": f"{report.unnamed:,} writes",
        "sketches": f"{report.sketches:,} made, {report.sketches_missing:,} missing",
        "took": f"{report.took_s:.2f} s",
    }


def _lines(report: ScanReport) -> Iterator[str]:
    """A line for each count, then one for each finding: kind, path, offset, id, whether it is redundant,
    what.
    """
    for name in _FIELDS:
        yield f"{name}\t{getattr(report, name)}"
    for each in report.findings:
        yield "\t".join(_fields(each))


def _fields(finding: Finding) -> tuple[str, ...]:
    return (
        finding.kind,
        one_line(finding.path),
        "" if finding.offset is None else str(finding.offset),
        finding.id or "",
        "redundant" if finding.redundant else "lost",
        one_line(finding.what),
    )


def _picture(report: ScanReport) -> RenderableType:
    """The counts, then each finding as kind and what, and under it where."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _counts(report).items():
        counts.add_row(Text(name, style="dim"), Text(value))
    if report.healthy:
        return Group(counts, Text("Nothing is wrong.", style="green"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in report.findings[:_MOST_SHOWN]:
        kind, path, offset, id, _, what = _fields(each)
        where = path + (f" at {offset}" if offset else "") + (f", fragment {id}" if id else "")
        cell = Text(what)
        cell.append(f"\n{where}", style="dim")
        table.add_row(Text(kind, style="yellow" if each.redundant else "bold red"), cell)
    parts: list[RenderableType] = [counts, table]
    if len(report.findings) > _MOST_SHOWN:
        parts.append(Text(f"{len(report.findings) - _MOST_SHOWN:,} more; --json shows all.", style="dim"))
    if report.breaker:
        parts.append(
            Text("Mass damage: nothing is dropped until `carma scan --clear-breaker`.", style="bold red")
        )
    return Group(*parts)
