"""From a method and a path to one of the 17 operations, or to nothing: what is not in the table is refused.

The table is the client's own (`carma.client.operations`), so the two cannot differ. A path is only compared,
never used as the name of anything; dots, double slashes and percent signs lead nowhere: every path is written
in one way, so whoever stands in front and filters by path sees what is meant here. Rejected: leaving it to
the router of the framework (it is asked after the key was checked, and this must be known before; and it
takes `/v1/keys%2Frotate` for `/v1/keys/rotate`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import unquote

from carma.client.operations import OPERATIONS, PREFIX, Operation
from carma.errors import InvalidInput, MethodNotAllowed, NoSuchRoute

__all__ = ["is_ours", "operation_at"]

_LONGEST = 64
_Key = tuple[str | None, ...]


def _table() -> dict[_Key, dict[str, Operation]]:
    table: dict[_Key, dict[str, Operation]] = defaultdict(dict)
    for operation in OPERATIONS.values():
        parts = operation.path[1:].split("/")
        table[tuple(None if part.startswith("{") else part for part in parts)][operation.method] = operation
    return dict(table)


_TABLE = _table()
_NONE: Mapping[str, str] = {}


def is_ours(path: str) -> bool:
    """Whether a path lies below the prefix of the operations."""
    return path.startswith(PREFIX) and path[len(PREFIX) : len(PREFIX) + 1] in ("", "/")


def operation_at(
    method: str, path: str, raw_path: bytes | None = None
) -> tuple[Operation, Mapping[str, str]]:
    """The operation and its path parameters. Raises NoSuchRoute, MethodNotAllowed, InvalidInput.

    raw_path: as it was sent, before percent signs were read; only a parameter may have any.
    """
    encoded = raw_path is not None and b"%" in raw_path
    parts = _plainly_written(raw_path) if raw_path and encoded else path[len(PREFIX) + 1 :].split("/")
    parameters = _NONE
    served = _TABLE.get(tuple(parts)) if not encoded else None
    if served is None and len(parts) > 1 and 0 < len(parts[1]) <= _LONGEST:
        served = _TABLE.get((parts[0], None, *parts[2:]))
        if served is not None:
            name = next(iter(served.values())).path.partition("{")[2].partition("}")[0]
            parameters = {name: parts[1]}
    if served is None:
        raise NoSuchRoute("Nothing is served at this path.")
    operation = served.get(method)
    if operation is None:
        raise MethodNotAllowed(f"{method[:16]} is not served at this path.", allowed=tuple(sorted(served)))
    return operation, parameters


def _plainly_written(raw_path: bytes) -> list[str]:
    """The parts of a path below the prefix, of which only the second, a parameter, may be percent-encoded."""
    prefix, *parts = raw_path[1:].decode("latin-1").split("/")
    if f"/{prefix}" != PREFIX or len(parts) < 2 or any("%" in part for part in (parts[0], *parts[2:])):
        raise NoSuchRoute("Nothing is served at this path.")
    parts[1] = unquote(parts[1])
    if "/" in parts[1]:
        raise InvalidInput("An id has no slash.")
    return parts
