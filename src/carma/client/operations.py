"""The 17 operations of the HTTP interface: one table, read by the client, the server and the tests.

A row says what an operation is called, where it lies, which permission it needs, and whether it changes
anything (then it carries an Idempotency-Key).

Parameters have the names of `Memory`'s arguments, in the query of a GET or DELETE, else in a JSON object:

    add         {"items": [{"text": …, …}, …]}                        ─▶ {"items": [fragment, …]}
    list        parent (`none`: the top), user, agent, session, where (JSON), limit, cursor    ─▶ page
    get         version                                               ─▶ fragment, with an ETag
    update      {"text": …, …, "reconstruction": "accept" | "reject"}, If-Match: "version"     ─▶ fragment
    delete      children, purge                                       ─▶ {"deleted": number}
    history                                                           ─▶ {"items": [fragment, …]}
    tree        root, depth                                           ─▶ node
    search      {"query": …, "vector": […], …}                        ─▶ `wire.result_dict`
    scan        {"deep": …}                                           ─▶ scan report
    dream       {"budget_s": …, "dry_run": …, "exact": …}             ─▶ {"cycle": number, …}
    dreams      limit, steps                                          ─▶ {"dreams": [dream report, …]}
    show_dream                                                        ─▶ dream report, or its events
    blanks      limit, reconstructed                                  ─▶ {"items": [fragment, …]}
    topology    threads, limit                                        ─▶ topology

What comes back is what `to_dict` gives. Rejected: a table in the server and another one in the client, which
agree until one of them is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import quote

__all__ = ["OPERATIONS", "PREFIX", "Operation", "Permission"]

Permission = Literal["read", "write", "heal", "admin"]

PREFIX: Final = "/v1"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. path: below `PREFIX`, with the names of its parameters in braces. status: of success."""

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    permission: Permission
    status: int = 200
    changes: bool = False

    def target(self, **parameters: object) -> str:
        """The path with its parameters filled in, percent-encoded (RFC 3986)."""
        filled = {name: quote(str(value), safe="") for name, value in parameters.items()}
        return PREFIX + self.path.format(**filled)


_ALL = (
    Operation("add", "POST", "/fragments", "write", 201, changes=True),
    Operation("list", "GET", "/fragments", "read"),
    Operation("get", "GET", "/fragments/{id}", "read"),
    Operation("update", "PATCH", "/fragments/{id}", "write", changes=True),
    Operation("delete", "DELETE", "/fragments/{id}", "write", changes=True),
    Operation("history", "GET", "/fragments/{id}/history", "read"),
    Operation("tree", "GET", "/tree", "read"),
    Operation("search", "POST", "/search", "read"),
    Operation("scan", "POST", "/scan", "heal"),
    Operation("dream", "POST", "/dreams", "heal", 202, changes=True),
    Operation("dreams", "GET", "/dreams", "read"),
    Operation("show_dream", "GET", "/dreams/{cycle}", "read"),
    Operation("blanks", "GET", "/blanks", "read"),
    Operation("topology", "GET", "/topology", "read"),
    Operation("rotate_key", "POST", "/keys/rotate", "admin", changes=True),
    Operation("usage", "GET", "/usage", "read"),
    Operation("audit", "GET", "/audit", "read"),
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _ALL})
