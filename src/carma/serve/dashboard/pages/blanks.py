"""Blanks: what is lost for now, why, and how urgent it is."""

from __future__ import annotations

from nicegui import ui

from carma.memory.memory import Memory
from carma.models import Fragment
from carma.serve.dashboard.pieces import (
    box,
    button,
    card,
    chip,
    facts,
    hint,
    line,
    link,
    named,
    nothing,
    row,
    title_of,
)
from carma.serve.dashboard.say import ago, count, plural, why
from carma.serve.dashboard.view import View, page

__all__ = ["blanks"]

_MOST = 100
_EVERY_S = 5.0


@page("/blanks", "Blanks")
async def blanks(view: View) -> None:
    """The page."""
    with row("between"):
        hint("A blank is a fragment that is missing or damaged. It waits here until a dream brings it back.")
        with row():
            if view.asking.may("scan"):
                button("Look at every byte", view.does(lambda: look()), "plain", id="look-deep")
            if view.asking.may("dream"):
                link("Dream", "/dreams", "act")
    listed = box("stack", id="blanks")
    seen: list[tuple[str, int]] = []

    async def show(*, quiet: bool = False) -> None:
        found = await view.asking.ask("blanks", _find, quiet=quiet)
        now = [(each.id, each.version) for each, _ in found]
        if quiet and now == seen:
            return
        seen[:] = now
        listed.clear()
        with listed:
            _list(view, found)

    async def look() -> None:
        report = await view.asking.ask("scan", lambda memory: memory.scan(deep=True))
        view.asking.services.metrics.scanned(report)
        ui.notify(f"Looked at {plural(report.records, 'record')}: {count(report.damaged)} damaged.")
        await show()

    async def again() -> None:
        await show(quiet=True)

    await show()
    view.every(_EVERY_S, again)


def _find(memory: Memory) -> list[tuple[Fragment, Fragment | None]]:
    """The blanks, each with its parent."""
    found = memory.blanks(limit=_MOST)
    return [(each, memory.parent(each.id) if each.parent else None) for each in found]


def _list(view: View, found: list[tuple[Fragment, Fragment | None]]) -> None:
    if not found:
        nothing(
            "There are no blanks.", "As far as scans and reads have looked: a deep look reads every byte."
        )
        return
    more = " or more" if len(found) == _MOST else ""
    with card(f"{plural(len(found), 'blank')}{more}, the most urgent first"), box("list", "ul"):
        for fragment, parent in found:
            with box("blank-row", "li"):
                _blank(view, fragment, parent)


def _blank(view: View, fragment: Fragment, parent: Fragment | None) -> None:
    blank = fragment.blank
    assert blank is not None
    with row("between"):
        with row():
            named("blank")
            chip(fragment.kind)
            if parent is not None:
                line(f"below {title_of(parent, 60)}", "span", "name")
        link("open", f"/tree/{fragment.id}")
    facts([
        ("reason", why(blank.reason)),
        ("first seen", ago(blank.first_seen, view.now)),
        ("priority", f"{blank.priority:.2f}"),
        *([("above", plural(len(blank.children), "fragment"))] if blank.children else []),
        ("fragment", fragment.id),
        ("expected digest", blank.digest or "unknown"),
    ])  # fmt: skip
