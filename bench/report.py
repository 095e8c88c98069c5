"""Writes what was measured: one JSON file, one Markdown page, one picture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.figures import Figure, Measurement


def write(
    out: Path, machine: dict[str, Any], measurements: list[Measurement], command: str, order: Iterable[str]
) -> list[Path]:
    """Writes `figures.json`, `BENCHMARKS.md` and, where growth was measured, `growth.png`; the paths written.

    Measurements already in `figures.json` stay unless they were taken again, so that a table can be filled
    bit by bit; each one keeps the command and the machine's state of its own run. order: of the names.
    """
    path = out / "figures.json"
    known = json.loads(path.read_text()) if path.exists() else {"measurements": {}}
    for one in measurements:
        known["measurements"][one.name] = one.to_dict() | {"machine": machine}
    known |= {"machine": machine, "command": command}
    known["measurements"] = {
        name: known["measurements"][name] for name in order if name in known["measurements"]
    }
    path.write_text(json.dumps(known, indent=1))
    everything = [
        Measurement.from_dict({k: v for k, v in m.items() if k != "machine"})
        for m in known["measurements"].values()
    ]
    page = out / "BENCHMARKS.md"
    page.write_text(markdown(machine, everything))
    written = [path, page]
    grown = next((m for m in everything if m.name == "growth" and m.figures), None)
    if grown:
        from bench.plot import growth_plot

        written.append(growth_plot(grown, out / "growth.png"))
    return written


def markdown(machine: dict[str, Any], measurements: Iterable[Measurement]) -> str:
    """The page: the machine, the goals, then one table per measurement."""
    everything = list(measurements)
    lines = ["# Benchmarks", "", *_machine(machine), "", "## Goals", "", *_goals(everything), ""]
    for one in everything:
        lines += [f"## {one.title[0].upper()}{one.title[1:]}", "", *_table(one), ""]
        lines += [f"- {note}" for note in one.notes] + ([""] if one.notes else [])
        lines += [f"`{one.command}`, {one.seconds:.0f} s. {one.taken}", ""]
    return "\n".join(lines)


def _machine(machine: dict[str, Any]) -> list[str]:
    sync = machine["fdatasync_ms"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}.",
        f"One `fdatasync` of 4 KiB on its disk: median {sync['median']} ms, 95 % within {sync['p95']} ms.",
        f"Load average at the start {machine['load_average'][0]}. {machine['when']}.",
        "",
        f"Python {machine['python']}, {versions}.",
    ]


def _goals(measurements: list[Measurement]) -> list[str]:
    lines = ["| measurement | goal | reached | |", "|---|---|---|---|"]
    for one in measurements:
        for goal in one.goals:
            sign = "≥" if goal.at_least else "≤"
            reached = "–" if goal.reached is None else _number(goal.reached)
            verdict = {True: "yes", False: "**no**", None: "not measured"}[goal.met]
            lines.append(
                f"| {one.title} | {sign} {_number(goal.needed)} {goal.text} | {reached} | {verdict} |"
            )
    return lines


def _table(one: Measurement) -> list[str]:
    if not one.figures:
        return ["Nothing was measured."]
    lines = ["| system | what | median | lowest – highest round | |", "|---|---|---|---|---|"]
    for figure in one.figures:
        low, high = min(figure.values), max(figure.values)
        spread = f"{_number(low)} – {_number(high)}" if len(figure.values) > 1 else ""
        cells = [
            figure.system,
            figure.what,
            f"{_number(figure.median)} {figure.unit}",
            spread,
            _facts(figure),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _facts(figure: Figure) -> str:
    return "; ".join(f"{name}: {value}" for name, value in figure.facts.items() if value not in (None, ""))


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


BEGIN, END = "<!-- figures: begin (written by python -m bench.report) -->", "<!-- figures: end -->"


def publish(figures: Path, page: Path) -> None:
    """Puts the figures of a run between the two marks of `page`, and the growth picture beside it."""
    known = json.loads(figures.read_text())
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    body = (figures.parent / "BENCHMARKS.md").read_text().split("\n", 2)[2]
    picture = figures.parent / "growth.png"
    if picture.exists():
        (page.parent / "growth.png").write_bytes(picture.read_bytes())
        body += "\n![Six panels: queries, filling, opening, memory and recall by size](growth.png)\n"
    page.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    print(f"{page}: figures of {known['machine']['when']}")


if __name__ == "__main__":
    publish(Path("bench/out/figures.json"), Path("docs/BENCHMARKS.md"))
