"""`carma get`, `list`, `tree` and `history`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carma.cli.opening import opened
from carma.cli.options import Agent, AsJson, Id, Session, StoreFolder, User, Where, or_none, pairs
from carma.cli.output import Output
from carma.cli.show import (
    fragment_lines,
    fragment_picture,
    fragments_table,
    tree_lines,
    tree_picture,
)

__all__ = ["get", "history", "list_", "tree"]


def get(
    ids: Annotated[list[str], typer.Argument(metavar="IDS", help="Fragment ids.", show_default=False)],
    version: Annotated[
        int | None, typer.Option(metavar="N", help="This version, not the newest.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show fragments by id.

    In a pipe, their texts and nothing else.
    """
    with opened(store) as memory:
        found = [memory.get(id, version=version) for id in ids]
    out = Output(as_json)
    for each in found:
        if each.state == "blank":
            out.note(f"Fragment {each.id} is blank: {each.blank.reason if each.blank else 'lost'}.")
    if out.terminal:
        for each in found:
            out.console().print(fragment_picture(each))
        return
    out.show({"items": [each.to_dict() for each in found]}, lambda: (each.text for each in found))


def list_(
    parent: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Children of this one, in order; none: the top.", show_default=False),
    ] = None,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(metavar="N", help="How many at most.")] = 100,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where a page ended.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """List fragments, a page at a time."""
    given: dict[str, Any] = {} if parent is None else {"parent": or_none(parent)}
    filter = pairs(where, "--where")
    with opened(store) as memory:
        page = memory.list(
            user=user, agent=agent, session=session, where=filter, limit=limit, cursor=cursor, **given
        )
    out = Output(as_json)
    out.show(page.to_dict(), lambda: fragment_lines(page), lambda: fragments_table(page.items))
    if page.cursor is not None:
        out.note(f"There are more: --cursor {page.cursor}")


def tree(
    root: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only what is below this one.", show_default=False)
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="How many levels deep.", show_default=False)
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Show ids on a terminal too.")] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show the tree of fragments.

    In a pipe, each line is an id, a tab and the indented text.
    """
    with opened(store) as memory:
        node = memory.tree(root, depth=depth)
    Output(as_json).show(node.to_dict(), lambda: tree_lines(node), lambda: tree_picture(node, ids=ids))


def history(id: Id, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show every stored version of a fragment, oldest first."""
    with opened(store) as memory:
        versions = memory.history(id)
    Output(as_json).show(
        {"items": [each.to_dict() for each in versions]},
        lambda: fragment_lines(versions),
        lambda: fragments_table(versions, times=True),
    )
