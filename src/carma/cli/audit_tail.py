"""`carma audit tail`: what was logged last, here or of oneself on a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from carma.cli.audit_data import DataDir, Keys, LogDir, opened_log, owner_tag, verifiers_from
from carma.cli.options import AsJson
from carma.cli.output import Output, one_line
from carma.cli.remote import address, given, reachable, reached
from carma.errors import InvalidInput

__all__ = ["leaf_value", "tail"]

_PART = 256
Leaves = Sequence[tuple[int, dict[str, Any]]]


@reachable
def tail(
    count: Annotated[
        int, typer.Option("-n", metavar="N", min=1, max=1_000, help="So many of the last ones.")
    ] = 20,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what is this owner's.", show_default=False)
    ] = None,
    keys: Keys = None,
    log: LogDir = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest leaves, oldest first: number and leaf.

    Of a server's log everybody sees their own.
    """
    url = address(None) if given().url is not None or not (log or data) else None
    if url is not None and (log or data):
        raise InvalidInput("--url and a folder name two logs.", hint="Give one of them.")
    if url is None:
        found = _here(count, owner, keys, log, data)
    elif owner is not None or keys is not None:
        raise InvalidInput("--owner and --keys are about a log of this machine.", hint="Leave them out.")
    else:
        found = _there(url, count)
    value = {"items": [{"number": number, "leaf": leaf} for number, leaf in found]}
    Output(as_json).show(value, lambda: (f"{number}\t{one_line(_text(leaf))}" for number, leaf in found))


def _here(count: int, owner: str | None, keys: Path | None, log: Path | None, data: Path | None) -> Leaves:
    from carma.access.audit.log import read_log
    from carma.ports.disk import LocalDisk

    folder = opened_log(data, log)
    reader, _ = read_log(LocalDisk(), folder, verifiers_from(keys, folder))
    tag = owner_tag(data, owner) if owner is not None else None
    found: list[tuple[int, dict[str, Any]]] = []
    stop = reader.size
    while stop > 0 and len(found) < count:
        start = max(stop - max(count, _PART), 0)
        part = [(number, leaf_value(leaf)) for number, leaf in reader.entries(start, stop)]
        found, stop = [*(each for each in part if tag in (None, each[1].get("owner"))), *found], start
    return found[-count:]


def _there(url: str, count: int) -> Leaves:
    """One's own leaves on a server; it looks through its log a part at a time."""
    found: list[tuple[int, dict[str, Any]]] = []
    cursor = None
    with reached(url) as client:
        while len(found) < count:
            page = client.audit(limit=count - len(found), cursor=cursor)
            found += [(int(each["index"]), dict(each["leaf"])) for each in page["entries"]]
            cursor = page["cursor"]
            if cursor is None:
                break
    return found[::-1]


def leaf_value(leaf: bytes) -> dict[str, Any]:
    """A leaf as JSON values; what is none is shown by its size."""
    try:
        value = json.loads(leaf)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"bytes": len(leaf)}


def _text(leaf: dict[str, Any]) -> str:
    return json.dumps(leaf, separators=(",", ":"), ensure_ascii=False)
