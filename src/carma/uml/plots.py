"""The mathematics as pictures: f, its inverse, the nine layers, what they leave. Needs the extra `report`.

Curves are drawn from the functions themselves, broken where the function has a pole, so that no line crosses
one. The counts are measured when the picture is made. Rejected: pictures kept in the package, which would
show what the functions were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carma.errors import DomainError, MissingExtra
from carma.uml.compression import POLE, compress, expand, slope
from carma.uml.layers import LAYERS, META_UNITS, count_distinct, count_metas, neighbours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PICTURES", "write_plots"]

_INK, _SOFT, _RULE = "#1c2329", "#5a6672", "#d9dfe5"
_BLUE, _ORANGE, _GREEN = "#0067a8", "#d07c00", "#2a7f62"
_DPI = 150
_POINTS = 400
_COUNTED = 500
_NUMBER = 4e9
"""What a name's hash and digits of Pi may add up to, before the second."""
_SPANS: dict[str, tuple[float, float]] = {
    "compress": (1.0001, 30), "log": (-0.99, 30), "sine": (-15, 15), "root": (-1, 30), "cosine": (-15, 15),
    "exponential": (-3, 3), "tangent": (-5, 5), "hyperbola": (-5, 5), "compress again": (1.0001, 10),
}  # fmt: skip
"""From where to where each layer is drawn."""


def write_plots(folder: Path) -> list[Path]:
    """Write one PNG for each of `PICTURES` into a folder, which is made if need be; their paths.

    Takes a few seconds. Raises MissingExtra where matplotlib is not installed, OSError.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(
            "The pictures need matplotlib.", hint="Install it with `pip install 'carma-memory[report]'`."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (size, draw) in PICTURES.items():
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], format="png", metadata={"Software": None})
    return written


def _compression(figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    _dress(left, "f around its pole and above", "a", "f(a)")
    gap = 1e-3
    for low, high in ((1e-6, POLE - gap), (POLE + gap, 3.0)):
        xs = _between(low, high)
        left.plot(xs, [compress(x) for x in xs], color=_BLUE)
    left.axvline(POLE, color=_ORANGE, linewidth=1, linestyle="--")
    left.axhline(0, color=_RULE, linewidth=1, zorder=0)
    left.set(xlim=(0, 3), ylim=(-4, 4))
    left.annotate("pole at 1/φ = 0.618…", (POLE, 3.4), (8, 0), textcoords="offset points", color=_ORANGE)
    left.plot([1], [0], marker="o", markersize=6, markerfacecolor="white", color=_BLUE)
    left.annotate(
        "removable: f(1) = 0", (1, 0), (10, -16), textcoords="offset points", color=_INK, va="center"
    )
    _dress(right, "f stays below a / 2 and tends to it", "a", "f(a)")
    xs = _between(1.0, 30.0)
    right.plot(xs, [compress(x) for x in xs], color=_BLUE)
    right.plot(xs, [x / 2 for x in xs], color=_SOFT, linestyle="--", linewidth=1)
    for a in (6.0, 10.0, 29.0):
        right.plot([a], [compress(a)], marker="o", markersize=4, color=_BLUE)
        right.annotate(
            f"f({a:.0f}) = {compress(a):.4g}", (a, compress(a)), (-2, -16 if a < 20 else 8),
            textcoords="offset points", color=_INK, ha="right" if a > 20 else "left",
        )  # fmt: skip
    right.annotate("a / 2", (20, 10), (-8, 4), textcoords="offset points", color=_SOFT, ha="right")
    right.set(xlim=(0, 31), ylim=(0, 16))


def _inverse(figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    _dress(left, "The inverse of f", "y", "the a with f(a) = y")
    ys = _between(0.0, 5.0)
    left.plot(ys, [expand(y) for y in ys], color=_BLUE)
    left.plot(ys, [2 * y for y in ys], color=_SOFT, linestyle="--", linewidth=1)
    left.plot([0], [1], marker="o", markersize=4, color=_BLUE)
    left.set(xlim=(0, 5), ylim=(0, 11))
    left.annotate("inverse", (3, expand(3)), (-10, 8), textcoords="offset points", color=_BLUE, ha="right")
    left.annotate("2y", (3, 6), (10, -10), textcoords="offset points", color=_SOFT)
    _dress(right, "How far Newton's method is from it", "y", "relative error")
    ys = [1.05 * 10 ** (at / 100) for at in range(401)]
    errors = [_errors(y) for y in ys]
    right.set(xscale="log", yscale="log", xlim=(1, 1e4), ylim=(1e-17, 1))
    for step, colour in enumerate((_ORANGE, _BLUE, _GREEN)):
        line = [each[step] if each[step] > 3e-16 else math.nan for each in errors]
        right.plot(ys, line, color=colour)
        name = "start" if step == 0 else f"step {step}"
        right.annotate(name, (ys[20], line[20]), (6, 4), textcoords="offset points", color=colour)
    right.axhline(2**-53, color=_SOFT, linestyle="--", linewidth=1)
    right.annotate(
        "half a float's last bit", (300, 2**-53), (0, -12), textcoords="offset points", color=_SOFT
    )


def _errors(y: float) -> list[float]:
    """The relative errors of the start and of the first two Newton steps, for y > 1."""
    right, a, errors = expand(y), 2 * y + 1 / (2 * math.log(2 * y)), []
    for _ in range(3):
        errors.append(abs(a - right) / right)
        a -= (compress(a) - y) / slope(a)
    return errors


def _layers(figure: Any) -> None:
    grid = figure.subplots(3, 3)
    for axes, (at, layer) in zip(grid.flat, enumerate(LAYERS, 1), strict=True):
        _dress(axes, f"{at}. {layer.name}: {layer.formula}", "", "")
        axes.set_xlabel(
            f"{layer.domain}; {'folds' if layer.folds else 'one to one'}", color=_SOFT, fontsize=9
        )
        xs = _between(*_SPANS[layer.name])
        ys = [_value(layer, x) for x in xs]
        if layer.name == "tangent":
            ys = [y if abs(y) < 8 else math.nan for y in ys]
        axes.plot(xs, ys, color=_ORANGE if layer.folds else _BLUE)


def _distinct(figure: Any) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    counts = count_distinct(neighbours(10.0, _COUNTED))
    metas = count_metas(_NUMBER)
    rows = range(len(counts))
    floats = [count.floats for count in counts]
    left.set_yticks(rows, [count.layer for count in counts])
    left.set_xlim(0, _COUNTED * 1.18)
    _bars(left, rows, floats)
    _dress(left, f"{_COUNTED} neighbouring floats from 10 on", "different floats", "")
    right.set(xscale="log", xlim=(1, 2e7))
    _bars(right, rows, [META_UNITS, *(count for _, count in metas)])
    _dress(right, "A million seconds of one user", "different seconds, then different six decimals", "")
    right.tick_params(left=False)
    left.invert_yaxis()


def _bars(axes: Axes, rows: Sequence[int], values: Sequence[int]) -> None:
    axes.barh(rows, values, color=_BLUE, height=0.7)
    for row, value in zip(rows, values, strict=True):
        axes.annotate(
            f"{value:,}", (value, row), (5, 0), textcoords="offset points", va="center", color=_INK,
            fontsize=9,
        )  # fmt: skip


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=11, color=_INK, loc="left", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_SOFT)
    axes.set_xlabel(x, color=_SOFT)
    axes.set_ylabel(y, color=_SOFT)


def _between(low: float, high: float) -> Sequence[float]:
    return [low + (high - low) * at / _POINTS for at in range(_POINTS + 1)]


def _value(layer: Callable[[float], float], x: float) -> float:
    try:
        return layer(x)
    except DomainError:
        return math.nan


PICTURES: dict[str, tuple[tuple[float, float], Callable[[Any], None]]] = {
    "compression": ((10.0, 4.4), _compression),
    "inverse": ((10.0, 4.4), _inverse),
    "layers": ((10.0, 8.0), _layers),
    "distinct": ((10.0, 4.4), _distinct),
}
"""The pictures by the names of their files, each with its size in inches."""
