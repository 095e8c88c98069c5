"""From exceptions to an exit code and a message; nobody sees a stack trace who did not ask for it.

Results go to standard output, errors to standard error: with `--json` as one line of problem details
(RFC 9457), so that a program that reads the results never takes an error for one. Rejected: the problem on
standard output, because `carma … --json | jq .hits` would then print `null` and go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from carma.cli import exits
from carma.errors import CarmaError

__all__ = ["guarded", "wants_json"]


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` stands among the options, also where the rest of the line could not be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def guarded(call: Callable[[], object], as_json: bool) -> int:
    """Run a command; its exit code. What went wrong is told on standard error."""
    try:
        result = call()
        sys.stdout.flush()
        return exits.OK if result is None else int(str(result))
    except typer.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        # Typer ends the program by itself where a write finds no reader, with a code of its own.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return _reader_gone()
    except BrokenPipeError:
        return _reader_gone()
    except (Exception, KeyboardInterrupt) as error:
        traced = _trace(error)
        return _tell(*_failure(error, traced), as_json)


def _failure(error: BaseException, traced: bool) -> tuple[int, dict[str, Any]]:
    """The exit code and the problem of an exception."""
    if isinstance(error, CarmaError):
        return error.exit_code, error.problem()
    if isinstance(error, typer.TyperException):
        return exits.USAGE, _usage(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return exits.INTERRUPTED, _problem("interrupted", "Interrupted", 499, "Interrupted.", "")
    hint = "This is a bug. Set CARMA_DEBUG=1 to see where it happened, and report it."
    if traced:
        hint = "This is a bug. Please report it with the trace above."
    detail = f"Unexpected {type(error).__name__}: {error}"
    return exits.INTERNAL, _problem("internal", "InternalError", 500, detail, hint)


def _usage(error: typer.TyperException) -> dict[str, Any]:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "carma"
    detail = error.format_message().rstrip(".") + "."
    return _problem("usage", "UsageError", 422, detail, f"See `{path} --help`.")


def _problem(code: str, title: str, status: int, detail: str, hint: str) -> dict[str, Any]:
    return {
        "type": f"urn:carma:error:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "hint": hint,
    }


def _tell(exit_code: int, problem: dict[str, Any], as_json: bool) -> int:
    try:
        if as_json:
            line = json.dumps(problem)
        else:
            line = f"carma: {_printable(problem['detail'])}"
            if problem["hint"]:
                line += f"\n  {_printable(problem['hint'])}"
        if "carma_" in line:
            from carma.access.keys.text import redacted

            line = redacted(line)  # An argument may have been a key that was mistaken for something else.
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _silence(sys.stderr)
    return exit_code


def _printable(text: str) -> str:
    """A message as it can be shown anywhere: no control characters, nothing the stream cannot encode."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
    encoding = sys.stderr.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _trace(error: BaseException) -> bool:
    """Show the stack trace if CARMA_DEBUG asks for it; whether it did."""
    if os.environ.get("CARMA_DEBUG", "0") in ("", "0"):
        return False
    traceback.print_exception(error)
    return True


def _reader_gone() -> int:
    _silence(sys.stdout)
    return exits.BROKEN_PIPE


def _silence(stream: Any) -> None:
    """Let what is still buffered for a reader that went away vanish, also when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
