"""The report's charts as PNGs. Needs the extra `report` (matplotlib); the page has the same charts without
it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.errors import MissingExtra
from carma.healing.topology.palette import LIGHT
from carma.prove.charts import Bars, Calibration, Chart, Lines, said
from carma.prove.plots import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_pngs"]

TONES = ("#0067a8", "#d07c00", "#2a7f62", "#a8003f", "#7a5ea8", "#5a6672")
"""Colours of bars and lines by their tone, on white."""

_INK, _SOFT, _RULE = "#1c2329", "#5a6672", "#d9dfe5"
_DPI = 150


def write_pngs(report: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Writes one PNG for each chart of the report, named as in `plots`, 1200 pixels wide; gives their paths.

    Raises MissingExtra where matplotlib is not installed, OSError.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(
            "The charts as PNGs need matplotlib.",
            hint="Install it with `pip install 'carma-memory[report]'`; report.html has the charts anyway.",
        ) from error
    written = []
    for name, chart in plots(report).items():
        high = (
            0.9 + 0.3 * len(chart.bars)
            if isinstance(chart, Bars)
            else 6.0
            if isinstance(chart, Calibration)
            else 4.4
        )
        figure = Figure(figsize=(8, high), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_title(chart.title, fontsize=12, color=_INK, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_SOFT)
        _draw(axes, chart)
        written.append(Path(folder) / f"{name}.png")
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Glyph .* missing", UserWarning
            )  # it draws boxes for other scripts
            figure.savefig(written[-1], format="png", metadata={"Software": None})
    return written


def _draw(axes: Axes, chart: Chart) -> None:
    if isinstance(chart, Bars):
        _bars(axes, chart)
    elif isinstance(chart, Lines):
        _lines(axes, chart)
    else:
        _calibration(axes, chart)


def _colour(tone: int | str) -> str:
    return {str(state): colour for state, colour in LIGHT.items()}.get(str(tone)) or TONES[
        int(tone) % len(TONES)
    ]


def _bars(axes: Axes, chart: Bars) -> None:
    rows = range(len(chart.bars))
    names = [f"{bar.group}, {bar.name}" if bar.group else bar.name for bar in chart.bars]
    axes.barh(
        rows, [bar.value for bar in chart.bars], color=[_colour(bar.tone) for bar in chart.bars], height=0.7
    )
    axes.set_yticks(rows, names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, max((bar.value for bar in chart.bars), default=1.0) * 1.15 or 1.0)
    axes.set_xlabel(chart.unit, color=_SOFT)
    for row, bar in zip(rows, chart.bars, strict=True):
        axes.annotate(
            said(bar.value),
            (bar.value, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=_INK,
            fontsize=9,
        )


def _lines(axes: Axes, chart: Lines) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if chart.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value)))
    ends = []
    for line in chart.lines:
        tone = line.tone
        xs, ys = zip(*line.points, strict=True)
        axes.plot(xs, ys, color=_colour(tone), marker="o" if len(xs) <= 12 else "", markersize=4)
        ends.append((ys[-1], tone, chart.label(line)))
    axes.set_xlabel(chart.x, color=_SOFT)
    axes.set_ylabel(chart.y, color=_SOFT)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    if not chart.log:
        axes.set_ylim(bottom=chart.low, top=chart.high * 1.02 if chart.high is not None else None)
    if not chart.marks:
        axes.set_xticks([])
    if chart.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_ylim()
    last = -1.0
    for y, tone, name in sorted(ends):
        share = (log10(y / low) / log10(high / low)) if chart.log else (y - low) / (high - low)
        last = max(share, last + 0.055)
        axes.annotate(
            name,
            (1.0, last),
            (6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=_colour(tone),
            fontsize=9,
            parse_math=False,
            annotation_clip=False,
        )


def _calibration(axes: Axes, chart: Calibration) -> None:
    most = max(point.count for point in chart.points)
    axes.set_aspect("equal")
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=1)
    axes.scatter(
        [point.confidence for point in chart.points],
        [point.good for point in chart.points],
        s=[30 + 220 * point.count / most for point in chart.points],
        color=TONES[0],
        alpha=0.8,
        linewidths=0,
        zorder=3,
    )
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("confidence said", color=_SOFT)
    axes.set_ylabel("share judged good", color=_SOFT)
    if chart.ece is not None:
        axes.text(0.02, 0.96, f"expected calibration error {chart.ece:.3f}", color=_INK, va="top")
