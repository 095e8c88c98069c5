"""`carma search`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from carma.cli.opening import opened
from carma.cli.options import Agent, AsJson, Session, StoreFolder, User, Where, pairs, text_argument
from carma.cli.output import Output
from carma.cli.show import hit_lines, hits_table

__all__ = ["search"]


def search(
    query: Annotated[
        str | None,
        typer.Argument(metavar="QUERY", help="What to find; - reads standard input.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="How many hits at most.")] = 10,
    mode: Annotated[
        Literal["hybrid", "vector", "words"],
        typer.Option(metavar="hybrid|vector|words", help="By meaning and words, or by one of them."),
    ] = "hybrid",
    under: Annotated[
        str | None, typer.Option(metavar="ID", help="Only below this fragment.", show_default=False)
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="X", help="Leave out what scores lower.", show_default=False)
    ] = None,
    diversity: Annotated[
        float, typer.Option(metavar="X", help="0 to 1: prefer hits unlike those before.")
    ] = 0.0,
    explain: Annotated[bool, typer.Option("--explain", help="Say what made each score.")] = False,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    where: Where = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Find fragments by meaning and words, best first."""
    text, filter = text_argument(query), pairs(where, "--where")
    with opened(store) as memory:
        result = memory.search(
            text, limit=limit, mode=mode, where=filter, user=user, agent=agent, session=session, under=under,
            min_score=min_score, diversity=diversity, explain=explain,
        )  # fmt: skip
    out = Output(as_json)
    out.show(result.to_dict(), lambda: hit_lines(result), lambda: hits_table(result.hits))
    if result.degraded:
        out.note(f"The answer is degraded. {' '.join(result.reasons)}")
    if out.terminal:
        out.note(f"{len(result)} {'hit' if len(result) == 1 else 'hits'} in {result.took_ms:.1f} ms")
