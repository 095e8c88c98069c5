"""Dreams: start one, watch it, and see which there were."""

from __future__ import annotations

from functools import partial

from nicegui.element import Element

from carma.errors import InvalidInput
from carma.reports import DreamReport
from carma.serve.dashboard.dreaming import (
    dream_row,
    planned_against_actual,
    quality,
    results,
    words_of,
)
from carma.serve.dashboard.forms import Field, Tick
from carma.serve.dashboard.pieces import box, button, card, chip, hint, line, link, nothing, row
from carma.serve.dashboard.view import View, page
from carma.serve.dreams import Feed
from carma.serve.requests import DreamOrder

__all__ = ["dreams"]

_LISTED = 30
_EVERY_S = 0.5
_LONGEST_S = 86_400.0


@page("/dreams", "Dreams")
async def dreams(view: View) -> None:
    """The page."""
    watched: list[Feed] = []
    starter: Element

    async def show(*, quiet: bool = False) -> None:
        found = await view.asking.ask("dreams", lambda memory: memory.dreams(_LISTED), quiet=quiet)
        listed.clear()
        with listed:
            _list(found, view.now)

    async def start() -> None:
        order = DreamOrder(budget_s=_budget(budget.value), dry_run=dry.value, exact=exact.value)
        act = view.asking.act("dream")
        seat = view.asking.seat
        begin = partial(view.asking.services.dreams.start, seat, order, act)
        watched[:] = [await view.asking.services.workers.run(seat, begin)]
        await watch()

    async def watch() -> None:
        watched[:] = watched or _running_now(view)
        starter.visible = not watched
        if not watched:
            return
        feed = watched[0]
        shown = await _progress(view, feed)
        live.clear()
        with live:
            _live(feed, shown, view.now)
        if feed.over:
            watched.clear()
            starter.visible = True
            view.asking.services.audit.written(view.asking.seat)
            await show(quiet=True)

    if view.asking.may("dream"):
        with card("Start a dream"):
            hint(
                "A dream takes blanks by priority, gives back what it can prove, rebuilds the rest from "
                "meaning, and says which is which. Its plan is a ceiling: it ends when its work is done."
            )
            with row("fields"):
                with box("budget"):
                    budget = Field(
                        "Stop after (seconds)", id="budget", type="number", min="0", step="any",
                        placeholder="as planned", inputmode="decimal",
                    )  # fmt: skip
                with row("ticks"):
                    dry = Tick("only say what would be done", id="dry")
                    exact = Tick("use the exact rungs", True, id="exact")
                starter = button("Dream", view.does(start), id="dream")
    else:
        starter = box()
        hint("The key that signed in may not heal, so it may not start a dream.")
    live = box("stack", id="live")
    listed = box("stack", id="dreams")
    await show()
    await watch()
    view.every(_EVERY_S, watch)


def _running_now(view: View) -> list[Feed]:
    """The dream of this account that runs, whoever started it."""
    account = view.asking.principal.account
    return [each for each in view.asking.services.dreams.running() if each.act.account == account][-1:]


def _budget(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _LONGEST_S:
        raise InvalidInput("The seconds are a number from 0 to 86,400.", hint="Nothing was started.")
    return value


async def _progress(view: View, feed: Feed) -> DreamReport:
    """What is known of a dream: while it runs its plan stands in the log, which counts no time yet."""
    report = feed.report
    if feed.over or report.dry_run or report.status == "pending":
        return report
    logged = await view.asking.ask("show_dream", lambda memory: memory.dreams(1), quiet=True)
    return logged[0] if logged and logged[0].cycle == report.cycle else report


def _live(feed: Feed, shown: DreamReport, now: float) -> None:
    report = feed.report
    with card():
        with row("between"):
            with row():
                line(f"Dream {report.cycle}", "h2")
                line(
                    report.status, "span", f"chip {words_of(report.status)}", id="dream-status", role="status"
                )
                if report.dry_run:
                    chip("dry run")
            if feed.over and not report.dry_run:
                link("all its steps", f"/dreams/{report.cycle}")
        if not feed.over:
            _running(feed, shown, now)
        else:
            planned_against_actual(report.planned_s, report.actual_s)
    if feed.over:
        results(report)


def _running(feed: Feed, shown: DreamReport, now: float) -> None:
    last = feed.last
    planned_against_actual(shown.planned_s, max(now - feed.report.started, 0.0))
    if last is not None:
        line(f"{last.what} ({last.done:,} of {last.total:,})" if last.total else last.what, "p")
    elif feed.report.status == "pending":
        line("It waits for its turn.", "p")
    else:
        line("It begins.", "p")


def _list(found: list[DreamReport], now: float) -> None:
    if not found:
        nothing("There was no dream yet.", "The server dreams by itself when a round finds blanks.")
        return
    quality(found)
    with card("Dreams, the newest first"), box("list", "ul"):
        for report in found:
            dream_row(report, now)
