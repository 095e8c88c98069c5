"""Two thousand simulated runs hold every promise; `python -m tests.simulation` makes many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .atlas import AtlasName
from .world import run

RUNS = 1_000
"""Of each atlas."""
SHARDS = 20
NIGHTLY = 20_000


@pytest.mark.parametrize("atlas", ["in", "beyond"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_promises_hold_after_every_step(shard: int, atlas: AtlasName) -> None:
    """In budget everything comes back bit for bit; beyond it nothing is wrong, outdated or silently gone."""
    for seed in range(shard, RUNS, SHARDS):
        run(seed, atlas)


@pytest.mark.nightly
@pytest.mark.parametrize("atlas", ["in", "beyond"])
@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_promises_hold_in_many_more_runs(shard: int, atlas: AtlasName) -> None:
    """The same for seeds that `make test` does not reach."""
    for seed in range(RUNS + shard, RUNS + NIGHTLY, SHARDS):
        run(seed, atlas)


@pytest.mark.parametrize("seed", [5955, 6126])
def test_what_many_more_runs_found_stays_mended(seed: int) -> None:
    """Lives beyond the budget that broke a promise once."""
    run(seed, "beyond")


@pytest.mark.parametrize("atlas", ["in", "beyond"])
def test_one_seed_replays_one_run(atlas: AtlasName) -> None:
    """Every call of the disk and every answer is the same again, in another process with other hashes too."""
    digests = [run(seed, atlas) for seed in (1, 2, 3)]
    assert digests == [run(seed, atlas) for seed in (1, 2, 3)]
    assert len(set(digests)) == 3
    command = [sys.executable, "-m", "tests.simulation", "--atlas", atlas, "--seed", "2"]
    for salt in ("1", "2"):
        told = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": salt},
            capture_output=True,
            check=True,
            text=True,
        )
        assert told.stdout.split()[-1] == digests[1]
