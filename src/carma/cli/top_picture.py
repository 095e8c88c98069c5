"""How `carma top` looks: one screen of 80 columns, and the same as plain lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from carma.cli.output import one_line
from carma.cli.show import when

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["duration", "rows_of", "size", "top_picture"]

Row = tuple[str, str]

_MOST_OPERATIONS = 12
_MOST_NAMED = 4
_STYLES = {"ready": "green", "healthy": "green", "degraded": "yellow", "unready": "bold red"}
_HEADS = ("operation", "per s", "p50 ms", "p99 ms", "refused/s", "failed/s")


def rows_of(view: Mapping[str, Any]) -> Iterator[Row]:
    """A view as rows of a name and a short sentence."""
    yield from _server(view) if "server" in view else _memory(view)


def _server(view: Mapping[str, Any]) -> Iterator[Row]:
    seats, process, healing = view["seats"], view["process"], view["healing"]
    why = f" ({', '.join(view['reasons'])})" if view["reasons"] else ""
    yield "status", f"{view['status']}{why}, up {duration(view['up_s'])}"
    yield (
        "seats",
        (
            f"{seats.get('taken', 0)} of {seats.get('capacity', 0)} taken, {seats.get('open', 0)} open, "
            f"{seats.get('looked_at', 0)} looked at"
        ),
    )
    if seats["degraded"]:
        yield (
            "degraded",
            _named(f"{each['seat']}: {one_line(str(each['reason']))}" for each in seats["degraded"]),
        )
    yield from _fragments(view)
    asked = view["requests"]
    yield (
        "requests",
        (
            f"{_rate(asked['per_s'])}/s, p50 {_ms(asked['p50_ms'])}, p99 {_ms(asked['p99_ms'])}, "
            f"refused {_rate(asked['refused_per_s'])}/s, failed {_rate(asked['failed_per_s'])}/s"
        ),
    )
    yield "keys", _named(f"{name} {_rate(rate)}/s" for name, rate in _largest(view["keys"]))
    yield "dreams", _dreams(healing)
    if healing["scan_total_bytes"]:
        done, total = healing["scan_done_bytes"], healing["scan_total_bytes"]
        yield "scan", f"{size(done)} of about {size(total)}"
    if healing["oldest_look_s"]:
        ages = (f"{depth} {duration(age)} ago" for depth, age in healing["oldest_look_s"].items())
        yield "oldest look", _named(ages)
    for name in ("rungs", "findings"):
        if healing[name]:
            yield name, _named(f"{each} {count:,.0f}" for each, count in _largest(healing[name]))
    yield (
        "process",
        (
            f"{size(process['resident_bytes'])} resident, {process['cpu']:.0%} of a core, "
            f"{process['connections']:.0f} connections"
        ),
    )
    yield (
        "held",
        (
            f"{process['calls']:.0f} calls, {process['streams']:.0f} streams, "
            f"{size(process['bodies_bytes'])} of bodies, {process['evicted']:.0f} evicted"
        ),
    )


def _memory(view: Mapping[str, Any]) -> Iterator[Row]:
    yield "status", f"{view['status']}{', mass damage' if view['breaker'] else ''}"
    yield from _fragments(view)
    speed = "" if view["writes_per_s"] is None else f", {_rate(view['writes_per_s'])}/s"
    yield "writes", f"{view['writes']:,}{speed}; {view['versions']:,} versions, {view['deleted']:,} deleted"
    if view["gaps"]:
        yield "gaps", f"{view['gaps']:,} writes that nothing names"
    sizes = sorted(view["bytes"].items(), key=lambda each: -each[1])
    yield "bytes", _named(f"{name} {size(count)}" for name, count in sizes if count)
    for dream in view["dreams"]:
        yield (
            f"dream {dream['cycle']}",
            (
                f"{dream['status']}, {when(dream['started'])}, took {dream['actual_s']:.1f} s"
                + "".join(f", {rung} {count:,}" for rung, count in list(dream["rungs"].items())[:_MOST_NAMED])
            ),
        )


def _fragments(view: Mapping[str, Any]) -> Iterator[Row]:
    yield "fragments", ", ".join(f"{count:,.0f} {state}" for state, count in view["fragments"].items())
    yield "vectors", ", ".join(f"{count:,.0f} {state}" for state, count in view["vectors"].items())


def _dreams(healing: Mapping[str, Any]) -> str:
    ended = [f"{count:,.0f} {status}" for status, count in sorted(healing["dreams"].items())]
    now = f"{healing['dreams_waiting']:.0f} run or wait"
    if healing["steps_total"]:
        now += f", step {healing['steps_done']:,.0f} of {healing['steps_total']:,.0f}"
    return "; ".join([now, *ended])


def top_picture(view: Mapping[str, Any], at: float) -> RenderableType:
    """A view for a terminal. at: the moment it is of, seconds since the epoch."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text("CARMA ", style="bold")
    head.append(one_line(str(view.get("server") or view.get("memory"))), style="cyan")
    head.append(f"  {when(at)}", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows_of(view):
        style = _STYLES.get(str(view["status"]), "red") if name == "status" else ""
        table.add_row(Text(name), Text(one_line(value), style=style))
    parts: list[RenderableType] = [head, Text(), table]
    if view.get("operations"):
        parts += [Text(), _operations(view["operations"])]
    return Group(*parts)


def _operations(rows: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, head in enumerate(_HEADS):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in rows[:_MOST_OPERATIONS]:
        table.add_row(
            row["operation"], _rate(row["per_s"]), _number(row["p50_ms"]), _number(row["p99_ms"]),
            _rate(row["refused_per_s"]), _rate(row["failed_per_s"]),
        )  # fmt: skip
    return table


def _largest(counts: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(counts.items(), key=lambda each: -each[1])


def _named(words: Iterable[str]) -> str:
    """The first few of several, and how many there are besides."""
    found = list(words)
    rest = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "") or "none"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def size(count: float) -> str:
    """Bytes in units of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left, parts = int(seconds), list[str]()
    for name, length in units:
        count, left = divmod(left, length)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
