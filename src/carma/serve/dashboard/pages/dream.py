"""One dream, with every step that it took."""

from __future__ import annotations

from carma.errors import DreamNotFound
from carma.memory.memory import Memory
from carma.reports import DreamReport
from carma.serve.dashboard.dreaming import planned_against_actual, quality, results, steps, words_of
from carma.serve.dashboard.pieces import box, card, chip, line, link, row
from carma.serve.dashboard.view import View, page

__all__ = ["dream"]

_LOOK_BACK = 1_000
_BEFORE = 30


@page("/dreams/{cycle}", "Dream")
async def dream(view: View) -> None:
    """The page."""
    with box("crumbs", "nav", **{"aria-label": "Where this is"}):
        link("Dreams", "/dreams")
        line(f"Dream {view.request.path_params['cycle'][:12]}", "span")
    cycle = _number(view.request.path_params["cycle"])
    report, before = await view.asking.ask("show_dream", lambda memory: _find(memory, cycle))
    with card():
        with row():
            chip(report.status, words_of(report.status))
            if report.breaker:
                chip("mass damage", "bad")
        planned_against_actual(report.planned_s, report.actual_s)
    results(report)
    quality(before)
    steps(report.steps)


def _find(memory: Memory, cycle: int) -> tuple[DreamReport, list[DreamReport]]:
    """The dream with its steps, and those before it."""
    reports = memory.dreams(_LOOK_BACK)
    places = [place for place, each in enumerate(reports) if each.cycle == cycle]
    if not places:
        raise DreamNotFound(f"There is no dream {cycle}.")
    place = places[0]
    return memory.show_dream(cycle), reports[place : place + _BEFORE]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise DreamNotFound("There is no such dream.")
    return int(text)
