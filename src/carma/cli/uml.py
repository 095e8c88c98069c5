"""`carma uml …`: the first texts' mathematics, each part shown on its own. It bears no security."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from carma.cli.options import AsJson
from carma.cli.output import Output
from carma.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from carma.uml.squares import Square

__all__ = ["group"]

_MOST_COUNTED = 100_000
_NUMBERS = {"ignore_unknown_options": True}
"""So that -3 is read as a number and not as an option."""

group = typer.Typer(name="uml", invoke_without_command=True, pretty_exceptions_enable=False)


@group.callback()
def uml(context: typer.Context) -> None:
    """Show the mathematics: f, squares, Pi, nine layers. It bears no security."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@group.command("f", context_settings=_NUMBERS)
def f(
    a: Annotated[float, typer.Argument(metavar="X", help="A number above 0.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Give f(X) = X / (1 + log_X(X + 1)).

    It maps numbers to numbers and makes nothing smaller.
    """
    from carma.uml.compression import compress

    value = compress(a)
    Output(as_json).show({"a": a, "f": value}, lambda: [repr(value)])


@group.command("inverse", context_settings=_NUMBERS)
def inverse(
    y: Annotated[float, typer.Argument(metavar="Y", help="A number from 0 on.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Give the number from 1 on whose f is Y, by Newton's method."""
    from carma.uml.compression import expand_steps

    a, steps = expand_steps(y)
    Output(as_json).show({"f": y, "a": a, "steps": steps}, lambda: [repr(a)])


@group.command("square", context_settings=_NUMBERS)
def square(
    seed: Annotated[
        int | None, typer.Argument(metavar="[SEED]", help="A whole number.", show_default=False)
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="HEX", help="The square of this tag instead.", show_default=False)
    ] = None,
    variant: Annotated[
        Literal["carma", "seeds"],
        typer.Option(metavar="NAME", help="carma, or seeds: each number plus the seed, modulo 1000."),
    ] = "carma",
    as_json: AsJson = False,
) -> None:
    """Make a magic square of three rows from a seed or a tag."""
    from carma.uml.squares import as_text, fault_of, seeded, seeds_square, square_of

    if (seed is None) == (tag is None):
        raise InvalidInput("Give either a seed or --tag.")
    if tag is not None:
        if variant == "seeds":
            raise InvalidInput("The variant `seeds` takes a seed, not a tag.")
        found = square_of(_hex(tag))
    else:
        assert seed is not None
        found = seeded(seed) if variant == "carma" else seeds_square(seed)
    fault = fault_of(found)
    told = {
        "square": [list(row) for row in found],
        "text": as_text(found),
        "magic": fault is None,
        "sum": None if fault else sum(found[0]),
        "fault": fault,
    }
    said = fault or f"Every row, column and diagonal sums to {sum(found[0])}."
    Output(as_json).show(
        told, lambda: ["\t".join(map(str, row)) for row in found], lambda: _square_picture(found, said)
    )


@group.command("pi")
def pi(
    place: Annotated[
        int,
        typer.Argument(
            metavar="POSITION", help="The first digit's place behind the point.", show_default=False
        ),
    ],
    count: Annotated[
        int | None,
        typer.Option("--digits", metavar="N", help="How many; else 10, or 14 of --hex.", show_default=False),
    ] = None,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="Hexadecimal digits, at most 16.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show digits of Pi from a position on.

    Position 0 is the 3 before the point. A million decimals are computed once, in a few seconds, and kept in
    the cache folder. Hexadecimal digits are computed at their place, about a second for each million, up to
    ten million.
    """
    output = Output(as_json)
    if hexadecimal:
        from carma.uml import bbp

        found = bbp.hexadecimal(place, 14 if count is None else count)
    else:
        from carma.uml.pi import opened

        known = opened()
        if known.computed:
            kept = f"they are kept in {known.path}" if known.kept else "they could not be kept"
            output.note(f"{known.decimals:,} decimals of Pi were computed; {kept}.")
        found = known.digits(place, 10 if count is None else count)
    told = {"position": place, "base": 16 if hexadecimal else 10, "digits": found}
    output.show(told, lambda: [found])


@group.command("position")
def position(
    user: Annotated[str, typer.Argument(metavar="USER", help="A user's name.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show the position in Pi that the first texts give a user."""
    from carma.uml import pi as digits_of_pi

    found = digits_of_pi.position(user)
    Output(as_json).show({"user": user, "position": found}, lambda: [str(found)])


@group.command("seed-key")
def seed_key(
    user: Annotated[str, typer.Argument(metavar="USER", help="A user's name.", show_default=False)],
    second: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Seconds since 1970; else now.", show_default=False),
    ] = None,
    permissions: Annotated[str, typer.Option(metavar="WORD", help="What it would permit.")] = "read",
    unmended: Annotated[
        bool, typer.Option("--unmended", help="As it came out before its overflow was mended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key of the first texts' scheme, to be attacked. It opens nothing."""
    from carma.uml.seed_scheme import make_key, seeds_key

    moment = int(time.time()) if second is None else second
    key = (seeds_key if unmended else make_key)(user, moment, permissions)
    Output(as_json).show({"key": key, "user": user, "second": moment}, lambda: [key])


@group.command("layers", context_settings=_NUMBERS)
def layers(
    a: Annotated[float, typer.Argument(metavar="X", help="A number above 1.", show_default=False)],
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_COUNTED,
            metavar="N",
            show_default=False,
            help="Send N numbers from X on through, and count how many stay different.",
        ),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(metavar="D", help="They are D apart; else neighbouring floats.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send X through the nine layers, one after the other.

    With --count it says how many different values the layers leave of many numbers.
    """
    from carma.uml import layers as nine

    output = Output(as_json)
    if count is not None:
        numbers = nine.neighbours(a, count) if step is None else nine.evenly(a, count, step)
        counts = [asdict(each) for each in nine.count_distinct(numbers)]
        told = {"from": a, "count": count, "step": step, "layers": counts}
        output.show(
            told,
            lambda: ["\t".join(str(value) for value in each.values()) for each in counts],
            lambda: _table(("layer", "different floats", "different six decimals"), counts),
        )
        return
    if step is not None:
        raise InvalidInput("--step says how far --count numbers are apart.")
    values = nine.trace(a)
    rows = [
        {"layer": layer.name, "formula": layer.formula, "domain": layer.domain, "folds": layer.folds,
         "value": value}
        for layer, value in zip(nine.LAYERS, values, strict=True)
    ]  # fmt: skip
    output.show(
        {"a": a, "layers": rows, "meta": nine.meta_of(values[-1])},
        lambda: [f"{row['layer']}\t{row['formula']}\t{row['value']!r}" for row in rows],
        lambda: _table(("layer", "formula", "domain", "folds", "value"), rows),
    )


@group.command("plot")
def plot(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write the pictures to.")],
    as_json: AsJson = False,
) -> None:
    """Draw f, its inverse, the layers and what they leave, as PNGs."""
    from carma.uml.plots import write_plots

    written = [str(path) for path in write_plots(out.expanduser())]
    Output(as_json).show({"files": written}, lambda: written)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise InvalidInput("--tag is not hexadecimal.") from error


def _square_picture(square: Square, said: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, show_lines=True)
    for _ in range(3):
        table.add_column(justify="right")
    for row in square:
        table.add_row(*map(str, row))
    return Group(table, Text(said))


def _table(heads: tuple[str, ...], rows: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, justify="left" if head in ("layer", "formula", "domain") else "right")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for value in row.values():
        if isinstance(value, bool):
            yield "yes" if value else "no"
        else:
            yield f"{value:,}" if isinstance(value, int) else str(value)
