"""Writes docs/cli.md, the reference of the command line, from the program itself.

python tools/cli_reference.py            write docs/cli.md
python tools/cli_reference.py --check    exit 1 if it differs from what would be written
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
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
_KEY = (
    '{"name", "fingerprint", "kind", "user", "permissions", "state", "created", "expires", "grace_until",\n'
    ' "successor"}'
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
        ' "gaps", "segments", "sketches": {"made", "missing"}, "bytes", "embedder", "vectors", "recovered"}\n'
        'over a server {"account", "seat", "generation", "key", "permissions", "memory", "since",\n'
        ' "requests", "received_bytes", "sent_bytes", "limits"}'
    ),
    "doctor": '{"healthy": true, "findings": [{"level", "subject", "what", "advice"}, …]}',
    "scan": (
        '{"deep", "files", "records", "bytes", "damaged", "lost", "unnamed", "complete", "breaker",\n'
        ' "took_s", "without_key", "sketches", "sketches_missing", "healthy",\n'
        ' "findings": [{"kind", "path", "offset", "seq", "id", "redundant", "what"}, …]}'
    ),
    "blanks": '{"count": 2, "items": [fragment, …]}',
    "dream": _DREAM,
    "dreams": '{"dreams": [dream, …]}',
    "topology": '{"file", "fragments", "threads", "left_out", "states": {"intact": 9, …}}',
    "repair-index": '{"rebuilt": ["registry", …], "versions", "fragments", "vectors", "pending"}',
    "prove": "the report: see the guide to healing and docs/PROOF.md",
    "vault status": (
        '{"data", "key": "2167c10c10449cd9", "key_from", "rotating": false, "owners": 1, "shredded": 0,\n'
        ' "healthy": true, "findings": ["…", …]}'
    ),
    "vault owners": '{"owners": ["ada", …]}',
    "vault rotate": '{"key", "wrapped": 1, "recovery_code"}',
    "vault shred": '{"owner", "when", "key_id", "commitment"}',
    "vault readmit": '{"owner", "key_id"}',
    "vault recover": '{"key", "file"}',
    "vault recipient": '{"identity", "recipient", "fingerprint"}',
    "serve": '{"ready": "http://127.0.0.1:8360"}',
    "mcp": 'with --http {"ready": "http://127.0.0.1:8361/mcp"}',
    "openapi": "the description of the interface: OpenAPI 3.1",
    "vault encrypt": '{"path", "key", "encrypted": true, "records", "spreads", "vectors", "lost"}',
    "keys create": f'{{"key", {_KEY[1:]}',
    "keys list": f'{{"keys": [{_KEY}, …]}}',
    "keys show": f'{_KEY[:-1]},\n "history": [{{"operation", "when", "by"}}, …]}}',
    "keys rotate": (
        f'{{"key", {_KEY[1:]}\n'
        'over a server {"fingerprint", "permissions", "old_fingerprint", "old_works_until"}'
    ),
    "keys revoke": _KEY,
    "keys audit": (
        '{"shape", "key", "user", "user_known", "permissions", "second", "tried", "forged",\n'
        ' "forged_second", "bits_known_second", "bits_any_second", "took_s", "verdict", "broken"}'
    ),
    "keys check": f'{_KEY[:-1]},\n "valid", "known"}}; without KEY {{"keys": 1, "findings": ["…", …]}}',
    "audit checkpoint": '{"origin", "size", "root", "copied", "signed_by": ["…", …], "note"}',
    "audit verify": (
        '{"sound": true, "origin", "size", "root", "witnesses", "held", "took_s",\n'
        ' "findings": [{"kind", "path", "start", "stop", "what"}, …]}\n'
        'with --proof {"number", "leaf", "origin", "size", "witnesses"}'
    ),
    "audit prove": '{"number", "leaf", "proof"}',
    "audit witness": '{"name", "vkeys", "origin", "size", "root", "cosignatures"}',
    "audit tail": '{"items": [{"number", "leaf"}, …]}',
    "users add": (
        '{"id", "name", "seat", "generation", "created", "leaving", "key", "server_key",\n'
        ' "server_key_fingerprint"}'
    ),
    "users list": '{"users": [{"id", "name", "seat", "generation", "created", "leaving"}, …]}',
    "users remove": '{"id", "name", "seat", "generation", "created", "leaving", "removed": true}',
    "uml f": '{"a", "f"}',
    "uml inverse": '{"f", "a", "steps"}',
    "uml square": '{"square": [[8, 1, 6], …], "text", "magic": true, "sum", "fault": null}',
    "uml pi": '{"position", "base": 10, "digits": "1415926535"}',
    "uml position": '{"user", "position"}',
    "uml seed-key": '{"key", "user", "second"}',
    "uml layers": (
        '{"a", "layers": [{"layer", "formula", "domain", "folds", "value"}, …], "meta"}\n'
        'with --count {"from", "count", "step", "layers": [{"layer", "floats", "metas"}, …]}'
    ),
    "uml plot": '{"files": ["…", …]}',
    "top": (
        'of a server {"server", "status", "reasons", "up_s", "span_s", "seats", "fragments", "vectors",\n'
        ' "requests", "operations": [{"operation", "per_s", "p50_ms", "p99_ms", "refused_per_s",\n'
        ' "failed_per_s"}, …], "keys", "healing", "process"}\n'
        'of a memory {"memory", "status", "fragments", "vectors", "writes",\n'
        ' "writes_per_s", "versions", "deleted", "breaker", "gaps", "bytes", "dreams"}'
    ),
    "compliance export": (
        '{"path", "sealed", "memories", "fragments", "reconstructed", "blank", "dreams", "acts", "keys",\n'
        ' "leaves", "digest"}'
    ),
    "compliance erase": (
        '{"certificate": {"format", "owner", "account", "begun", "ended", "events", "log", "data_key",\n'
        ' "memories", "keys", "elsewhere", "remnants"}, "proof"}'
    ),
    "compliance verify": (
        'of a certificate {"valid": true, "owner", "ended", "number", "log", "size", "keys_trusted"};\n'
        'of an export {"valid": true, "digest", "files", "bytes", "logged"}'
    ),
    "compliance retain": (
        '{"dry_run", "memories": [{"path", "looked_at", "due", "by_rule": {"old": 3}, "on_hold", "unknown",\n'
        ' "deleted", "purged", "changed"; with --dry-run "ids"}, …]}'
    ),
    "demo": '{"summary": {…}, "answers": [{"question", "hits", "degraded", "reasons", "took_ms"}, …]}',
}
"""The JSON shape of every verb, as people read it; tests/cli/test_shapes.py pins the names."""

_HEAD = """# The command line

<!-- Written by tools/cli_reference.py; change the program, not this file. -->

`carma VERB …` does one thing to one memory and exits. The memory is the folder given by `--store`, else by
the environment variable `CARMA_STORE`, else `~/.carma/memory`. `add`, `ingest` and `import` make it if it is
not there; the other verbs say that there is none. With `--url`, or the variable `CARMA_URL`, it is the
memory of a key on a server. `--store`, `--url` and `--json` may stand before or behind the verb.

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
    parts = [_HEAD, *(_verb(name, command) for name, command in _verbs(program))]
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in exits.table())
    parts.append(f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}\n")
    fragment = f"A `fragment` in the shapes above is\n\n```text\n{_FRAGMENT}\n```\n"
    parts.append(f"## The fragment in JSON\n\n{fragment}\nIts fields are described in the guide to memory.\n")
    return "\n".join(parts)


def _verbs(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb by what is typed behind `carma`; those of a group by two words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{before}{name} ")
        else:
            yield before + name, command


def _verb(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    usage = " ".join([f"carma {name}", *(_usage(each) for each in arguments), "[OPTIONS]"])
    lines = [f"## carma {name}", "", inspect.cleandoc(command.help), "", "```text", usage, "```", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| `{each.metavar.strip('[]')}` | {each.help} |" for each in arguments]
    lines += [f"| `{_names(each)}` | {_help(each)} |" for each in options]
    if any("--json" in each.opts for each in options):
        lines += ["", "JSON:", "", "```text", SHAPES[name], "```"]
    return "\n".join([*lines, ""])


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
