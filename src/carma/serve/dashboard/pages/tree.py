"""Browse: the tree, and one fragment with everything that is known of it and its history."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from carma.errors import FragmentNotFound, TooLarge
from carma.memory.memory import Memory
from carma.models import Fragment, Node
from carma.serve.dashboard.pieces import (
    box,
    card,
    chip,
    facts,
    fragment_text,
    hint,
    line,
    link,
    mark,
    named,
    nothing,
    row,
    title_of,
)
from carma.serve.dashboard.say import percent, plural, when, why
from carma.serve.dashboard.view import View, page

__all__ = ["fragment", "tree"]

_DEPTH, _OPEN, _NODES, _LABEL = 4, 1, 500, 90
_ABOVE = 32
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@page("/tree", "Browse")
async def tree(view: View) -> None:
    """The whole tree, as far as a page holds it."""
    node = await view.asking.ask("tree", lambda memory: _below(memory, None))
    if not node.children:
        nothing("The memory is empty.", "Remember a text on the overview, or add some over the interface.")
        return
    hint("Each fragment with what lies below it; the sign says its state. A name opens the fragment.")
    with card(classes="tree"):
        _branch(node, 0, [_NODES])


class _Whole(NamedTuple):
    """All about one fragment."""

    fragment: Fragment
    above: list[Fragment]
    below: Node
    history: list[Fragment]


@page("/tree/{id}", "Fragment")
async def fragment(view: View) -> None:
    """One fragment."""
    id = view.request.path_params["id"]
    if not _ID.fullmatch(id):
        raise FragmentNotFound("There is no such fragment.")
    view.asking.check("history")
    view.asking.check("tree")
    whole = await view.asking.ask("get", lambda memory: _find(memory, id))
    found = whole.fragment
    with box("crumbs", "nav", **{"aria-label": "Where this is"}):
        link("Browse", "/tree")
        for each in whole.above:
            link(title_of(each, 40), f"/tree/{each.id}")
        line(title_of(found, 40), "span", **{"aria-current": "page"})
    with card():
        with row():
            named(found.state)
            chip(found.kind)
            chip(f"version {found.version}")
        fragment_text(found, 20_000)
        facts(_known(found))
    _repair(found)
    if whole.below.children:
        with card("Below it", "tree"):
            _branch(whole.below, 0, [_NODES])
    _history(whole.history)


def _find(memory: Memory, id: str) -> _Whole:
    found = memory.get(id)
    above: list[Fragment] = []
    at = memory.parent(id)
    while at is not None and len(above) < _ABOVE and all(at.id != each.id for each in above):
        above.insert(0, at)
        at = memory.parent(at.id)
    return _Whole(found, above, _below(memory, found), _versions(memory, found))


def _below(memory: Memory, root: Fragment | None) -> Node:
    """The tree below a fragment, or all of it; only the level below where the texts are too long together."""
    id = root.id if root is not None else None
    try:
        return memory.tree(id, depth=_DEPTH)
    except TooLarge:
        page = memory.list(parent=id, limit=_NODES)
        return Node(fragment=root, children=tuple(Node(fragment=each) for each in page))


def _versions(memory: Memory, found: Fragment) -> list[Fragment]:
    """The history of a fragment; only the newest where the versions are too long together."""
    try:
        return memory.history(found.id)
    except TooLarge:
        return [found]


def _branch(node: Node, depth: int, left: list[int]) -> None:
    with box("", "ul"):
        for child in node.children:
            if left[0] <= 0 or child.fragment is None:
                continue
            left[0] -= 1
            with box("", "li"):
                if not child.children:
                    _leaf(child)
                    continue
                with box("", "details", **({"open": True} if depth < _OPEN else {})):
                    with box("", "summary"):
                        _leaf(child)
                    _branch(child, depth + 1, left)
        if left[0] <= 0 and depth == 0:
            with box("", "li"):
                hint("More than a page holds: open a fragment to see what lies below it.")


def _leaf(node: Node) -> None:
    assert node.fragment is not None
    with box("leaf", "span"):
        mark(node.fragment.state)
        link(title_of(node.fragment, _LABEL), f"/tree/{node.fragment.id}")
        if node.more:
            chip(f"{plural(node.more, 'more')} below" if node.more == 1 else f"{node.more:,} more below")


def _known(found: Fragment) -> list[tuple[str, str]]:
    known = [("id", found.id), ("digest", found.digest or "unknown"), ("created", when(found.created))]
    if found.updated != found.created:
        known.append(("updated", when(found.updated)))
    if found.expires is not None:
        known.append(("expires", when(found.expires)))
    known += [(name, value) for name in ("user", "agent", "session") if (value := getattr(found, name))]
    if found.source is not None:
        place = f" line {found.source.line}" if found.source.line else ""
        known.append(("from", f"{found.source.path}{place}"))
    if found.metadata:
        known.append(("metadata", json.dumps(dict(found.metadata), ensure_ascii=False, default=str)))
    return known


def _repair(found: Fragment) -> None:
    repair, blank = found.repair, found.blank
    if repair is not None:
        with card("How it came back"):
            known = [
                ("rung", repair.rung),
                ("when", when(repair.when) if repair.when else "by this very read"),
            ]
            if repair.confidence is not None:
                known.append(("confidence", percent(repair.confidence)))
            if repair.method:
                known.append(("method", repair.method))
            facts(known)
            for id in repair.sources:
                link(f"built from {id[:12]}", f"/tree/{id}", "mono")
    if blank is not None and found.state == "blank":
        with card("Why it is a blank"):
            facts({
                "reason": why(blank.reason),
                "first seen": when(blank.first_seen),
                "expected digest": blank.digest or "unknown",
            })  # fmt: skip


def _history(versions: list[Fragment]) -> None:
    with card(f"History: {plural(len(versions), 'version')}"), box("list", "ul"):
        for each in reversed(versions):
            with box("", "li"):
                with row():
                    line(f"version {each.version}", "span", "name")
                    if each.deleted:
                        chip("deleted", "bad")
                    else:
                        named(each.state)
                    line(when(each.updated), "span", "soft")
                if not each.deleted and len(versions) > 1:
                    fragment_text(each, 600)
