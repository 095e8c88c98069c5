"""The long form of the promises, row by row: `python -m bench.promises [--only ROW ...] [--seeds N]`.

    three      any three files lost, every choice; a dream, and three others
    bits       every bit of every file of a small memory flipped, one at a time; a large sample of the index
    crashes    a dream that dies, loses its power or is refused at each of its calls
    kills      real processes killed by a signal, at each system call that changes a file
    purge      no trace of what was deleted, and no rung that brings it back
    simulated  seeded lives of small memories under every fault at once

Each row runs the tests that hold the promise (those marked `nightly` and their samples), counts the faults
they tried, and is written into docs/PROOF.md at once. Rows that are not asked for keep the figures they have.
All of it takes hours of one core; nothing in it is a matter of speed, so it may run on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "PROOF.md"
OUT = ROOT / "bench" / "out" / "promises.json"
BEGIN, END = "<!-- promises: begin (written by python -m bench.promises) -->", "<!-- promises: end -->"
SEEDS = 100_000
_RUNS = re.compile(r"(\d+) runs, (\d+) failed")
_FAULTS = "tests/faults"


class Row(NamedTuple):
    """A promise and the tests that hold it. case: what they count. nightly: only their long form."""

    what: str
    case: str
    tests: tuple[str, ...]
    nightly: bool = True


ROWS = {
    "three": Row(
        "any three files of a memory at rest lost; then a dream, and three others",
        "choices of three files",
        (
            f"{_FAULTS}/test_three_files.py",
            f"{_FAULTS}/test_dream_crash.py::test_any_three_files_lost_a_dream_and_three_others_lost",
        ),
        nightly=False,
    ),
    "bits": Row(
        "a bit flipped: never a wrong or outdated text, no crash, and all of it healed exactly",
        "flipped bits",
        (
            f"{_FAULTS}/test_every_bit.py::test_every_flipped_bit_is_never_seen_and_is_put_back",
            f"{_FAULTS}/test_every_bit.py::test_many_flipped_bits_of_the_index_never_make_a_read_wrong",
        ),
    ),
    "crashes": Row(
        "a dream that dies, loses power, or is refused a call or its space",
        "calls of a dream",
        (
            f"{_FAULTS}/test_dream_crash.py::test_a_dream_may_die_at_every_call",
            f"{_FAULTS}/test_dream_crash.py::test_a_dream_that_is_refused_at_every_call_loses_nothing",
        ),
    ),
    "kills": Row(
        "a writing or dreaming process killed (SIGKILL) at a system call that changes a file",
        "killed processes",
        (
            f"{_FAULTS}/test_dream_crash.py::test_a_dreaming_process_may_be_killed",
            f"{_FAULTS}/test_dream_crash.py::test_a_dreaming_process_may_be_killed_at_every_change_of_the_disk",
            f"{_FAULTS}/test_processes.py::test_killed_at_every_system_call_loses_nothing_acknowledged",
        ),
    ),
    "purge": Row(
        "deleted and purged: no trace in any file, and no rung brings it back",
        "ways to delete",
        (f"{_FAULTS}/test_purge.py", "tests/store/test_purge.py"),
        nightly=False,
    ),
}
SIMULATED = "lives of small memories under every fault at once, in and beyond the budget of redundancy"


def main(arguments: list[str] | None = None) -> int:
    """Runs, writes the figures and the page; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*ROWS, "simulated"), help="these rows")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="of the simulation, for each of its two kinds"
    )
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    given = parser.parse_args(arguments)
    known: dict[str, Any] = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    for name in given.only or (*ROWS, "simulated"):
        found = simulated(given.first, given.seeds) if name == "simulated" else tested(ROWS[name])
        known[name] = {**found, "when": time.strftime("%Y-%m-%d", time.gmtime())}
        print(f"{name}: {known[name]}", flush=True)
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(known, indent=1), "utf-8")
        publish(known)
    return int(any(row["failed"] for row in known.values()))


def tested(row: Row) -> dict[str, Any]:
    """What the tests of a row found."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        which = "nightly" if row.nightly else "nightly or not nightly"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--timeout=20000",
            "-o",
            "junit_family=xunit1",
        ]
        began = time.monotonic()
        subprocess.run([*command, "-m", which, f"--junitxml={report}", *row.tests], cwd=ROOT, check=False)
        took = time.monotonic() - began
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    cases = [each.get("value", "0") for each in suite.iter("property") if each.get("name") == "cases"]
    return {
        "cases": sum(map(int, cases)), "tests": int(suite.get("tests", "0")),
        "failed": int(suite.get("failures", "0")) + int(suite.get("errors", "0")),
        "skipped": int(suite.get("skipped", "0")), "minutes": took / 60,
    }  # fmt: skip


def simulated(first: int, seeds: int) -> dict[str, Any]:
    """What the simulation found."""
    command = [sys.executable, "-m", "tests.simulation", "--first", str(first), "--seeds", str(seeds)]
    began = time.monotonic()
    runs = failed = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if counts := _RUNS.match(line):
                runs, failed = map(int, counts.groups())
            else:
                print(line, end="", flush=True)  # A promise that was broken, and its seed.
    took = time.monotonic() - began
    return {"cases": runs, "tests": 0, "failed": failed, "skipped": 0, "minutes": took / 60}


def publish(known: dict[str, Any]) -> None:
    """Write the table into the page."""
    lines = ["| promise | tried | tests | broken | minutes | when |", "|---|---:|---:|---:|---:|---|"]
    for name in (*ROWS, "simulated"):
        if name in known:
            row = known[name]
            what, case = (SIMULATED, "lives") if name == "simulated" else ROWS[name][:2]
            tried = f"{row['cases']:,} {case}" if row["cases"] else "each"
            cells = (what, tried, row["tests"] or "none", row["failed"], f"{row['minutes']:.0f}", row["when"])
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + "\n".join([BEGIN, *lines, ""]) + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
