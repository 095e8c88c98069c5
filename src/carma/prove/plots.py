"""Which charts a report gives: one for each part of it that is there, none for what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from statistics import median
from typing import Any

from carma.prove.charts import Bar, Bars, Calibration, Chart, Line, Lines, Point, histogram
from carma.prove.differences import printable

__all__ = ["named", "number", "part", "plots"]

_MEASURES = {
    "score": "sketch score",
    "similarity": "cosine",
    "cosine": "cosine",
    "token_f1": "token F1",
    "rouge_l": "ROUGE-L",
    "entity_recall": "names etc.",
}
_COUNTS = {"exact": 0, "reconstructed": 1, "blank": 3}
"""And the tones of their lines: those of the states."""
_PARTS = 24
_LONGEST_NAME = 14


def number(report: Mapping[str, Any], *path: str) -> float | None:
    """A finite number in a report, by the names on the way to it; None if it is not there."""
    here: Any = report
    for name in path:
        here = here.get(name) if isinstance(here, Mapping) else None
    if isinstance(here, bool) or not isinstance(here, int | float) or not isfinite(here):
        return None
    return here


def part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that is a mapping; empty if it is not there or is something else."""
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def named(value: Any) -> str:
    """A name from a report as a chart can show it: printable, and short."""
    text = printable(str(value))
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def plots(report: Mapping[str, Any]) -> dict[str, Chart]:
    """The charts by the names of their files: latency, latency_series, outcome, rungs, similarity, cycles,
    cycles_left and calibration, those for which the report has figures.
    """
    made: dict[str, Chart | None] = {
        "latency": _latency(part(report, "latency_ms")),
        "latency_series": _series(_curve(report, "latency_series")),
        "outcome": _outcome(report),
        "rungs": _rungs(part(report, "rungs")),
        "similarity": _similarity(_curve(report, "similarity_histogram")),
        "cycles": _cycles(_curve(report, "cycles")),
        "cycles_left": _left(_curve(report, "cycles")),
        "calibration": _calibration(part(report, "confidence_calibration")),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def _curve(report: Mapping[str, Any], name: str) -> Any:
    """A curve by name; where the curves are a list, it is that over the cycles."""
    curves = report.get("curves")
    if isinstance(curves, Mapping):
        return curves.get(name)
    return curves if name == "cycles" else None


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, Sequence) else []


def _latency(phases: Mapping[str, Any]) -> Chart | None:
    bars = tuple(
        Bar(name, value, named(phase), tone)
        for phase in phases
        for tone, name in enumerate(("p50", "p99"))
        if (value := number(phases, phase, name)) is not None
    )
    return Bars("Latency of a query", "ms", bars) if bars else None


def _series(phases: Any) -> Chart | None:
    """The course of each phase, all phases equally wide: medians of at most so many parts of it."""
    if not isinstance(phases, Mapping):
        return None
    lines: list[Line] = []
    for phase, values in phases.items():
        good = [value for value in _finite(values) if value > 0]
        size = max(ceil(len(good) / _PARTS), min(10, len(good)), 1)
        parts = [good[at : at + size] for at in range(0, len(good), size)]
        points = tuple(
            (len(lines) + 0.04 + 0.92 * (at + 0.5) / len(parts), median(part))
            for at, part in enumerate(parts)
        )
        if points:
            lines.append(Line(named(phase), points, len(lines)))
    if not lines:
        return None
    values = [y for line in lines for _, y in line.points]
    return Lines(
        "Latency in the course of each phase, medians",
        "first to last query of each phase",
        "ms",
        tuple(lines),
        log=max(values) > 30 * min(values),
        low=0.0,
        marks=False,
    )


def _outcome(report: Mapping[str, Any]) -> Chart | None:
    tones = {"exact": "repaired", "reconstructed": "reconstructed", "blank": "blank"}
    names = {"exact": "back bit for bit", "reconstructed": "reconstructed", "blank": "still blank"}
    bars = tuple(
        Bar(names[name], value, tone=tones[name])
        for name in _COUNTS
        if (value := number(report, name)) is not None
    )
    return Bars("What became of what was lost", "fragments", bars) if bars else None


def _rungs(rungs: Mapping[str, Any]) -> Chart | None:
    found = [(named(name), value) for name in rungs if (value := number(rungs, name)) is not None]
    bars = tuple(Bar(name, value) for name, value in sorted(found, key=lambda each: -each[1]))
    return Bars("Which rung of the ladder gave it back", "fragments", bars) if bars else None


def _similarity(given: Any) -> Chart | None:
    """From the values themselves, or from bins with low, high and count."""
    title = "Similarity of reconstructions to the originals"
    bins = _rows(given)
    if bins:
        counted = [(number(row, "low"), number(row, "high"), number(row, "count")) for row in bins]
        bars = tuple(
            Bar(f"{low:.2f} to {high:.2f}", count)
            for low, high, count in counted
            if low is not None and high is not None and count is not None
        )
        return Bars(title, "fragments by cosine", bars) if bars else None
    values = _finite(given)
    return histogram(title, "fragments by cosine", values) if values else None


def _finite(values: Any) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    return [float(value) for value in values if isinstance(value, int | float) and isfinite(value)]


def _cycles(rows: Any) -> Chart | None:
    lines: dict[str, Line] = {}
    for name, shown in _MEASURES.items():
        points = _over_cycles(rows, name)
        if points and shown not in lines:
            lines[shown] = Line(shown, points, len(lines))
    if not lines:
        return None
    return Lines(
        "Quality over the cycles",
        "dream cycle",
        "0 to 1",
        tuple(lines.values()),
        whole=True,
        low=0.0,
        high=1.0,
    )


def _left(rows: Any) -> Chart | None:
    lines = tuple(
        Line(name, points, tone) for name, tone in _COUNTS.items() if (points := _over_cycles(rows, name))
    )
    return (
        Lines("Lost fragments over the cycles", "dream cycle", "fragments", lines, whole=True, low=0.0)
        if lines
        else None
    )


def _over_cycles(rows: Any, name: str) -> tuple[tuple[float, float], ...]:
    return tuple(
        (cycle, value)
        for row in _rows(rows)
        if (cycle := number(row, "cycle")) is not None and (value := number(row, name)) is not None
    )


def _calibration(given: Mapping[str, Any]) -> Chart | None:
    points = []
    for row in _rows(given.get("bins")):
        confidence, good = number(row, "confidence"), number(row, "good")
        count = number(row, "count") if "count" in row else number(row, "fragments")
        if confidence is not None and good is not None and count:
            points.append(Point(confidence, good, int(count)))
    if not points:
        return None
    return Calibration("Does confidence mean what it says?", tuple(points), number(given, "ece"))
