"""One command for every figure: `python -m bench.run [--only NAME ...] [--quick] [--corpus DIR] [--out DIR]`.

Peers and CARMA run side by side, in alternating rounds, on the same texts and the same vectors. See
docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
import traceback
from pathlib import Path

from bench.corpus import Corpus, CorpusMissing, make
from bench.embedders import REFERENCE
from bench.figures import Measurement
from bench.machine import describe, sync_ms
from bench.peers import PEERS, installed
from bench.rounds import Context

OUT = Path("bench/out")
QUICK_SYSTEMS = ("carma", "chroma", "lancedb", "faiss")
NOT_QUICK = ("growth", "promises")


def main(arguments: list[str] | None = None) -> int:
    """Measures what is asked for and writes the report; 1 if a measurement broke."""
    from bench.measures import MEASURES
    from bench.report import write

    given = _complete(_parser(list(MEASURES)).parse_args(arguments))
    os.environ.setdefault(REFERENCE, str(given.fp32))
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        context = _context(given)
    except CorpusMissing as error:
        print(error, file=sys.stderr)
        return 2
    command = "python -m bench.run " + shlex.join(sys.argv[1:] if arguments is None else arguments)
    names = given.only or [name for name in MEASURES if not (given.quick and name in NOT_QUICK)]
    missing = [name for name in context.systems if not installed(name)]
    if missing:
        print(
            f"not installed, left out: {', '.join(missing)} (pip install -r bench/requirements.txt)",
            flush=True,
        )
    machine, broken = describe(given.out), 0
    for name in names:
        sync, load = sync_ms(given.out)["median"], os.getloadavg()[0]
        began = time.perf_counter()
        print(f"{name} ...", flush=True)
        try:
            measured = MEASURES[name](context)
        except Exception:
            traceback.print_exc()
            broken += 1
            continue
        finally:
            context.sweep()
        measured.seconds = time.perf_counter() - began
        measured.command = _command(given, name)
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        measured.taken = f"Taken {when}; before it: load {load:.1f}, one `fdatasync` {sync:.2f} ms."
        show(measured)
        write(given.out, machine, [measured], command, MEASURES)
    print(f"written to {given.out}", flush=True)
    return 1 if broken else 0


def show(measured: Measurement) -> None:
    """Prints a measurement as plain lines."""
    for figure in measured.figures:
        recall = f"  recall {figure.facts['recall@10']}" if "recall@10" in figure.facts else ""
        print(f"  {figure.system:<44.44} {figure.what:<46.46} {figure.median:>12,.4g} {figure.unit}{recall}")
    for goal in measured.goals:
        verdict = {True: "yes", False: "NO", None: "not measured"}[goal.met]
        reached = "–" if goal.reached is None else f"{goal.reached:,.4g}"
        print(f"  goal {'≥' if goal.at_least else '≤'} {goal.needed:,g} {goal.text}: {reached}  {verdict}")
    for note in measured.notes:
        print(f"  note: {note}")
    print(f"  {measured.seconds:.0f} s", flush=True)


def _context(given: argparse.Namespace) -> Context:
    try:
        corpus = Corpus.read(given.corpus)
        if len(corpus.texts) < given.size and given.corpus == OUT / "corpus":
            raise CorpusMissing("too small")
    except CorpusMissing:
        print(
            f"making a corpus of {given.size:,} in {given.corpus}; about four minutes for 100,000", flush=True
        )
        corpus = make(given.corpus, given.size)
    return Context(
        corpus=corpus,
        out=given.out,
        size=min(given.size, len(corpus.texts)),
        rounds=given.rounds,
        systems=tuple(given.systems),
        quick=given.quick,
        locomo=given.locomo,
        largest=given.largest,
    )


def _command(given: argparse.Namespace, name: str) -> str:
    parts = ["python -m bench.run", f"--only {name}", f"--size {given.size}", f"--rounds {given.rounds}"]
    if given.quick:
        parts.append("--quick")
    if set(given.systems) != set(PEERS):
        parts.append("--systems " + " ".join(given.systems))
    return " ".join(parts)


def _parser(measures: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=measures, metavar="NAME", help=f"of: {', '.join(measures)}"
    )
    parser.add_argument(
        "--size", type=int, default=None, help="fragments of the large measurements (100,000)"
    )
    parser.add_argument("--rounds", type=int, default=None, help="rounds per measurement (5)")
    parser.add_argument("--systems", nargs="+", choices=list(PEERS), help="all, unless --quick")
    parser.add_argument(
        "--largest", type=int, default=None, help="largest memory of the growth curve (1,000,000)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="10,000 fragments, 3 rounds, four systems, no growth curve"
    )
    parser.add_argument(
        "--corpus", type=Path, default=OUT / "corpus", help="a ready corpus, else it is made there"
    )
    parser.add_argument(
        "--fp32", type=Path, default=OUT / "minilm-fp32.onnx", help="from tools/export_model.py --reference"
    )
    parser.add_argument(
        "--locomo", type=Path, default=None, help="folder with LoCoMo conversations, for `locomo`"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    return parser


def _complete(given: argparse.Namespace) -> argparse.Namespace:
    """Fills in what depends on `--quick`."""
    given.size = given.size or (10_000 if given.quick else 100_000)
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.largest = given.largest or (10_000 if given.quick else 1_000_000)
    given.systems = given.systems or list(QUICK_SYSTEMS if given.quick else PEERS)
    return given


if __name__ == "__main__":
    sys.exit(main())
