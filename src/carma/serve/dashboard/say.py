"""How numbers and moments are said: short, in plain words, the same on every page. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["ago", "count", "of_bytes", "percent", "plural", "seconds", "shortened", "when", "why"]

_REASONS = {
    "missing file": "the file that held it is gone",
    "truncated": "its file ends before it does",
    "bad header": "what lies at its place is not its record any more",
    "bad digest": "its bytes are not those that were written",
    "misdirected": "another record lies at its place",
    "unreadable": "the disk does not give its bytes",
}
_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (30, "day"), (12, "month"), (1_000_000, "year"))


def count(number: float) -> str:
    """A number with separators."""
    return f"{number:,.0f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def when(moment: float | None) -> str:
    """Seconds since the epoch as date and time, UTC."""
    if not moment:
        return "never"
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(moment: float | None, now: float) -> str:
    """How long a moment lies back, or ahead."""
    if not moment:
        return "never"
    left = abs(now - moment)
    if left < 2:
        return "just now"
    for size, name in _STEPS:
        if left < size:
            said = plural(int(left), name)
            return f"{said} ago" if now >= moment else f"in {said}"
        left /= size
    return when(moment)


def seconds(value: float) -> str:
    """A duration."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def of_bytes(size: float) -> str:
    """A size, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def percent(part: float | None) -> str:
    """A share, from 0 to 1."""
    return "unknown" if part is None else f"{part * 100:.0f} %"


def why(reason: str) -> str:
    """The reason of a blank, and what the beacon means by it."""
    return f"{reason}: {_REASONS[reason]}" if reason in _REASONS else reason


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: most * 4].split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
