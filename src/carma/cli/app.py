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
    audit,
    blanks,
    compliance,
    curl,
    demo,
    dream,
    encrypt,
    finding,
    health,
    keys,
    mcp,
    moving,
    openapi,
    prove,
    reading,
    repair_index,
    scan,
    serve,
    top,
    topology,
    uml,
    users,
    vault,
    writing,
)
from carma.cli.failure import guarded, wants_json
from carma.cli.remote import reachable, refuse_url, stays_here
from carma.cli.unlocking import unlockable

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
            _refuse_url(self, arguments)
            return super(_Program, self).main(
                arguments, "carma", complete_var, False, windows_expand_args, **extra
            )

        code = guarded(call, wants_json(arguments))
        if standalone_mode:
            sys.exit(code)
        return code


_GROUPS: set[str] = set()
"""The names of the groups: behind them stands one word more before the options."""


def _verb_first(arguments: list[str]) -> list[str]:
    """Move `--store PATH`, `--url URL` and `--json` from before the verb to behind it, where the verbs take
    them.
    """
    at = 0
    while at < len(arguments):
        if arguments[at] == "--json" or arguments[at].startswith(("--store=", "--url=")):
            at += 1
        elif arguments[at] in ("--store", "--url"):
            at += 2
        else:
            break
    if at >= len(arguments) or arguments[at].startswith("-"):
        return arguments
    end = at + 1
    if arguments[at] in _GROUPS and arguments[end : end + 1] and not arguments[end].startswith("-"):
        end += 1
    return [*arguments[at:end], *arguments[:at], *arguments[end:]]


def _refuse_url(program: Any, arguments: Sequence[str]) -> None:
    """Raises NotRemote for a `--url` behind a verb that works on this machine only."""
    command, at = program, 0
    while hasattr(command, "commands") and arguments[at : at + 1]:
        found = command.commands.get(arguments[at])
        if found is None:
            return
        command, at = found, at + 1
    taken = [option for parameter in command.params for option in parameter.opts]
    refuse_url(arguments[:at], taken, arguments[at:])


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


_REMOTE = frozenset({
    "add", "blanks", "delete", "dream", "dreams", "get", "history", "ingest", "list", "mcp", "scan", "search",
    "stats", "topology", "tree", "update",
})  # fmt: skip
"""Verbs that a server's operations express; beside them `keys rotate` and `audit tail`."""


def _verb(name: str, function: Any, panel: str) -> None:
    """A verb of a memory: every one can open an encrypted memory, those that make one of their own aside."""
    own = name in ("demo", "prove")
    if name in _REMOTE:
        function = reachable(function)
    elif not own and name != "top":  # What has a memory of its own, or asks a server by itself.
        function = stays_here(name, function)
    app.command(name, rich_help_panel=panel)(function if own else unlockable(function))


def _group(name: str, verbs: typer.Typer, panel: str) -> None:
    app.add_typer(verbs, name=name, rich_help_panel=panel)
    _GROUPS.add(name)


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
vault.group.command("encrypt")(encrypt.encrypt)
_group("vault", vault.group, "Keys")
_group("keys", keys.group, "Keys")
_group("audit", audit.group, "Access")
_group("compliance", compliance.group, "Access")
_group("users", users.group, "Serve")
app.command("serve", rich_help_panel="Serve")(serve.serve)
_verb("top", top.top, "Serve")
_verb("mcp", mcp.mcp, "Serve")
app.command("openapi", rich_help_panel="Serve")(openapi.openapi)
app.command("curl", rich_help_panel="Serve")(reachable(curl.curl, seals=False))
_group("uml", uml.group, "Mathematics")


def _keep_only(verb: str) -> None:
    """Forget all other verbs, if it is one: to lay out the options of all takes longer than many a call."""
    if verb in _GROUPS:
        app.registered_commands = []
        app.registered_groups = [each for each in app.registered_groups if each.name == verb]
    elif any(each.name == verb for each in app.registered_commands):
        app.registered_commands = [each for each in app.registered_commands if each.name == verb]
        app.registered_groups = []


def main() -> None:
    """Run the command line; the entry point of the program `carma`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Closed by whoever started us: `carma … >&-`.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if "_CARMA_COMPLETE" not in os.environ:
        _keep_only(next(iter(_verb_first(sys.argv[1:])), ""))
    app()
