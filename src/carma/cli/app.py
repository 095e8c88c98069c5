"""The program `carma`: its verbs, in the order in which someone meets them, and its entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import carma
from carma.cli import (
    blanks,
    demo,
    dream,
    finding,
    health,
    moving,
    prove,
    reading,
    repair_index,
    scan,
    topology,
    writing,
)
from carma.cli.failure import guarded, wants_json

__all__ = ["app", "main"]


class _Program(TyperGroup):
    """The group of verbs; every way into it goes through `guarded`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = _verb_first(list(sys.argv[1:] if args is None else args))

        def call() -> object:
            return super(_Program, self).main(
                arguments, "carma", complete_var, False, windows_expand_args, **extra
            )

        code = guarded(call, wants_json(arguments))
        if standalone_mode:
            sys.exit(code)
        return code


def _verb_first(arguments: list[str]) -> list[str]:
    """Move `--store PATH` and `--json` from before the verb to behind it, where the verbs take them."""
    at = 0
    while at < len(arguments):
        if arguments[at] == "--json" or arguments[at].startswith("--store="):
            at += 1
        elif arguments[at] == "--store":
            at += 2
        else:
            break
    if at >= len(arguments) or arguments[at].startswith("-"):
        return arguments
    return [arguments[at], *arguments[:at], *arguments[at + 1 :]]


# On a terminal Typer draws its help with Rich; in a pipe it is plain text, and starts faster.
app = typer.Typer(
    cls=_Program,
    name="carma",
    help="A memory for AI agents that heals itself.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"carma {getattr(carma, '__version__', 'unknown')}")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A memory for AI agents that heals itself."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def _verb(name: str, function: Any, panel: str) -> None:
    app.command(name, rich_help_panel=panel)(function)


_verb("add", writing.add, "Remember")
_verb("ingest", moving.ingest, "Remember")
_verb("update", writing.update, "Remember")
_verb("delete", writing.delete, "Remember")
_verb("search", finding.search, "Find")
_verb("get", reading.get, "Find")
_verb("list", reading.list_, "Find")
_verb("tree", reading.tree, "Find")
_verb("history", reading.history, "Find")
_verb("export", moving.export, "Move")
_verb("import", moving.import_, "Move")
_verb("snapshot", moving.snapshot, "Move")
_verb("reembed", moving.reembed, "Move")
_verb("flush", health.flush, "Care")
_verb("stats", health.stats, "Care")
_verb("doctor", health.doctor, "Care")
_verb("demo", demo.demo, "Care")
_verb("scan", scan.scan, "Heal")
_verb("blanks", blanks.blanks, "Heal")
_verb("dream", dream.dream, "Heal")
_verb("dreams", dream.dreams, "Heal")
_verb("topology", topology.topology, "Heal")
_verb("repair-index", repair_index.repair_index, "Heal")
_verb("prove", prove.prove, "Heal")


def main() -> None:
    """Run the command line; the entry point of the program `carma`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Closed by whoever started us: `carma … >&-`.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    app()
