"""The charts of the report as SVG: lengths, heights and labels say what the values say."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.prove.charts import Bar, Bars, Calibration, Line, Lines, Point, histogram, said, svg, ticks


def _parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_bars_are_as_long_as_their_values() -> None:
    """Lengths are in proportion, and each value is written beside its bar."""
    chart = Bars("t", "ms", (Bar("a", 4.0), Bar("b", 1.0), Bar("<c>", 0.0, tone="blank")))
    drawn = _parsed(svg(chart))
    long, short, none = (float(rect.get("width") or 0) for rect in drawn.iter("rect"))
    assert long / short == pytest.approx(4, rel=0.01) and none <= 1
    texts = [text.text for text in drawn.iter("text")]
    assert {"a", "4 ms", "b", "1 ms", "<c>", "0 ms"} <= set(texts)


@pytest.mark.parametrize("log", [False, True])
def test_lines_rise_where_their_values_rise(log: bool) -> None:
    """Higher values lie higher, on either axis, inside the drawing; labels at the ends do not overlap."""
    lines = tuple(Line(f"line {n}", ((0, 1 + n / 100), (1, 10 + n / 100), (2, 1000)), n) for n in range(5))
    drawn = _parsed(svg(Lines("t", "x", "y", lines, log=log)))
    high = float((drawn.get("viewBox") or "").split()[3])
    for polyline in drawn.iter("polyline"):
        ys = [float(point.split(",")[1]) for point in (polyline.get("points") or "").split()]
        assert high > ys[0] > ys[1] > ys[2] > 0
    ends = sorted(
        float(text.get("y") or 0) for text in drawn.iter("text") if "end" in (text.get("class") or "")
    )
    assert len(ends) == 5 and min(b - a for a, b in itertools.pairwise(ends)) >= 14
    assert ends[0] > 0 and ends[-1] < high


def test_a_calibrated_point_lies_on_the_diagonal() -> None:
    """Confidence runs to the right and goodness upwards, on axes of the same length."""
    drawn = _parsed(svg(Calibration("t", (Point(0.0, 0.0, 1), Point(0.5, 0.5, 4), Point(1.0, 1.0, 1)), 0.0)))
    diagonal = next(line for line in drawn.iter("line") if line.get("class") == "diagonal")
    x1, y1, x2, y2 = (float(diagonal.get(name) or 0) for name in ("x1", "y1", "x2", "y2"))
    dots = [(float(c.get("cx") or 0), float(c.get("cy") or 0)) for c in drawn.iter("circle")]
    assert dots == [(x1, y1), ((x1 + x2) / 2, (y1 + y2) / 2), (x2, y2)]


def test_a_histogram_counts_every_value_once() -> None:
    """Values at the edges of the bins, below zero and at one fall in one bin each."""
    values = [-1.0, -0.2, 0.0, 0.1, 0.5, 0.9, 1.0, 1.0]
    chart = histogram("t", "fragments", values)
    assert sum(bar.value for bar in chart.bars) == len(values)
    assert chart.bars[-1].value == 3


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
@settings(deadline=None)
def test_ticks_are_few_ascending_and_inside(low: float, span: float) -> None:
    """Any span has between two and twelve round marks, all of them in it."""
    marks = ticks(low, low + span)
    assert 1 <= len(marks) <= 12
    assert marks == sorted(set(marks))
    slack = span * 1e-6 + abs(low) * 1e-9
    assert low - slack <= marks[0] and marks[-1] <= low + span + slack


def test_numbers_are_said_with_three_figures() -> None:
    """Whole numbers whole, thousands apart, small ones never as nothing."""
    assert [said(v) for v in (0, 12, 1234567, 0.87412, 3.456, 45.67, 1234.5, 0.00004)] == [
        "0",
        "12",
        "1,234,567",
        "0.874",
        "3.46",
        "45.7",
        "1,234",
        "4e-05",
    ]
