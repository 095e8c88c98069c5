"""`carma prove`: lose fragments of a throw-away memory on purpose, ask on, dream, count what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from carma.cli import exits
from carma.cli.demo import own_docs
from carma.cli.output import Output

__all__ = ["prove"]

_OUT = Path("carma-proof")
_STAGES = 9


def prove(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]",
            help="Folders or conversation files; else CARMA's own docs.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, metavar="N", help="Queries in each round.")] = 1000,
    loss: Annotated[float, typer.Option(metavar="SHARE", help="Share of the fragments to lose.")] = 0.05,
    damage: Annotated[
        Literal["delete", "flip", "truncate", "file", "mixed"],
        typer.Option(metavar="KIND", help="delete, flip, truncate, file or mixed."),
    ] = "delete",
    redundancy: Annotated[
        Literal["full", "none", "sketch"],
        typer.Option(metavar="WHAT", help="What is left: full, none (index only) or sketch."),
    ] = "full",
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed, the same experiment.")] = 0,
    cycles: Annotated[int, typer.Option(min=1, metavar="N", help="The most dreams.")] = 4,
    sketch_bytes: Annotated[
        int, typer.Option(min=0, metavar="N", help="The longest sketch or short copy.")
    ] = 96,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = _OUT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON of a stable shape.")] = False,
) -> int:
    """Damage a throw-away memory, let it dream, and report.

    Exits with 12 if a query failed or a text was wrong.
    """
    from carma.prove.experiment import Plan
    from carma.prove.page import summary_lines
    from carma.prove.proof import passed
    from carma.prove.proof import prove as run

    plan = Plan(
        paths=tuple(path.expanduser() for path in paths) if paths else (own_docs(),),
        queries=queries, loss=loss, damage=damage, redundancy=redundancy, seed=seed, cycles=cycles,
        sketch_bytes=sketch_bytes,
    )  # fmt: skip
    output = Output(as_json)
    with output.progress("Proving", "steps") as update:
        stages: list[str] = []

        def tell(what: str) -> None:
            stages.append(what)
            update(len(stages), max(_STAGES, len(stages)), what)

        report = run(plan, out.expanduser(), tell=tell)
    output.show(report, lambda: summary_lines(report))
    return exits.OK if passed(report) else exits.FINDINGS
