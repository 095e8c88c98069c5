"""The figures of the server, kept in bench/out/serve.json and written into docs/BENCHMARKS.md.

Three programs measure (`bench.serve`, `bench.serve --starts`, `bench.serve_load`); each replaces its own part
and leaves the others as they are.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from bench.machine import describe

__all__ = ["Part", "publish"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "BENCHMARKS.md"
OUT = ROOT / "bench" / "out" / "serve.json"
BEGIN, END = "<!-- server: begin (written by python -m bench.serve --publish) -->", "<!-- server: end -->"

Part = Literal["rates", "start", "load"]
_ASKED = {
    "get": "`get` by id",
    "vector": "`search` with a given vector, 10 hits",
    "cached": "`search` by meaning, its vector cached, 10 hits",
    "text": "`search` by meaning and words, a new text, 10 hits",
}


def publish(part: Part, found: dict[str, Any], command: str) -> None:
    """Keep what was found, and write the page anew. command: what repeats it."""
    known: dict[str, Any] = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    machine = describe(Path(tempfile.gettempdir()))
    known[part] = {"found": found, "command": command, "when": when, "machine": machine}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(known, indent=1), "utf-8")
    writers = {"rates": _rates, "start": _start, "load": _load}
    lines = [line for name, write in writers.items() if name in known for line in _part(known[name], write)]
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    PAGE.write_text(before + "\n".join([BEGIN, "", *lines]) + END + rest.split(END)[1], "utf-8")


def _part(kept: dict[str, Any], write: Any) -> Iterator[str]:
    yield from write(kept["found"])
    machine = kept["machine"]
    yield ""
    yield (
        f"`{kept['command']}`, {kept['when']}, {machine['processor']}, {machine['cores']} cores, "
        f"Python {machine['python']}, load average {machine['load_average'][0]} at the end."
    )
    yield ""


def _rates(found: dict[str, Any]) -> Iterator[str]:
    yield f"Requests a second, {found['fragments']:,} fragments, {found['clients']} connections:"
    yield ""
    yield "| | to reach | signed by attempt keys | static key | in process, alone | overhead | p50 | p99 |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, row in found["rows"].items():
        signed, static = row["signed"], row["static"]
        goal = found["targets"].get("vector" if name == "cached" else name)
        cells = (
            _ASKED[name], f"{goal:,}", f"{signed['per_s']:,.0f}", f"{static['per_s']:,.0f}",
            f"{row['in_process_per_s']:,.0f}", f"{signed['overhead_us']:,} µs", f"{signed['p50_ms']:.1f} ms",
            f"{signed['p99_ms']:.1f} ms",
        )  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def _start(found: dict[str, Any]) -> Iterator[str]:
    yield f"From the start of the process, {found['seats']} seats of {found['fragments']:,} fragments:"
    yield ""
    yield "| | to reach | found |"
    yield "|---|---:|---:|"
    yield f"| ready, median | {found['target_s']:.0f} s | {found['ready_s']:.2f} s |"
    yield f"| ready, slowest of five | | {found['slowest_s']:.2f} s |"
    yield f"| the first request, which opens its seat | | {found['first_request_ms']:.0f} ms |"
    yield f"| every seat was looked at | | {found['all_looked_at_s']:.0f} s |"
    yield f"| resident then | | {found['resident_mb']:.0f} MB |"


def _load(found: dict[str, Any]) -> Iterator[str]:
    resident, states = found["resident_mb"], found["states"]
    yield (
        f"{found['clients']} clients on {found['seats']} accounts for {found['minutes']:g} minutes, every "
        f"verb, one dream after the other, {found['records_damaged']:,} records damaged meanwhile:"
    )
    yield ""
    yield "| | to reach | found |"
    yield "|---|---:|---:|"
    yield f"| calls, a second | | {found['calls']:,}, {found['calls_per_s']:.0f} |"
    yield f"| good | 100 % | {found['success_rate']:.4%} |"
    yield f"| wrong texts | 0 | {found['wrong_texts']} |"
    for name, what in (("outdated", "outdated texts"), ("risen", "deleted, and there again")):
        if name in found:
            yield f"| {what} | 0 | {found[name]} |"
    yield f"| blank | | {states.get('blank', 0)} |"
    yield f"| decoded within the read | | {states.get('repaired', 0):,} |"
    yield f"| dreams, fragments they gave back | | {_sum(found['dreams'])}, {_sum(found['rungs'])} |"
    yield f"| resident after the warm-up | | {resident['warm']:.0f} MB |"
    yield f"| resident at the end | | {resident['end']:.0f} MB |"
    yield f"| growth | {resident['target']:.0f} MB | {resident['growth']:.0f} MB |"
    yield ""
    yield "| verb | calls | p50 | p99 |"
    yield "|---|---:|---:|---:|"
    for name, row in found["verbs"].items():
        yield f"| {name} | {row['calls']:,} | {row['p50_ms']:,.0f} ms | {row['p99_ms']:,.0f} ms |"


def _sum(counts: dict[str, int]) -> str:
    return f"{sum(counts.values()):,}"
