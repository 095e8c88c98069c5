"""Overview: how whole the memory is, at a glance; look for damage; remember a text."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nicegui import ui

from carma.memory.memory import Memory
from carma.models import State
from carma.reports import DreamReport, ScanReport
from carma.serve.dashboard.forms import Area
from carma.serve.dashboard.pieces import (
    box,
    button,
    card,
    chip,
    facts,
    hint,
    line,
    link,
    row,
    states_bar,
    table,
    tile,
)
from carma.serve.dashboard.say import ago, count, of_bytes, plural, seconds
from carma.serve.dashboard.view import View, page

__all__ = ["overview"]

_EVERY_S = 5.0
_MINUTE_S = 60.0
_FINDINGS = 12


@page("/", "Overview")
async def overview(view: View) -> None:
    """The page."""
    with card(classes="health"):
        with row("between"):
            sentence = line("", "p", "sentence", id="sentence", role="status")
            dream = link("Dream", "/dreams", "act")
        shares = box()
    tiles = box("tiles", id="tiles")
    seen: list[object] = []

    async def show(*, quiet: bool = False) -> None:
        stats, last = await view.asking.ask("usage", _stats, quiet=quiet)
        now = [stats, last, int(view.now // _MINUTE_S)]
        if now == seen:  # What did not change stays, with the focus that may be on it.
            return
        seen[:] = now
        sentence.text = _sentence(stats)
        dream.set_visibility(bool(stats["blanks"]) and view.asking.may("dream"))
        shares.clear()
        with shares:
            _shares(stats)
        tiles.clear()
        with tiles:
            _tiles(view, stats, last)

    async def again() -> None:
        await show(quiet=True)

    await show()
    with box("two"):
        _look(view, show)
        _remember(view, show)
    view.every(_EVERY_S, again)


def _stats(memory: Memory) -> tuple[dict[str, Any], list[DreamReport]]:
    return memory.stats(), memory.dreams(1)


def _shares(stats: dict[str, Any]) -> None:
    blanks, rebuilt, whole = stats["blanks"], stats["reconstructed"], stats["fragments"]
    counts: dict[State, int] = {
        "intact": max(whole - blanks - rebuilt, 0), "reconstructed": rebuilt, "blank": blanks,
    }  # fmt: skip
    states_bar(counts)
    if stats["breaker"]:
        chip("Mass damage: nothing is dropped until it is cleared.", "bad")


def _tiles(view: View, stats: dict[str, Any], last: list[DreamReport]) -> None:
    vectors, sizes = stats["vectors"], stats["bytes"]
    blanks, rebuilt = stats["blanks"], stats["reconstructed"]
    tile("fragments", count(stats["fragments"]), plural(stats["versions"], "version"), "/tree")
    tile("blanks", count(blanks), "lost for now" if blanks else "nothing is lost", "/blanks")
    tile(
        "reconstructions", count(rebuilt), "to be judged" if rebuilt else "none to judge", "/reconstructions"
    )
    tile("found by meaning", count(vectors["indexed"]), _pending(vectors))
    tile("on disk", of_bytes(sum(sizes.values())), f"{of_bytes(sizes['reserve'])} reserve")
    if last:
        tile("last dream", last[0].status, ago(last[0].started, view.now), f"/dreams/{last[0].cycle}")
    else:
        tile("last dream", "none yet", "dreams heal", "/dreams")


def _sentence(stats: dict[str, Any]) -> str:
    blanks, rebuilt = stats["blanks"], stats["reconstructed"]
    if not stats["fragments"]:
        return "The memory is empty."
    if not blanks and not rebuilt and not stats["gaps"]:
        return "The memory is whole, as far as it was looked at."
    said = []
    if blanks:
        said.append(f"{plural(blanks, 'fragment is', 'fragments are')} lost for now.")
    if rebuilt:
        said.append(f"{plural(rebuilt, 'fragment is', 'fragments are')} rebuilt from meaning.")
    if stats["gaps"]:
        said.append(f"{plural(stats['gaps'], 'write')} can be named by nothing that is left.")
    return " ".join(said)


def _pending(vectors: dict[str, Any]) -> str:
    if vectors["error"]:
        return "the embedder fails"
    return f"{count(vectors['pending'])} pending" if vectors["pending"] else "all of them"


def _look(view: View, show: Any) -> None:
    with card("Look for damage"):
        hint("A look compares names, sizes and headers; a deep one reads every byte of every file.")

        def work(deep: bool) -> Any:
            async def done() -> None:
                report = await view.asking.ask("scan", lambda memory: memory.scan(deep=deep))
                view.asking.services.metrics.scanned(report)
                found.clear()
                with found:
                    _report(report)
                await show()

            return view.does(done)

        if view.asking.may("scan"):
            with row():
                button("Look", work(False), "plain", id="look")
                button("Look at every byte", work(True), "plain", id="look-deep")
        else:
            hint("The key that signed in may not heal, so it may not look.")
        found = box("stack", id="scan", **{"aria-live": "polite"})


def _report(report: ScanReport) -> None:
    if report.healthy:
        chip("Nothing was found.", "good")
    else:
        chip(
            f"{plural(report.damaged, 'record is', 'records are')} damaged, {count(report.lost)} lost.", "bad"
        )
    facts({
        "looked at": f"{plural(report.files, 'file')}, {plural(report.records, 'record')}",
        "bytes": of_bytes(report.bytes),
        "took": seconds(report.took_s),
    })  # fmt: skip
    if report.findings:
        counts = Counter(finding.kind for finding in report.findings)
        table(("found", "times"), counts.most_common())
        with box("", "details"):
            line("where", "summary", "soft")
            for finding in report.findings[:_FINDINGS]:
                line(f"{finding.path}: {finding.kind}", "p", "mono")
            if len(report.findings) > _FINDINGS:
                hint(f"and {count(len(report.findings) - _FINDINGS)} more")


def _remember(view: View, show: Any) -> None:
    if not view.asking.may("add"):
        return
    with card("Remember a text"):
        area = Area("Text", id="remember", hidden_name=True, placeholder="What is to be remembered", rows="3")

        async def add() -> None:
            text = area.value.strip()
            if not text:
                return
            await view.asking.change("add", lambda memory: memory.add(text))
            area.clear()
            ui.notify("Remembered.", type="positive")
            await show()

        with row():
            button("Remember", view.does(add), id="add")
