"""Fuzzes the readers of keys, encrypted records, the vault, journals and the audit log.

python tools/fuzz.py [--seconds N] [--target NAME …] [--engine atheris|hypothesis] [--keep FOLDER]

With atheris (libFuzzer with coverage; `make fuzz` installs it beside, it is no dependency) new inputs follow
the branches that were reached. Without it Hypothesis draws inputs at random. Every target runs for N seconds.
Prints runs and findings; exits with 1 if there is a finding, whose input is kept in FOLDER (bench/out/fuzz).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FINDINGS = ROOT / "bench" / "out" / "fuzz"
NAMES = ("keys", "record", "vault", "journal", "audit")
_MOST_BYTES = 4_096
_DONE = re.compile(r"Done (\d+) runs in (\d+) second|stat::number_of_executed_units: (\d+)")
_REACHED = re.compile(r"cov: (\d+)")


def with_atheris(name: str, seconds: float, keep: Path) -> dict[str, object]:
    """Run one target under atheris in another process; what it says about it."""
    with tempfile.TemporaryDirectory() as corpus:
        command = [
            sys.executable, __file__, "--child", name, corpus, f"-max_total_time={seconds:.0f}",
            f"-max_len={_MOST_BYTES}", "-print_final_stats=1", "-timeout=10",
            f"-artifact_prefix={keep}/{name}-",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    runs = [int(match[1] or match[3]) for match in _DONE.finditer(done.stderr)]
    reached = [int(match[1]) for match in _REACHED.finditer(done.stderr)]
    found = "" if done.returncode == 0 else done.stderr[-2_000:]
    return {"runs": max(runs, default=0), "edges": max(reached, default=0), "finding": found}


def child(name: str, corpus: str, options: list[str]) -> None:
    """Fuzz in this process until libFuzzer ends it."""
    import atheris  # type: ignore[import-untyped]

    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    with atheris.instrument_imports(include=["carma", "tools"]):
        from tools.fuzz_targets import TARGETS, seeds
    for number, seed in enumerate(seeds(name)):
        Path(corpus, f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, corpus], TARGETS[name])
    atheris.Fuzz()


def with_hypothesis(name: str, seconds: float, keep: Path) -> dict[str, object]:
    """Run one target in this process with inputs that Hypothesis draws."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from tools.fuzz_targets import TARGETS, seeds

    target, begun, runs = TARGETS[name], time.monotonic(), 0
    step = st.builds(lambda place, rest: bytes(rest[:1]) + place.to_bytes(2) + bytes(rest[1:]),
                     st.integers(0, 2_000), st.binary(min_size=2, max_size=2))  # fmt: skip
    drawn = st.one_of(st.binary(max_size=300), st.lists(step, max_size=8).map(b"".join),
                      st.sampled_from(list(seeds(name))))  # fmt: skip
    last = b""

    @settings(max_examples=200, database=None, deadline=None, derandomize=False,
              phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(drawn)
    def run(data: bytes) -> None:
        nonlocal runs, last
        runs, last = runs + 1, data
        target(data)

    try:
        while time.monotonic() - begun < seconds:
            run()
    except Exception as error:
        (keep / f"{name}-hypothesis").write_bytes(last)
        return {"runs": runs, "finding": f"{type(error).__name__}: {error}"}
    return {"runs": runs, "finding": ""}


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], sys.argv[4:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--target", choices=NAMES, action="append")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"))
    parser.add_argument("--keep", type=Path, default=FINDINGS)
    given = parser.parse_args()
    engine = given.engine or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    given.keep.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in given.target or NAMES:
        begun = time.monotonic()
        said = (with_atheris if engine == "atheris" else with_hypothesis)(name, given.seconds, given.keep)
        finding = said.pop("finding")
        line = {"target": name, "engine": engine, **said, "seconds": round(time.monotonic() - begun, 1)}
        print(json.dumps({**line, "findings": int(bool(finding))}), flush=True)
        if finding:
            failed = True
            print(finding, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
