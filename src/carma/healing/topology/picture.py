"""The topology as a PNG, one panel a moment, with the same positions in each. Needs the extra `report`
(matplotlib).

matplotlib's Agg canvas is used as an object, without pyplot: nothing global is changed, and no display is
needed.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from carma.errors import MissingExtra
from carma.healing.topology.layout import Arrangement, Positions, arrange
from carma.healing.topology.palette import LIGHT, MARKERS
from carma.healing.topology.views import STATES, Topologies, View, Views, united
from carma.models import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PANEL", "png", "write_png"]

PANEL = (800, 900)
"""Pixels of one panel, width and height; up to three panels stand side by side."""

_DPI = 100
_INK = "#1c2329"
_LINE = "#ccd3da"
_THREAD = "#7a5ea8"
_GROUND = "#f3f5f7"
_MOST_THREADS = 3_000
_MOST_LABELS = 14
_LABEL = 22  # characters
_ROOM = 40  # points that a disc is wide to have a label


def write_png(topologies: Topologies, path: str | Path) -> None:
    """Writes `png` to a file. Raises MissingExtra, InvalidInput as `united`, OSError."""
    Path(path).write_bytes(png(topologies))


def png(topologies: Topologies) -> bytes:
    """The picture: n panels are min(n, 3) · 800 pixels wide and ceil(n / 3) · 900 high.

    Raises MissingExtra where matplotlib is not installed, InvalidInput as `united`.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(
            "A PNG needs matplotlib.",
            hint="Install it with `pip install 'carma-memory[report]'`, or write .html or .json.",
        ) from error
    views = united(topologies)
    places = arrange(views.union)
    across = min(len(views.views), 3)
    down = ceil(len(views.views) / across)
    figure = Figure(figsize=(across * PANEL[0] / _DPI, down * PANEL[1] / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 44 / (PANEL[1] * down), 0.01, 0.09)
    for number, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if number < len(views.views):
            _panel(axes, views, views.views[number], places)
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # it draws boxes for other scripts
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(axes: Axes, views: Views, view: View, places: Arrangement) -> None:
    from matplotlib.collections import LineCollection, PathCollection

    total = len(view.spots)
    axes.set_title(f"{_shown(view.title, 40)}: {total:,} fragments", color=_INK, fontsize=17, pad=8)
    if not len(places.positions):
        return
    positions = places.positions
    unit = _fit(axes, places)
    _grounds(axes, view, places)
    links = [
        (positions[place], positions[views.places[spot.parent]])
        for place, spot in view.spots.items()
        if spot.parent is not None and spot.parent in views.places
    ]
    axes.add_collection(
        LineCollection(links, colors=_LINE, linewidths=min(1.2, max(0.2, unit * 0.06)), zorder=2)
    )
    threads = sorted(view.topology.threads, key=lambda thread: -thread.weight)[:_MOST_THREADS]
    ends = [
        (positions[views.places[thread.first]], positions[views.places[thread.second]])
        for thread in threads
        if thread.first in views.places and thread.second in views.places
    ]
    alpha = max(0.04, min(0.5, 40 / (len(ends) + 1)))
    axes.add_collection(LineCollection(ends, colors=_THREAD, linewidths=0.6, alpha=alpha, zorder=1.5))
    for state in STATES:
        _dots(axes, view, state, positions, unit)
    _labels(axes, view, places, unit)
    keys = axes.legend(
        loc="lower center",
        ncols=4,
        frameon=False,
        fontsize=14,
        labelcolor=_INK,
        handletextpad=0.1,
        columnspacing=0.9,
    )
    for key in keys.legend_handles:
        if isinstance(key, PathCollection):
            key.set_sizes([70])


def _fit(axes: Axes, places: Arrangement) -> float:
    """Shows everything in the middle, above the legend, equally scaled. Returns the points for a distance
    of 1.
    """
    box = axes.get_window_extent()
    reach = np.maximum(places.radii, 0.8)[:, None]
    low = np.minimum(places.positions, places.centres - reach).min(axis=0) - 0.4
    high = np.maximum(places.positions, places.centres + reach).max(axis=0) + 0.4
    legend = 46 * _DPI / 72
    unit = min(box.width / (high[0] - low[0]), (box.height - legend) / (high[1] - low[1]))  # in pixels
    x, y = (low + high) / 2
    y += legend / unit / 2
    axes.set_xlim(x - box.width / unit / 2, x + box.width / unit / 2)
    axes.set_ylim(y + box.height / unit / 2, y - box.height / unit / 2)  # downwards, as on the page
    return float(unit) * 72 / _DPI


def _grounds(axes: Axes, view: View, places: Arrangement) -> None:
    """A pale disc behind each subtree near the root."""
    from matplotlib.collections import EllipseCollection

    wanted = [n for n, spot in view.spots.items() if spot.level <= 1 and places.radii[n] > 0]
    if wanted:
        wide = 2 * places.radii[wanted]
        axes.add_collection(
            EllipseCollection(
                wide,
                wide,
                np.zeros(len(wanted)),
                units="xy",
                offsets=places.centres[wanted],
                offset_transform=axes.transData,
                facecolors=_GROUND,
                edgecolors="#e3e7eb",
                linewidths=0.5,
                zorder=1,
            )
        )


def _dots(axes: Axes, view: View, state: State, positions: Positions, unit: float) -> None:
    wanted = [place for place, spot in view.spots.items() if spot.state == state]
    smallest = 1.8 if state == "intact" else 4.2  # points; what is not intact is seen at any number
    wide = min(9.0, max(smallest, unit * 0.55)) * (0.9 if state == "intact" else 1.1)
    axes.scatter(
        positions[wanted, 0],
        positions[wanted, 1],
        s=wide**2,
        marker=MARKERS[state],
        zorder=3 + STATES.index(state),
        facecolors="none" if state == "blank" else LIGHT[state],
        linewidths=1.1 if state == "blank" else 0,
        edgecolors=LIGHT[state],
        label=f"{state} {len(wanted):,}",
    )


def _labels(axes: Axes, view: View, places: Arrangement, unit: float) -> None:
    """The names of the largest subtrees, where there is room for them."""
    largest = sorted(
        (n for n, spot in view.spots.items() if places.radii[n] * unit > _ROOM and spot.label.strip()),
        key=lambda place: -places.radii[place],
    )
    taken: list[tuple[float, float]] = []
    left, right = axes.get_xlim()
    width = (right - left) * 0.27
    for place in largest:
        x, y = places.centres[place][0], places.centres[place][1] - places.radii[place] * 0.92
        if len(taken) == _MOST_LABELS:
            break
        if any(abs(x - a) < width and abs(y - b) < width * 0.14 for a, b in taken):
            continue
        taken.append((x, y))
        axes.text(
            x,
            y,
            _shown(view.spots[place].label, _LABEL),
            color=_INK,
            fontsize=11,
            ha="center",
            va="center",
            zorder=9,
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )


def _shown(text: str, most: int) -> str:
    """One line of printable characters; matplotlib's own font has no more than a few scripts."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
