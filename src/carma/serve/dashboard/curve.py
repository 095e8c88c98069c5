"""A curve as a picture: the mean score of what is reconstructed, dream by dream.

Only numbers go into it, so the markup is ours from end to end.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["curve"]

_WIDE, _HIGH = 560, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 14, 28


def curve(points: Sequence[tuple[int, float]], name: str) -> str:
    """SVG of a line. points: number of the dream, and a value from 0 to 1. name: plain words of ours."""
    first, last = points[0][0], points[-1][0]
    span = max(last - first, 1)
    high, wide = _HIGH - _TOP - _BOTTOM, _WIDE - _LEFT - _RIGHT

    def at(point: tuple[int, float]) -> tuple[float, float]:
        share = (point[0] - first) / span if last > first else 0.5
        return _LEFT + share * wide, _TOP + (1 - min(max(point[1], 0.0), 1.0)) * high

    places = [at(point) for point in points]
    parts = [f'<svg class="curve" viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{name}">']
    for share in (0.0, 0.5, 1.0):
        y = _TOP + (1 - share) * high
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share * 100:.0f} %</text>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline class="line" points="{path}"/>')
    for (cycle, value), (x, y) in zip(points, places, strict=True):
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>dream {cycle:d}: {value:.2f}</title></circle>"
        )
    for cycle, (x, _) in {points[0][0]: places[0], points[-1][0]: places[-1]}.items():
        anchor = "middle" if last == first else "start" if cycle == first else "end"
        parts.append(f'<text x="{x:.1f}" y="{_HIGH - 6}" text-anchor="{anchor}">dream {cycle:d}</text>')
    return "".join([*parts, "</svg>"])
