"""`carma audit …`: verify the log of what was done, prove one event, be a witness, see what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carma.cli import exits
from carma.cli.audit_data import DataDir, Keys, LogDir, opened_log, opened_trail, read_given, verifiers_from
from carma.cli.audit_tail import leaf_value, tail
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line
from carma.ports.outfile import check_file

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.access.audit.verify import AuditReport

__all__ = ["group"]

group = typer.Typer(name="audit", invoke_without_command=True, pretty_exceptions_enable=False)

_Witnesses = Annotated[
    list[Path] | None,
    typer.Option("--witness", metavar="FILE", show_default=False, help="Public keys of a witness."),
]


@group.callback()
def audit(context: typer.Context) -> None:
    """Verify and prove what was done, from a log that only grows."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("checkpoint")
def checkpoint(
    attach: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Add the cosignatures that stand in FILE."),
    ] = None,
    ask: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            min=0,
            show_default=False,
            help="Print a request to a witness that saw SIZE entries.",
        ),
    ] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose memory --store names.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy what waits to the log, and print the newest checkpoint.

    Keep it elsewhere: with it anybody can see whether the log was cut off or rewritten.
    """
    from carma.access.audit.checkpoint import read_checkpoint
    from carma.access.audit.note import parse_signatures
    from carma.access.audit.witness import request_body
    from carma.cli.audit_data import copy_waiting
    from carma.errors import InvalidInput

    if out is not None:
        check_file(out)
    with opened_trail(data) as trail:
        copied = copy_waiting(trail, data, store, owner)
        if attach is not None:
            try:
                signatures = parse_signatures(read_given(attach))
            except ValueError as error:
                raise InvalidInput(f"{attach} holds no cosignatures ({error}).") from error
            if not trail.log.add_signatures(trail.log.reader().checkpoint, signatures):
                raise InvalidInput("The log went on meanwhile; the cosignatures are of an older checkpoint.")
        note = trail.log.checkpoint()
        text = request_body(trail.log.reader(), note, ask) if ask is not None else note
    found, read = read_checkpoint(note)
    value = {
        "origin": found.origin, "size": found.size, "root": found.root.hex(), "copied": copied,
        "signed_by": [each.name for each in read.signatures], "note": text.decode(),
    }  # fmt: skip
    if out is not None:
        out.write_bytes(text)
    lines = text.decode().removesuffix("\n") if out is None else f"{found.size}\t{found.root.hex()}"
    Output(as_json).show(value, lambda: [lines])


@group.command("verify")
def verify(
    held: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE", show_default=False, help="A checkpoint that was kept elsewhere."
        ),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Check this proof of one event instead."),
    ] = None,
    keys: Keys = None,
    witnesses: _Witnesses = None,
    quorum: Annotated[
        int, typer.Option(metavar="N", min=0, help="So many of the witnesses have to have cosigned.")
    ] = 0,
    log: LogDir = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> int:
    """Find what was changed, removed, put in or moved.

    Without --checkpoint and witnesses the operator of the log could have rewritten all of it. Exits with 12
    if it found anything.
    """
    from carma.access.audit.proof import check_proof
    from carma.access.audit.verify import verify_log
    from carma.ports.disk import LocalDisk

    folder = opened_log(data, log)
    trusted = verifiers_from(keys, folder)
    known = [each for file in witnesses or () for each in verifiers_from(file, folder)]
    output = Output(as_json)
    if proof is not None:
        proven = check_proof(read_given(proof), trusted, known, quorum)
        value = {
            "number": proven.number, "leaf": leaf_value(proven.leaf), "origin": proven.checkpoint.origin,
            "size": proven.checkpoint.size, "witnesses": sorted(proven.witnesses),
        }  # fmt: skip
        output.show(value, lambda: [f"{proven.number}\t{proven.leaf.decode()}"])
        return exits.OK
    report = verify_log(
        LocalDisk(), folder, trusted, held=[read_given(file) for file in held or ()], witnesses=known,
        quorum=quorum,
    )  # fmt: skip
    output.show(report.to_dict(), lambda: _lines(report), lambda: _picture(report))
    return exits.OK if report.sound else exits.FINDINGS


@group.command("prove")
def prove(
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="An event's id, or a leaf's number.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    keys: Keys = None,
    log: LogDir = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give the proof that the log has the leaf of an event.

    Anybody can check it with `carma audit verify --proof FILE`, without the log.
    """
    from carma.access.audit.log import read_log
    from carma.access.audit.proof import find_event, make_proof
    from carma.ports.disk import LocalDisk

    if out is not None:
        check_file(out)
    folder = opened_log(data, log)
    reader, note = read_log(LocalDisk(), folder, verifiers_from(keys, folder))
    if event.isdecimal() and len(event) < 16:
        number = int(event)
        leaf = dict(reader.entries(number, number + 1)).get(number, b"")
    else:
        number, leaf = find_event(reader, event)
    proof = make_proof(reader, note.to_bytes(), number, leaf)
    if out is not None:
        out.write_bytes(proof)
    value = {"number": number, "leaf": leaf_value(leaf), "proof": proof.decode()}
    lines = [f"{number}\t{leaf.decode()}"] if out is not None else [proof.decode().removesuffix("\n")]
    Output(as_json).show(value, lambda: lines)


@group.command("witness")
def witness(
    state: Annotated[
        Path, typer.Argument(metavar="STATE", help="The witness's own folder.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a new witness.", show_default=False)
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Answer this request; - is standard input."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    keys: Keys = None,
    log: LogDir = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Cosign the newest checkpoint, if it continues the last.

    Its keys and what it saw lie in STATE; keep that away from the log's operator. The cosignatures are
    printed, and added to the log where it can be written. It trusts the keys that it sees first.
    """
    from carma.cli.audit_witness import cosign

    if out is not None:
        check_file(out)
    value, lines = cosign(state, name, request, keys, data, log)
    if out is not None:
        out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    Output(as_json).show(value, lambda: lines if out is None else [f"{value['name']}\t{value['size']}"])


group.command("tail")(tail)


def _lines(report: AuditReport) -> Iterator[str]:
    """origin, size, root, witnesses; then each finding: kind, path, first entry, past the last, what."""
    yield f"origin\t{report.origin}"
    yield f"size\t{report.size}"
    yield f"root\t{report.root}"
    yield f"witnesses\t{','.join(report.witnesses)}"
    for each in report.findings:
        first, past = ("" if place is None else str(place) for place in (each.start, each.stop))
        yield "\t".join((each.kind, one_line(each.path), first, past, one_line(each.what)))


def _picture(report: AuditReport) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in (
        ("log", report.origin), ("entries", f"{report.size:,}"), ("root", report.root),
        ("witnesses", ", ".join(report.witnesses) or "none"), ("took", f"{report.took_s:.2f} s"),
    ):  # fmt: skip
        head.add_row(Text(name, style="dim"), Text(value))
    if report.sound:
        return Group(head, Text("Nothing is wrong.", style="green"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for each in report.findings:
        cell = Text(one_line(each.what))
        cell.append(f"\n{one_line(each.path)}", style="dim")
        table.add_row(Text(each.kind, style="bold red"), cell)
    return Group(head, table)
