"""The growth curves as one picture: four panels, logarithmic axes, one line per system."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.figures import Measurement

PANELS = (
    ("ids and scores, one thread", "One query at a time, one thread", "queries per second"),
    ("batches of 1,000, two threads", "Batches of 1,000 queries, two threads", "queries per second"),
    ("filled with vectors, index included", "Filling, index included", "vectors per second"),
    ("open and first answer", "Open and first answer", "seconds"),
    ("resident", "Resident memory", "MB"),
    ("recall", "Recall@10", "share of the exact ten"),
)
NAMES = {"carma": "CARMA", "chroma": "Chroma", "lancedb": "LanceDB", "faiss": "FAISS alone"}
COLOURS = {"carma": "#0b6e4f", "chroma": "#c1440e", "lancedb": "#3a5fcd", "faiss": "#7a7a7a"}
MARKS = {"carma": "o", "chroma": "s", "lancedb": "^", "faiss": "D"}


def growth_plot(growth: Measurement, path: Path, earlier: Collection[str] = ()) -> Path:
    """Draws the six panels into a PNG file. earlier: systems that were measured in another hour: dashed."""
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 9), constrained_layout=True)
    for axis, (what, title, unit) in zip(axes.flat, PANELS, strict=True):
        for system in NAMES:
            points = _points(growth, system, what)
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    marker=MARKS[system],
                    color=COLOURS[system],
                    linestyle="--" if system in earlier else "-",
                    label=f"{NAMES[system]} (another hour)" if system in earlier else NAMES[system],
                    linewidth=2,
                )
        axis.set_xscale("log")
        if what == "recall":
            axis.set_ylim(0.8, 1.005)
        else:
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_title(title, fontsize=13)
        axis.set_xlabel("fragments")
        axis.set_ylabel(unit)
        axis.grid(True, which="major", alpha=0.3)
    lines, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(lines, names, fontsize=12, ncols=len(names), loc="outside lower center", frameon=False)
    figure.suptitle(
        "Growth: real paragraphs up to 100,000, synthetic vectors at 1,000,000 (two cores)", fontsize=15
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _points(growth: Measurement, system: str, what: str) -> list[tuple[int, float]]:
    wanted = "ids and scores, one thread" if what == "recall" else what
    points = []
    for one in growth.figures:
        if one.system == system and one.what.startswith(f"{wanted} at "):
            value = one.facts["recall@10"] if what == "recall" else one.median
            points.append((one.facts["fragments"], value))
    return sorted(points)
