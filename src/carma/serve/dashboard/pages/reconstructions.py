"""Reconstructions: what a dream rebuilt from meaning, beside what it was built from, to be kept or not."""

from __future__ import annotations

from contextlib import suppress

from nicegui import ui

from carma.errors import FragmentNotFound
from carma.memory.memory import Memory
from carma.models import Fragment
from carma.serve.dashboard.pieces import (
    box,
    button,
    card,
    chip,
    facts,
    fragment_text,
    hint,
    line,
    link,
    named,
    nothing,
    row,
)
from carma.serve.dashboard.say import ago, percent
from carma.serve.dashboard.view import View, page

__all__ = ["reconstructions"]

_MOST, _SOURCES, _TEXT = 50, 8, 1_200
_LOOKED_AT = 1_000
Found = list[tuple[Fragment, list[Fragment]]]


@page("/reconstructions", "Reconstructions")
async def reconstructions(view: View) -> None:
    """The page."""
    hint(
        "These stand in the place of lost texts and say so, the least sure first. Accepted, one becomes the "
        "fragment's own text; rejected, the fragment is a blank again, and no dream guesses at it any more. "
        "If the true text ever comes back, it wins."
    )
    listed = box("stack", id="reconstructions")

    async def show() -> None:
        found = await view.asking.ask("blanks", _find)
        listed.clear()
        with listed:
            if not found:
                nothing("There is nothing to judge.", "No fragment stands as a reconstruction.")
            for fragment, sources in found:
                _pair(view, fragment, sources, show)

    await show()


def _find(memory: Memory) -> Found:
    """Reconstructions, each with the fragments it was built from; what is least sure comes first."""
    found: Found = []
    for fragment in memory.blanks(limit=_LOOKED_AT, reconstructed=True):
        if fragment.state != "reconstructed" or fragment.repair is None:
            continue
        sources = []
        for id in fragment.repair.sources[:_SOURCES]:
            with suppress(FragmentNotFound):
                sources.append(memory.get(id))
        found.append((fragment, sources))
    return sorted(found, key=lambda each: _confidence(each[0]))[:_MOST]


def _confidence(fragment: Fragment) -> float:
    repair = fragment.repair
    return (repair.confidence if repair is not None else None) or 0.0


def _pair(view: View, fragment: Fragment, sources: list[Fragment], show: object) -> None:
    repair = fragment.repair
    assert repair is not None
    with card(classes="reconstruction"):
        with row("between"):
            with row():
                named("reconstructed")
                chip(fragment.kind)
            link("open", f"/tree/{fragment.id}")
        with box("pair"):
            with box():
                line("Rebuilt text", "h3")
                fragment_text(fragment, _TEXT)
                facts({
                    "confidence": percent(repair.confidence),
                    "share of kept terms": "unknown"
                    if repair.similarity is None
                    else percent(repair.similarity),
                    "method": repair.method or repair.rung,
                    "dream": "unknown" if repair.cycle is None else str(repair.cycle),
                    "rebuilt": ago(repair.when, view.now),
                })  # fmt: skip
            with box():
                line(f"Built from ({len(repair.sources)})", "h3")
                for source in sources:
                    with box("source"):
                        link(f"{source.kind} {source.id[:8]}", f"/tree/{source.id}", "soft")
                        fragment_text(source, _TEXT)
                if not sources:
                    hint("From what was kept of the fragment itself: its sketch, or its words in the index.")
        if view.asking.may("update"):
            with row():
                button("Accept", view.does(_judged(view, fragment, True, show)), "accept")
                button("Reject", view.does(_judged(view, fragment, False, show)), "harsh reject")


def _judged(view: View, fragment: Fragment, kept: bool, show: object):  # type: ignore[no-untyped-def]
    async def judge() -> None:
        def work(memory: Memory) -> Fragment:
            return memory.accept(fragment.id) if kept else memory.reject(fragment.id)

        await view.asking.change("update", work)
        ui.notify(
            "Accepted: it is the fragment's own text now." if kept else "Rejected: the fragment is a blank."
        )
        await show()  # type: ignore[operator]

    return judge
