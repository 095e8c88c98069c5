"""How a dream is shown: its plan and what it took, what each rung gave back, what is left and why."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from carma.reports import DreamReport, Step
from carma.serve.dashboard.curve import curve
from carma.serve.dashboard.pieces import box, card, chip, facts, hint, line, link, row, table
from carma.serve.dashboard.say import ago, count, percent, plural, seconds, when

__all__ = ["dream_row", "planned_against_actual", "quality", "results", "steps", "words_of"]

_GOOD, _BAD = ("completed",), ("failed",)
_STEPS = 200


def words_of(status: str) -> str:
    """The class of a status."""
    return "good" if status in _GOOD else "bad" if status in _BAD else ""


def planned_against_actual(planned_s: float, actual_s: float) -> None:
    """The plan is a ceiling; a dream ends as soon as its work is done."""
    share = actual_s / planned_s if planned_s else 0.0
    said = f"{seconds(actual_s)} of {seconds(planned_s)} planned" if planned_s else seconds(actual_s)
    with box("planned", role="img", **{"aria-label": said}):
        box("fill", "span").style(f"width: {min(share, 1.0) * 100:.1f}%")
    line(said, "p", "soft")


def results(report: DreamReport) -> None:
    """What a dream gave back, by which rungs, and why the rest could not be rebuilt."""
    with box("two"):
        with card("What came of it"):
            facts({
                "began": when(report.started),
                "looked at": plural(report.looked_at, "record"),
                "damaged": count(report.damaged),
                "back exactly": count(report.exact),
                "rebuilt from meaning": count(report.reconstructed),
                "still blank": count(report.still_blank),
                "files repaired": count(report.files_repaired),
                "share of kept terms": "nothing is reconstructed"
                if report.score is None
                else percent(report.score),
                "confidence": _sure(report),
            })  # fmt: skip
            if report.error:
                line(report.error, "p", "chip bad")
        with card("By rung"):
            if report.rungs:
                table(("rung", "fragments"), sorted(report.rungs.items(), key=lambda each: -each[1]))
            else:
                hint("No rung had to be climbed.")
            if report.reasons:
                line("What is left, and why", "h3")
                table(("reason", "times"), sorted(report.reasons.items(), key=lambda each: -each[1]))


def _sure(report: DreamReport) -> str:
    """The mean confidence of what this dream rebuilt; it is calibrated, the score is not."""
    if not report.reconstructed:
        return "nothing was rebuilt"
    said = [step.confidence for step in report.steps if step.confidence is not None]
    return f"{percent(sum(said) / len(said))} on the average" if said else "see its steps"


def quality(reports: Sequence[DreamReport]) -> None:
    """The curve over several dreams, oldest first in the picture."""
    points = sorted((each.cycle, each.score) for each in reports if each.score is not None)
    with card("Share of kept terms"):
        hint(
            "How much of what the sketches kept stands in what was rebuilt: the mean score after each dream. "
            "It says that nothing kept was lost again, not that a text is true; for that there is the "
            "confidence."
        )
        if points:
            ui.html(curve(points, f"Share of kept terms after {len(points)} dreams"), sanitize=False)
        else:
            line("Nothing is reconstructed, so there is nothing to measure.", "p")


def steps(found: Sequence[Step]) -> None:
    """What a dream did, step by step."""
    with card(f"{plural(len(found), 'step')}"):
        with box("list", "ul"):
            for step in found[:_STEPS]:
                with box("", "li"), row("between"):
                    with row():
                        chip(step.rung)
                        if step.target == "fragment":
                            link(step.name[:12], f"/tree/{step.name}", "mono")
                        else:
                            line(step.name, "span", "mono")
                        line(f"{step.before} → {step.after}", "span")
                    with row():
                        if step.similarity is not None:
                            chip(f"kept terms {percent(step.similarity)}")
                        if step.confidence is not None:
                            chip(f"confidence {percent(step.confidence)}")
                        line(seconds(step.latency_ms / 1000), "span", "soft")
        if len(found) > _STEPS:
            hint(f"and {count(len(found) - _STEPS)} more")


def dream_row(report: DreamReport, now: float) -> None:
    """A dream in a list."""
    with box("dream-row", "li"), row("between"):
        with row():
            link(f"Dream {report.cycle}", f"/dreams/{report.cycle}", "name")
            chip(report.status, words_of(report.status))
            if report.dry_run:
                chip("dry run")
        line(
            f"{count(report.exact)} exact · {count(report.reconstructed)} rebuilt · "
            f"{count(report.still_blank)} blank · {seconds(report.actual_s)} · {ago(report.started, now)}",
            "span", "soft",
        )  # fmt: skip
