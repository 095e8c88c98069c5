"""The figures of docs/PROOF.md, by one command: `python -m bench.proof [--only ROW ...] [--data DIR] [--seeds
N]`.

    damage     this project's documentation, 5 % lost, each kind of damage, everything else left as it is
    none       LoCoMo, 5 % of the turns lost with all that could give them back exactly but the index
    sketch     the same without the index: 5 %, 10 % and 30 %
    pages      this project's documentation without the index, 5 %
    curve      the same at 5 %, by bytes of the sketch
    calibration    the confidence of what sketches of 12 to 64 bytes give back (see bench.calibration)
    scale      100,000 fragments, 5 % lost (see bench.scale)

Rows that are not asked for keep the figures they have. What a row needs of other conversations' data is left
out, and said to be, where there is none: LoCoMo may not be taken along (CC BY-NC 4.0), so no text of it is
written down.

The figures of several conversations are means over fragments, or over questions; not means of means.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.calibration import UNSEEN, calibrated
from bench.machine import describe
from bench.proof_page import goals_of, publish
from bench.reconstruction import Timed
from bench.scale import FRAGMENTS, measured
from carma.embed import MiniLM
from carma.prove.experiment import Plan, Run, conduct
from carma.prove.figures import figures
from carma.prove.outcome import Outcome, calibration, counts, means, outcomes

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "bench" / "out" / "proof.json"
DATA = ROOT.parent / "shared" / "data" / "locomo"

FITTED = ("26", "30", "41")
"""Conversations that the confidence was fitted on (`tools/fit_confidence.py`); it is judged on the others."""
KINDS = ("delete", "flip", "truncate", "file", "mixed")
LOSSES = (0.05, 0.1, 0.3)
CURVE_BYTES = (0, 48, 64, 96, 192, 448)
QUERIES = 1000
OWN_DATA = ("damage", "pages", "scale")
"""Rows that need nobody else's data."""


@dataclass
class Pool:
    """What several experiments gave, put together."""

    outcomes: list[Outcome] = field(default_factory=list)
    unseen: list[Outcome] = field(default_factory=list)
    """Those of conversations on which nothing was fitted."""
    reports: list[dict[str, Any]] = field(default_factory=list)

    def add(self, run: Run, embedder: MiniLM) -> None:
        found = outcomes(run.corpus.originals, run.final, embedder)
        self.outcomes += found
        if not set(FITTED) & {path.stem for path in run.plan.paths}:
            self.unseen += found
        self.reports.append(figures(run, embedder))

    def evidence(self, stage: str, of: str = "evidence_recall_at_10") -> float | None:
        """Evidence recall over all questions of all experiments."""
        rows = [(each["judge"]["questions"], each["judge"][of][stage]) for each in self.reports]
        known = [(count, value) for count, value in rows if count and value is not None]
        total = sum(count for count, _ in known)
        return round(sum(count * value for count, value in known) / total, 4) if total else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        rebuilt = [each for each in self.outcomes if each.reconstructed]
        reports = self.reports
        before, healed = self.evidence("before"), self.evidence("healed")
        return {
            "experiments": len(reports),
            "fragments": sum(each["fragments"] for each in reports),
            "lost": sum(each["lost"] for each in reports),
            **counts(self.outcomes),
            "asked": sum(sum(each["asked"].values()) for each in reports),
            "asked_while_dreaming": sum(each["asked"].get("dreaming", 0) for each in reports),
            "failed_queries": sum(each["failed_queries"] for each in reports),
            "wrong_answers": sum(each["wrong_answers"] for each in reports),
            "downtime_ms": max(each["downtime_ms"] for each in reports),
            "longest_wait_ms": max(max(each["longest_wait_ms"].values()) for each in reports),
            "reconstructed_only": means(rebuilt),
            "all_lost": means(self.outcomes),
            "good": round(sum(each.good for each in rebuilt) / len(rebuilt), 4) if rebuilt else None,
            "calibration": calibration([each for each in self.unseen if each.reconstructed]),
            "rungs": _summed(each["rungs"] for each in reports),
            "evidence": {
                "before": before,
                "damaged": self.evidence("damaged"),
                "healed": healed,
                "healed_to_before": round(healed / before, 4) if before and healed else None,
            },
            "overlap": [each["answer_overlap_at_10"] for each in reports],
            "score_never_falls": all(map(_never_falls, reports)),
            "cycles": [each["curves"]["cycles"] for each in reports],
            "latency_ms": [each["latency_ms"] for each in reports],
            "dream_s": round(sum(each["dream"]["actual_s"] for each in reports), 2),
            "took_s": round(sum(each["took_s"] for each in reports), 1),
        }


def _never_falls(report: dict[str, Any]) -> bool:
    scores = [each["score"] for each in report["curves"]["cycles"] if each["score"] is not None]
    return all(later >= earlier - 1e-6 for earlier, later in pairwise(scores))


def _summed(counted: Iterable[dict[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one in counted:
        for name, count in one.items():
            out[name] = out.get(name, 0) + count
    return dict(sorted(out.items()))


@dataclass(frozen=True)
class Asked:
    """What the rows are to be measured on."""

    conversations: tuple[Path, ...]
    seeds: int
    queries: int
    embedder: MiniLM


def _pooled(asked: Asked, paths: Sequence[Path], seeds: Sequence[int], **plan: Any) -> dict[str, Any]:
    pool = Pool()
    for path in paths:
        for seed in seeds:
            run = conduct(
                Plan(paths=(path,), queries=asked.queries, seed=seed, **plan), embedder=asked.embedder
            )
            pool.add(run, asked.embedder)
            lost = len(run.victims)
            print(f"  {path.name} {plan} seed {seed}: {lost} lost, {run.took_s:.1f} s", flush=True)
            for example in pool.reports[-1]["examples"]:
                print(f"    {example}", flush=True)  # Not kept: it may hold words of the conversation.
    return pool.to_dict()


Measured = Iterator[tuple[str, dict[str, Any]]]
"""A row's figures, line by line, each as soon as it is there."""


def damage(asked: Asked) -> Measured:
    """Each kind of damage to the documentation, everything else left as it is."""
    for kind in KINDS:
        yield kind, _pooled(asked, [ROOT / "docs"], range(asked.seeds), damage=kind)


def none(asked: Asked) -> Measured:
    """Conversations of which only the index survives."""
    yield "5 %", _pooled(asked, asked.conversations, range(asked.seeds), redundancy="none")


def sketch(asked: Asked) -> Measured:
    """Conversations of which only sketches and context survive."""
    for loss in LOSSES:
        label = f"{loss * 100:.0f} %"
        yield label, _pooled(asked, asked.conversations, range(asked.seeds), redundancy="sketch", loss=loss)


def pages(asked: Asked) -> Measured:
    """Documentation of which only sketches and context survive: longer texts than turns."""
    yield "5 %", _pooled(asked, [ROOT / "docs"], range(asked.seeds), redundancy="sketch")


def calibration_(asked: Asked) -> Measured:
    """The confidence of reconstructions from small sketches, of conversations that were not fitted on."""
    unseen = [path for path in asked.conversations if path.stem in UNSEEN]
    if not unseen:
        print(f"  left out: neither of the conversations {' and '.join(UNSEEN)} is there")
        return
    yield "12 to 64 bytes", calibrated(unseen, Timed(asked.embedder))


def curve(asked: Asked) -> Measured:
    """Quality by bytes of the sketch."""
    for size in CURVE_BYTES:
        found = _pooled(asked, asked.conversations, [0], redundancy="sketch", sketch_bytes=size)
        yield f"{size} bytes", found


def scale(asked: Asked) -> Measured:
    """A large memory; nobody else's data is needed."""
    yield f"{FRAGMENTS:,} fragments", measured(FRAGMENTS)


ROWS: dict[str, Callable[[Asked], Measured]] = {
    "damage": damage,
    "none": none,
    "sketch": sketch,
    "pages": pages,
    "calibration": calibration_,
    "curve": curve,
    "scale": scale,
}


def main(arguments: list[str] | None = None) -> int:
    """Measures what is asked for and writes the page; 1 if a goal was missed."""
    given = _parser().parse_args(arguments)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    conversations = tuple(sorted(given.data.glob("*.json"))) if given.data.is_dir() else ()
    asked = Asked(conversations, given.seeds, given.queries, MiniLM())
    for name in [] if given.page else given.only or list(ROWS):
        if name not in OWN_DATA and not conversations:
            print(f"{name}: left out, there are no conversations in {given.data}")
            continue
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        command = f"python -m bench.proof --only {name}"
        if name != "calibration":
            command += f" --seeds {given.seeds} --queries {given.queries}"
        if name not in OWN_DATA and given.data != DATA:
            command += f" --data DIR (of {', '.join(path.name for path in conversations)})"
        known[name] = {"figures": {}, "command": command, "machine": describe(OUT.parent)}
        for label, found in ROWS[name](asked):
            known[name]["figures"][label] = found
            known[name]["took_s"] = round(time.monotonic() - began)
            OUT.write_text(json.dumps(known, indent=1))
    known = {name: known[name] for name in ROWS if known.get(name, {}).get("figures")}
    goals = list(goals_of(known))
    publish(known, goals)
    for text, needed, reached, met in goals:
        print(f"{'yes' if met else 'NO '}  {text}: {reached} (goal {needed})")
    return 0 if all(met for *_, met in goals) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.proof", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", help=f"of: {', '.join(ROWS)}")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of LoCoMo conversations, one JSON file each"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="experiments of each kind, each with another loss"
    )
    parser.add_argument("--queries", type=int, default=QUERIES, help="queries of each round")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page anew")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
