"""Exit codes: those of the error tree, and those only a command line has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from carma.errors import CarmaError

__all__ = ["BROKEN_PIPE", "FINDINGS", "INTERNAL", "INTERRUPTED", "OK", "UNFINISHED", "USAGE", "table"]

OK = 0
USAGE = 2
FINDINGS = 12
UNFINISHED = 13
INTERNAL = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

_OWN = {
    OK: "done",
    USAGE: "wrong usage",
    FINDINGS: "`carma doctor`, `scan`, `dream`, `prove` or `keys check` found something",
    UNFINISHED: "`carma flush --timeout` ran out of time",
    INTERNAL: "a bug in CARMA; set CARMA_DEBUG=1 to see where",
    INTERRUPTED: "interrupted by Ctrl-C",
    BROKEN_PIPE: "the reader of the output went away",
}


def table() -> list[tuple[int, str]]:
    """Every exit code and what it means, ascending."""
    meanings: dict[int, list[str]] = defaultdict(list)
    for code, meaning in _OWN.items():
        meanings[code].append(meaning)
    for kind in _kinds(CarmaError):
        summary = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
        meanings[kind.exit_code].append(f"{kind.__name__}: {summary}")
    return [(code, "; ".join(meanings[code])) for code in sorted(meanings)]


def _kinds(kind: type[CarmaError]) -> Iterator[type[CarmaError]]:
    """An error class's descendants that stand in the error tree, parents before children."""
    for below in sorted(kind.__subclasses__(), key=lambda each: each.__name__):
        if below.__module__.startswith("carma.errors."):
            yield below
            yield from _kinds(below)
