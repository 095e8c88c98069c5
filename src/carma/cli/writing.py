"""`carma add`, `update` and `delete`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from carma.cli.opening import opened
from carma.cli.options import AsJson, Id, StoreFolder, moment, or_none, pairs, read_stdin, text_argument
from carma.cli.output import Output
from carma.errors import InvalidInput
from carma.models import Fragment, Source

__all__ = ["add", "delete", "update"]

Metadata = Annotated[
    list[str] | None,
    typer.Option(metavar="DATA", help="JSON object, or key=value (repeatable).", show_default=False),
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Seconds from now, 90m, 12h, 30d, or ISO 8601; none: never.", show_default=False
    ),
]
Position = Annotated[
    float | None, typer.Option(metavar="X", help="The place among the siblings.", show_default=False)
]


def add(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The text; - or a pipe: standard input.", show_default=False),
    ] = None,
    many: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="One fragment a line from JSON Lines: texts, or objects; - reads a pipe.",
            show_default=False,
        ),
    ] = None,
    parent: Annotated[
        str | None, typer.Option(metavar="ID", help="The fragment above.", show_default=False)
    ] = None,
    position: Position = None,
    kind: Annotated[str, typer.Option(metavar="NAME", help="What it is.")] = "note",
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Whose it is.", show_default=False)] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which agent's it is.", show_default=False)
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which session's it is.", show_default=False)
    ] = None,
    metadata: Metadata = None,
    expires: Expires = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Keep the same text in the same place once.")
    ] = False,
    id: Annotated[
        str | None, typer.Option(metavar="ID", help="32 hexadecimal digits; else made.", show_default=False)
    ] = None,
    created: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601; else now.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Remember a text, or many; prints the ids.

    Words find it at once, its meaning after `carma flush` or the next search.
    """
    given: dict[str, Any] = {
        "parent": parent,
        "position": position,
        "kind": kind,
        "user": user,
        "agent": agent,
        "session": session,
        "metadata": pairs(metadata, "--metadata"),
        "expires": moment(expires, "--expires") if expires is not None else None,
        "dedupe": dedupe,
        "created": moment(created, "--created") if created is not None else None,
    }
    if many is not None:
        if text is not None or id is not None:
            raise InvalidInput("--many goes neither with a text nor with --id.")
        items = list(_items(many))
        with opened(store, create=True) as memory:
            added = memory.add_many(items, **given)
    else:
        whole = text_argument(text)
        with opened(store, create=True) as memory:
            added = [memory.add(whole, id=id, **given)]
    _show(added, as_json, "Remembered")


def _items(path: str) -> Iterator[str | dict[str, Any]]:
    """The lines of a JSON Lines file as `add_many` takes them. Raises InvalidInput, naming the line."""
    name = "standard input" if path == "-" else path
    try:
        whole = read_stdin() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 (byte {error.start}).") from error
    for number, line in enumerate(whole.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"Line {number} of {name} is not JSON: {error}.") from error
        if not isinstance(value, (str, dict)):
            raise InvalidInput(f"Line {number} of {name} is neither a text nor an object.")
        if isinstance(value, dict) and isinstance(value.get("source"), dict):
            try:
                value["source"] = Source.from_dict(value["source"])
            except (KeyError, TypeError, IndexError) as error:
                raise InvalidInput(f"Line {number} of {name} has a source without a path.") from error
        yield value


def update(
    id: Id,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The new text; - reads standard input.", show_default=False),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA", help="All the metadata anew: JSON, or key=value; none clears.", show_default=False
        ),
    ] = None,
    expires: Expires = None,
    parent: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Move it under this one; none: to the top.", show_default=False),
    ] = None,
    position: Position = None,
    if_version: Annotated[
        int | None, typer.Option(metavar="N", help="Only if this is the stored version.", show_default=False)
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Make its reconstruction the fragment's own text.")
    ] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Throw its reconstruction away; it is blank again.")
    ] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the next version; what is not given stays."""
    given: dict[str, Any] = {}
    if text is not None:
        given["text"] = text_argument(text)
    if metadata is not None:
        given["metadata"] = None if metadata == ["none"] else pairs(metadata, "--metadata")
    if expires is not None:
        given["expires"] = moment(expires, "--expires")
    if parent is not None:
        given["parent"] = or_none(parent)
    if position is not None:
        given["position"] = position
    if accept or reject:
        if given or if_version is not None or (accept and reject):
            raise InvalidInput("--accept and --reject stand alone.")
        with opened(store) as memory:
            changed = memory.accept(id) if accept else memory.reject(id)
        _show([changed], as_json, "Accepted" if accept else "Rejected")
        return
    if not given:
        raise InvalidInput("There is nothing to change.", hint="See `carma update --help`.")
    with opened(store) as memory:
        changed = memory.update(id, if_version=if_version, **given)
    _show([changed], as_json, "Updated")


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="IDS", help="Fragment ids.", show_default=False)],
    children: Annotated[
        bool, typer.Option("--children", help="Also all below; else children move up.")
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove it from every file now.")] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Forget fragments."""
    with opened(store) as memory:
        deleted = sum(memory.delete(id, children=children, purge=purge) for id in ids)
    out = Output(as_json)
    out.show({"deleted": deleted}, lambda: [str(deleted)], lambda: f"Deleted {deleted}.")


def _show(fragments: list[Fragment], as_json: bool, verb: str) -> None:
    """The ids of what was written; on a terminal with its version."""
    out = Output(as_json)
    out.show(
        {"items": [each.to_dict() for each in fragments]},
        lambda: (each.id for each in fragments),
        lambda: "\n".join(f"{verb} {each.id}  v{each.version}" for each in fragments) or "Nothing to do.",
    )
