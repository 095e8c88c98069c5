"""`carma ingest`, `export`, `import`, `snapshot` and `reembed`: what moves in, out and over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from carma.cli import exits
from carma.cli.opening import opened
from carma.cli.options import AsJson, StoreFolder
from carma.cli.output import Output, one_line
from carma.cli.show import facts, facts_picture

if TYPE_CHECKING:
    from carma.ingest.report import IngestReport

__all__ = ["export", "import_", "ingest", "reembed", "snapshot"]


def ingest(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder or a file.", show_default=False)],
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Whose it is.", show_default=False)] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which agent's it is.", show_default=False)
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which session's it is.", show_default=False)
    ] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also names that begin with a dot.")] = False,
    follow_links: Annotated[bool, typer.Option("--follow-links", help="Follow symbolic links.")] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Folders not to enter (repeatable).", show_default=False),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> int:
    """Take in a folder or a file; again later, only what changed."""
    from carma.ingest.options import IngestOptions

    skipped = (*IngestOptions().skip, *(skip or ()))
    options = IngestOptions(hidden=hidden, follow_links=follow_links, skip=skipped)
    out = Output(as_json)
    with opened(store, create=True) as memory, out.progress("Ingesting", "files") as update:
        report = memory.ingest(
            path, user=user, agent=agent, session=session, options=options,
            progress=lambda now: update(now.done_files, now.total_files, now.path),
        )  # fmt: skip
    _show_report(out, report)
    return exits.INTERRUPTED if report.interrupted else exits.OK


def _show_report(out: Output, report: IngestReport) -> None:
    value = report.to_dict()
    rows = [(name, shown) for name, shown in facts(value) if name != "problems"]
    out.show(value, lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows))
    for problem in report.problems:
        out.note(
            f"{problem.path}: {'skipped: ' if problem.skipped else ''}{problem.message} ({problem.code})"
        )
    if report.interrupted:
        out.note("Interrupted; the same command goes on where it stopped.")


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    format: Annotated[
        Literal["jsonl", "archive"],
        typer.Option(metavar="jsonl|archive", help="JSON Lines, or everything without loss."),
    ] = "jsonl",
    history: Annotated[
        bool, typer.Option("--history", help="Older versions too (an archive has them).")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Seal it for the recipient in FILE.", show_default=False),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write everything to a file."""
    recipient = None
    if to is not None:
        from carma.access.vault.recipients import Recipient

        recipient = Recipient.load(to)
    with opened(store) as memory:
        counts = memory.export(target, format=format, history=history, to=recipient)
    _show_counts(counts, as_json)


def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote.", show_default=False)],
    identity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Open it with the identity in FILE.", show_default=False),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take in an export; what is here already stays."""
    opener = None
    if identity is not None:
        from carma.access.vault.recipients import Identity

        opener = Identity.load(identity)
    with opened(store, create=True) as memory:
        counts = memory.import_(source, identity=opener)
    _show_counts(counts, as_json)


def snapshot(
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="An empty or missing folder.", show_default=False)
    ],
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Copy the memory, consistent, while others read and write it."""
    with opened(store) as memory:
        counts = memory.snapshot(target)
    _show_counts(counts, as_json)


def reembed(
    embedder: Annotated[
        str, typer.Argument(metavar="EMBEDDER", help="The embedder's name.", show_default=False)
    ],
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Move to another embedder; can be interrupted and repeated."""
    out = Output(as_json)
    with opened(store) as memory, out.progress("Embedding", "fragments") as update:
        counts = memory.reembed(embedder, progress=lambda done, total: update(done, total, ""))
    _show_counts(counts, as_json)


def _show_counts(counts: Mapping[str, Any], as_json: bool) -> None:
    rows = [(name, one_line(shown)) for name, shown in facts(counts)]
    Output(as_json).show(
        dict(counts), lambda: (f"{name}\t{shown}" for name, shown in rows), lambda: facts_picture(rows)
    )
