"""Writes docs/cli.md, the reference of the command line, from the program itself.

python tools/cli_reference.py            write docs/cli.md
python tools/cli_reference.py --check    exit 1 if it differs from what would be written
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import typer.main

from carma.cli import exits
from carma.cli.app import app

TARGET = Path(__file__).resolve().parents[1] / "docs" / "cli.md"

_FRAGMENT = (
    '{"id", "text", "version", "state", "parent", "position", "kind", "metadata", "user", "agent",\n'
    ' "session", "created", "updated", "expires", "source", "digest", "seq", "blank", "repair", "deleted"}'
)
_ITEMS = '{"items": [fragment, …]}'
_HIT = '{"id", "text", "score", "state", "parent", "source", "metadata"}'
_DREAM = (
    '{"cycle", "status", "dry_run", "planned_s", "actual_s", "started", "looked_at", "damaged", "exact",\n'
    ' "reconstructed", "still_blank", "files_repaired", "rungs", "reasons", "breaker", "score", "error",\n'
    ' "steps": [{"cycle", "target", "name", "rung", "before", "after", "similarity", "confidence",\n'
    ' "latency_ms"}, …]}'
)
SHAPES = {
    "add": _ITEMS,
    "ingest": (
        '{"added", "updated", "deleted", "kept", "restated", "files", "unchanged", "empty", "bytes",\n'
        ' "problems": [{"path", "code", "message", "skipped"}, …], "interrupted", "took_s", "root"}'
    ),
    "update": _ITEMS,
    "delete": '{"deleted": 1}',
    "search": f'{{"hits": [{_HIT}, …],\n "degraded": false, "reasons": [], "took_ms": 2.1}}',
    "get": _ITEMS,
    "list": '{"items": [fragment, …], "cursor": null}',
    "tree": '{"fragment": fragment or null, "children": [the same, …], "more": 0}',
    "history": _ITEMS,
    "export": '{"path", "format", …counts}',
    "import": '{"path", "imported", "kept", "unreadable"}',
    "snapshot": '{"segments", "bytes", "damaged"}',
    "reembed": "{…counts}",
    "flush": '{"flushed": true}',
    "stats": (
        '{"path", "id", "created", "read_only", "fragments", "kinds", "versions", "deleted", "writes",\n'
        ' "gaps", "segments", "bytes", "embedder", "vectors", "recovered"}'
    ),
    "doctor": '{"healthy": true, "findings": [{"level", "subject", "what", "advice"}, …]}',
    "scan": (
        '{"deep", "files", "records", "bytes", "damaged", "lost", "unnamed", "complete", "breaker",\n'
        ' "took_s", "healthy", "findings": [{"kind", "path", "offset", "seq", "id", "redundant", "what"}, …]}'
    ),
    "blanks": '{"count": 2, "items": [fragment, …]}',
    "dream": _DREAM,
    "dreams": '{"dreams": [dream, …]}',
    "topology": '{"file", "fragments", "threads", "left_out", "states": {"intact": 9, …}}',
    "repair-index": '{"rebuilt": ["registry", …], "versions", "fragments", "vectors", "pending"}',
    "prove": "the report: see the guide to healing and docs/PROOF.md",
    "demo": '{"summary": {…}, "answers": [{"question", "hits", "degraded", "reasons", "took_ms"}, …]}',
}
"""The JSON shape of every verb, as people read it; tests/cli/test_shapes.py pins the names."""

_HEAD = """# The command line

<!-- Written by tools/cli_reference.py; change the program, not this file. -->

`carma VERB …` does one thing to one memory and exits. The memory is the folder given by `--store`, else by
the environment variable `CARMA_STORE`, else `~/.carma/memory`. `add`, `ingest` and `import` make it if it is
not there; the other verbs say that there is none. `--store` and `--json` may stand before or behind the verb.

- **On a terminal** results are tables, trees and progress bars; **in a pipe** they are plain lines with
  tab-separated fields, without any escape sequence. Remarks go to standard error.
- **With `--json`** standard output holds one JSON value and nothing else. Names in it are never taken away or
  given another meaning within a major version; new ones may come.
- **Errors** go to standard error and set the exit code. With `--json` they are one line of problem details
  (RFC 9457): `type`, `title`, `status`, `detail`, `hint`. There is no stack trace; `CARMA_DEBUG=1` shows it.
- **Text from a pipe**: `carma add`, `carma add --many -`, `carma update ID -` and `carma search -` read UTF-8
  from standard input; one line end at its end is dropped.
- **Times** (`--expires`) are seconds from now, or `90m`, `12h`, `30d`, `4w`, or a moment in ISO 8601 (UTC
  if it names no zone). The word `none` clears a field.
- **Metadata and filters** are a JSON object, or `key=value`, where the value is read as JSON if it is JSON.
- **Completion** of verbs and options in bash, zsh, fish and PowerShell: `carma --install-completion`.
"""


def reference() -> str:
    """The whole page."""
    program: Any = typer.main.get_command(app)
    parts = [_HEAD, *(_verb(name, command) for name, command in program.commands.items())]
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in exits.table())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}\n")
    fragment = f"A `fragment` in the shapes above is\n\n```text\n{_FRAGMENT}\n```\n"
    parts.append(f"## The fragment in JSON\n\n{fragment}\nIts fields are described in the guide to memory.\n")
    return "\n".join(parts)


def _verb(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    usage = " ".join([f"carma {name}", *(_usage(each) for each in arguments), "[OPTIONS]"])
    lines = [f"## carma {name}", "", inspect.cleandoc(command.help), "", "```text", usage, "```", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| `{each.metavar.strip('[]')}` | {each.help} |" for each in arguments]
    lines += [f"| `{_names(each)}` | {_help(each)} |" for each in options]
    return "\n".join([*lines, "", "JSON:", "", "```text", SHAPES[name], "```", ""])


def _usage(argument: Any) -> str:
    name: str = argument.metavar.strip("[]")
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    return f"{names} {option.metavar}".replace("|", "\\|")


def _help(option: Any) -> str:
    default = option.default
    if option.is_flag or default is None or not option.show_default:
        return str(option.help)
    return f"{option.help} Default: {default}."


if __name__ == "__main__":
    page = reference()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page else 1)
    TARGET.write_text(page, encoding="utf-8")
