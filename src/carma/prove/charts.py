"""Charts as values, and as SVG text: bars, lines and the calibration diagram.

A chart says what is shown; `svg` says how, in one place, so the report's page and its pictures
(prove/pictures.py) show the same. Values stand beside their bars and names at the end of their lines, so no
legend has to be looked up. A chart library in the page was rejected: the page has to work offline, and
these are rectangles and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

__all__ = [
    "Bar",
    "Bars",
    "Calibration",
    "Chart",
    "Line",
    "Lines",
    "Point",
    "histogram",
    "said",
    "svg",
    "ticks",
]

WIDTH = 480
"""Units of every chart's drawing; the page scales it."""

_LEFT, _RIGHT = 132, 82
_ROW, _GROUP = 20, 12
_HIGH = 270


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. group: bars of one group stand together under its name; tone: 0 to 5, or a state's name."""

    name: str
    value: float
    group: str = ""
    tone: int | str = 0


@dataclass(frozen=True, slots=True)
class Bars:
    """Lying bars from 0. unit: of the values, shown with them and at the axis."""

    title: str
    unit: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. points: (x, y), x ascending; tone: 0 to 5."""

    name: str
    points: tuple[tuple[float, float], ...]
    tone: int = 0


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over one axis. log: y by powers of ten, all values being above 0; whole: x counts something;
    marks: x is a measure, so its axis has numbers.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    log: bool = False
    whole: bool = False
    low: float | None = None
    high: float | None = None
    marks: bool = True

    def label(self, line: Line) -> str:
        """What stands at the end of a line: its name, and its last value where x is a measure."""
        return f"{line.name} {said(line.points[-1][1])}" if self.marks else line.name


@dataclass(frozen=True, slots=True)
class Point:
    """Of `count` cases with this mean confidence, the share `good` was good."""

    confidence: float
    good: float
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against the share that was good; on the diagonal it is calibrated. ece: its mean distance
    from there.
    """

    title: str
    points: tuple[Point, ...]
    ece: float | None = None


Chart = Bars | Lines | Calibration


def histogram(title: str, unit: str, values: Sequence[float], bins: int = 10) -> Bars:
    """How many of the values fall in each of `bins` equal spans; empty spans at both ends are left out."""
    low, high = min(0.0, min(values)), max(1.0, max(values))
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    first = next(at for at, count in enumerate(counts) if count)
    last = max(at for at, count in enumerate(counts) if count)
    step = (high - low) / bins
    bars = tuple(
        Bar(f"{low + at * step:.2f} to {low + (at + 1) * step:.2f}", counts[at])
        for at in range(first, last + 1)
    )
    return Bars(title, unit, bars)


def svg(chart: Chart) -> str:
    """The chart as one `<svg>` element that takes its colours from the page. The same chart gives the same
    text.
    """
    if isinstance(chart, Bars):
        body, high = _bars(chart)
    elif isinstance(chart, Lines):
        body, high = _lines(chart), _HIGH
    else:
        body, high = _calibration(chart), _HIGH + 30
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {high}" role="img" '
        f'aria-label="{escape(chart.title)}: {escape(spoken(chart))}">{body}</svg>'
    )


def spoken(chart: Chart) -> str:
    """The chart in words, for who cannot see it."""
    if isinstance(chart, Bars):
        return "; ".join(
            f"{(bar.group + ' ' + bar.name).strip()} {said(bar.value)} {chart.unit}".strip()
            for bar in chart.bars
        )
    if isinstance(chart, Lines):
        return "; ".join(
            f"{line.name} from {said(line.points[0][1])} to {said(line.points[-1][1])}"
            for line in chart.lines
            if line.points
        )
    return "; ".join(f"confidence {p.confidence:.2f}: {p.good:.0%} of {p.count} good" for p in chart.points)


def said(value: float) -> str:
    """A number as a person reads it: three figures, thousands separated, whole numbers whole."""
    if not isfinite(value):
        return str(value)
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    text = f"{value:.{digits}f}"
    return text if float(text) else f"{value:.1g}"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about as many as asked for."""
    if high <= low:
        high = low + 1
    raw = (high - low) / about
    size = 10.0 ** floor(log10(raw))
    step = next(step for step in (size, 2 * size, 5 * size, 10 * size) if step >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, floor(high / step + 1e-9) + 1)]


def _bars(chart: Bars) -> tuple[str, int]:
    most = max((bar.value for bar in chart.bars), default=0.0) or 1.0
    room = WIDTH - _LEFT - _RIGHT
    out, y, group = [], 8, None
    for bar in chart.bars:
        if bar.group != group and group is not None:
            y += _GROUP
        name = f"{bar.group}, {bar.name}" if bar.group else bar.name
        group = bar.group
        wide = max(0.0, bar.value / most * room)
        unit = f" {chart.unit}" if len(chart.unit) < 4 else ""
        out.append(
            f'<text class="name" x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="tone-{escape(str(bar.tone))}" x="{_LEFT}" y="{y + 3}" '
            f'width="{max(wide, 1):.1f}" height="{_ROW - 6}"/>'
            f'<text class="value" x="{_LEFT + wide + 6:.1f}" y="{y + 14}">'
            f"{escape(said(bar.value) + unit)}</text>"
        )
        y += _ROW
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="4" y2="{y + 4}"/>')
    out.append(f'<text class="axis-name" x="{_LEFT}" y="{y + 20}">{escape(chart.unit)}, from 0</text>')
    return "".join(out), y + 28


def _lines(chart: Lines) -> str:
    left, right, top, bottom = 52, WIDTH - 146, 14, _HIGH - 46
    points = [point for line in chart.lines for point in line.points]
    xs, ys = [x for x, _ in points], [log10(y) if chart.log else y for _, y in points]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_marks = _decades(min(ys) - 0.1, max(ys) + 0.1) if chart.log else _ticks_over(*_span(chart, ys))
    y_low, y_high = min(*y_marks, *ys), max(*y_marks, *ys)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) if len(set(xs)) > 1 else 0.5
        return left + across * (right - left), bottom - (y - y_low) / ((y_high - y_low) or 1) * (bottom - top)

    out = []
    for mark in y_marks:
        y = at(x_low, mark)[1]
        label = _mark(float(f"{10**mark:.3g}") if chart.log else mark)
        out.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for mark in ticks(x_low, x_high) if len(set(xs)) > 1 else sorted(set(xs)):
        if not chart.marks or (chart.whole and mark != int(mark)):
            continue
        x = at(mark, y_low)[0]
        out.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_mark(mark)}</text>'
        )
    ends: list[tuple[float, int, str]] = []
    for line in chart.lines:
        tone = line.tone % 6
        dots = [at(x, log10(y) if chart.log else y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        out.append(f'<polyline class="line-{tone}" points="{path}"/>')
        if len(dots) <= 12:
            out += [f'<circle class="tone-{tone}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>' for x, y in dots]
        ends.append((dots[-1][1], tone, chart.label(line)))
    for y, tone, text in _apart(ends, top, bottom):
        out.append(f'<text class="end text-{tone}" x="{right + 9}" y="{y + 4:.1f}">{escape(text)}</text>')
    out += _axis_names((left + right) / 2, _HIGH - 8, chart.x, (top + bottom) / 2, chart.y)
    return "".join(out)


def _ticks_over(low: float, high: float) -> list[float]:
    """Ticks of which the last is not below `high`."""
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    return [*marks, round(marks[-1] + step, 12)] if step and marks[-1] < high - step * 1e-6 else marks


def _mark(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _axis_names(x: float, below: float, across: str, y: float, upwards: str) -> list[str]:
    turned = f'transform="translate(13 {y}) rotate(-90)"'
    return [
        f'<text class="axis-name" x="{x}" y="{below}" text-anchor="middle">{escape(across)}</text>',
        f'<text class="axis-name" {turned} text-anchor="middle">{escape(upwards)}</text>',
    ]


def _span(chart: Lines, ys: Sequence[float]) -> tuple[float, float]:
    return (
        chart.low if chart.low is not None else min(ys),
        chart.high if chart.high is not None else max(ys),
    )


def _decades(low: float, high: float) -> list[float]:
    """Logarithms of the powers of ten in a range of logarithms, with their double and fivefold where it is
    short.
    """
    steps = (0.0,) if high - low > 2.5 else (0.0, log10(2), log10(5))
    marks = [n + step for n in range(floor(low) - 1, ceil(high) + 1) for step in steps]
    return [mark for mark in marks if low <= mark <= high]


def _apart(ends: list[tuple[float, int, str]], top: float, bottom: float) -> list[tuple[float, int, str]]:
    """The labels at the ends of lines, moved just so far that none lies over another."""
    down: list[tuple[float, int, str]] = []
    for y, tone, text in sorted(ends):
        down.append((max(y, down[-1][0] + 15) if down else max(y, top), tone, text))
    up: list[tuple[float, int, str]] = []
    for y, tone, text in reversed(down):
        up.append((min(y, up[-1][0] - 15) if up else min(y, bottom), tone, text))
    return up[::-1]


def _calibration(chart: Calibration) -> str:
    side, left, top = 232, 62, 12

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * side, top + (1 - y) * side

    out = [f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>']
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(mark, mark)
        out.append(f'<text class="tick" x="{x}" y="{top + side + 17}" text-anchor="middle">{mark:g}</text>')
        out.append(f'<text class="tick" x="{left - 6}" y="{y + 4}" text-anchor="end">{mark:g}</text>')
    out.append(f'<line class="diagonal" x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}"/>')
    most = max((point.count for point in chart.points), default=1)
    for point in chart.points:
        x, y = at(point.confidence, point.good)
        radius = 3 + 9 * (point.count / most) ** 0.5
        out.append(
            f'<line class="miss" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" '
            f'y2="{at(0, point.confidence)[1]:.1f}"/>'
        )
        out.append(f'<circle class="tone-0 bubble" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
    note = [f"{sum(p.count for p in chart.points):,} reconstructions"]
    if chart.ece is not None:
        note += ["calibration error", f"{chart.ece:.3f}"]
    bold = len(note)
    note += ["", "Larger dots stand", "for more cases. On", "the dashed line the", "confidence is right."]
    for row, text in enumerate(note):
        weight = "value" if row < bold else "axis-name"
        out.append(
            f'<text class="{weight}" x="{left + side + 18}" y="{top + 20 + 20 * row}">{escape(text)}</text>'
        )
    out += _axis_names(
        left + side / 2, top + side + 40, "confidence said", top + side / 2, "share judged good"
    )
    return "".join(out)
