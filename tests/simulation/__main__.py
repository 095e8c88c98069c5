"""Many runs, or one again: `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from .atlas import AtlasName
from .oracle import Broken
from .world import World, run

_PART = 50


def main() -> int:
    """0 if every promise held in every run, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="so many runs of each atlas")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one run only, told step by step")
    parser.add_argument("--atlas", choices=("in", "beyond", "both"), default="both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--most", type=int, default=20, help="stop after so many failures")
    given = parser.parse_args()
    atlases: list[AtlasName] = ["in", "beyond"] if given.atlas == "both" else [given.atlas]
    if given.seed is not None:
        return max(_one(given.seed, atlas) for atlas in atlases)
    return _many(given.first, given.seeds, atlases, given.jobs, given.most)


def _one(seed: int, atlas: AtlasName) -> int:
    world = World(seed, atlas)
    try:
        digest = world.run()
    except Broken:
        print(f"seed {seed}, {atlas} budget", *world.trace, sep="\n  ")
        traceback.print_exc()
        return 1
    print(f"seed {seed}, {atlas} budget", *world.trace, f"all promises held; digest {digest}", sep="\n  ")
    return 0


def _part(first: int, last: int, atlas: AtlasName) -> list[str]:
    failures = []
    for seed in range(first, last):
        try:
            run(seed, atlas)
        except Broken as broken:
            failures.append(str(broken))
    return failures


def _parts(first: int, seeds: int, atlases: list[AtlasName]) -> Iterator[tuple[int, int, AtlasName]]:
    for start in range(first, first + seeds, _PART):
        for atlas in atlases:
            yield start, min(start + _PART, first + seeds), atlas


def _many(first: int, seeds: int, atlases: list[AtlasName], jobs: int, most: int) -> int:
    started, runs, failed = time.monotonic(), 0, 0
    parts = _parts(first, seeds, atlases)
    with ProcessPoolExecutor(jobs) as pool:
        while failed < most and (some := list(islice(parts, jobs * 4))):
            for failures in pool.map(_part, *zip(*some, strict=True)):
                failed += len(failures)
                for failure in failures:
                    print(failure, flush=True)
            runs += sum(last - start for start, last, _ in some)
            print(f"{runs} runs, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
