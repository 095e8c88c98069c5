"""A large memory: how long 5 % of it takes to heal, and what readers feel meanwhile.

    python -m bench.scale [--fragments 100000] [--work DIR]

Paragraphs are made from a seed, with given vectors, so the figures are about storing and healing and not
about embedding. The memory is closed (so it rests), damaged on its real files by random flipped bits in 5 %
of its records, and opened again. One process reads fragments by id all the time: awake, then while a dream
runs in a process of its own, then awake again. Latencies are those of that reader.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from bench.machine import describe
from carma import Memory
from carma.prove.corpus import places
from carma.prove.damage import damage
from carma.prove.measure import percentile
from carma.reports import DreamReport
from carma.store.erasure import encode

FRAGMENTS = 100_000
LOSS = 0.05
DIMENSION = 32
AT_ONCE = 2_000
AWAKE_S = 15.0
SCANS = 3
"""Of every byte, before anything is damaged; the middle one counts, for the first may wait for the disk."""
EMBEDDER = f"hash:{DIMENSION}"


def paragraphs(chance: random.Random, count: int) -> list[str]:
    """Texts of about one kilobyte from 20,000 made-up words, the frequent ones more often (Zipf)."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    drawn = iter(chance.choices(words, weights, k=count * 150))
    return [" ".join(next(drawn) for _ in range(150)) for _ in range(count)]


def fill(folder: Path, count: int) -> list[str]:
    """A memory of `count` paragraphs, at rest; their ids."""
    chance, directions = random.Random(1), np.random.default_rng(1)
    ids: list[str] = []
    with Memory.open(folder, embedder=EMBEDDER) as memory:
        for begin in range(0, count, AT_ONCE):
            texts = paragraphs(chance, min(AT_ONCE, count - begin))
            vectors = directions.standard_normal((len(texts), DIMENSION)).astype(np.float32)
            items = [{"text": text, "vector": row} for text, row in zip(texts, vectors, strict=True)]
            ids += [each.id for each in memory.add_many(items)]
    return ids


class Reader:
    """Reads fragments by id one after the other and keeps how long each took."""

    def __init__(self, memory: Memory, ids: list[str]) -> None:
        self.memory = memory
        self.ids = ids
        self.chance = random.Random(2)
        self.wrong = 0

    def read(self, until: Any) -> list[float]:
        """Milliseconds of every read until `until()` is true."""
        took = []
        while not until():
            id = self.chance.choice(self.ids)
            began = time.perf_counter()
            found = self.memory.get(id)
            took.append((time.perf_counter() - began) * 1000)
            self.wrong += found is None or found.text == ""
        return took

    def awake(self, seconds: float) -> list[float]:
        """The same for a while."""
        end = time.monotonic() + seconds
        return self.read(lambda: time.monotonic() > end)


def latency(took: list[float]) -> dict[str, float]:
    """Count, median and 99th percentile, milliseconds."""
    return {
        "reads": len(took),
        "p50_ms": round(percentile(took, 0.5), 3),
        "p99_ms": round(percentile(took, 0.99), 3),
    }


def encoding() -> float:
    """Megabytes of data per second that get 8 parity shards from 20, one core."""
    data = np.random.default_rng(3).integers(0, 256, (20, 2**20), dtype=np.uint8)
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        encode(data, 8)
        rounds.append(data.nbytes / (time.perf_counter() - began) / 1e6)
    return sorted(rounds)[len(rounds) // 2]


def measure(folder: Path, count: int, awake_s: float = AWAKE_S) -> dict[str, Any]:
    """Every figure of this benchmark."""
    began = time.monotonic()
    ids = fill(folder, count)
    filled_s = time.monotonic() - began
    lost = random.Random(4).sample(list(places(str(folder)).values()), int(count * LOSS))
    with Memory.open(folder, embedder=EMBEDDER) as memory:
        tours = [memory.scan(deep=True) for _ in range(SCANS)]
        assert all(tour.healthy for tour in tours), tours[0].findings[:3]
        reader = Reader(memory, ids)
        reader.awake(1.0)
        before = reader.awake(awake_s)
        damage(str(folder), lost, "flip", random.Random(5))
        damaged = reader.awake(awake_s)
        reports: list[DreamReport] = []
        dream = Thread(target=lambda: reports.append(memory.dream(budget_s=600)))
        dream.start()
        dreaming = reader.read(lambda: not dream.is_alive())
        dream.join()
        after = reader.awake(awake_s)
        report = reports[0]
        clean = memory.scan(deep=True)
    return {
        "fragments": count,
        "lost": len(lost),
        "fill_s": round(filled_s, 1),
        "dream": {
            "status": report.status, "exact": report.exact, "still_blank": report.still_blank,
            "took_s": round(report.actual_s, 1), "files_repaired": report.files_repaired,
        },
        "clean_after": clean.healthy,
        "wrong": reader.wrong,
        "reads": {
            "awake": latency(before), "damaged": latency(damaged),
            "dreaming": latency(dreaming), "after": latency(after),
        },
        "p99_dreaming_to_awake": round(percentile(dreaming, 0.99) / percentile(before + after, 0.99), 2),
        "p99_dreaming_to_damaged": round(percentile(dreaming, 0.99) / percentile(damaged, 0.99), 2),
        "scan_mb_s": round(sorted(tour.bytes / tour.took_s / 1e6 for tour in tours)[SCANS // 2]),
        "encode_mb_s": round(encoding()),
    }  # fmt: skip


def measured(count: int, work: Path | None = None) -> dict[str, Any]:
    """Every figure, of a memory in a temporary folder."""
    stage = Path(tempfile.mkdtemp(prefix="carma-scale-", dir=work))
    try:
        return measure(stage / "memory", count)
    finally:
        shutil.rmtree(stage)


def main(arguments: list[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--fragments", type=int, default=FRAGMENTS)
    parser.add_argument("--work", type=Path, help="folder for the memory; a temporary one if not given")
    given = parser.parse_args(arguments)
    found = measured(given.fragments, given.work)
    print(json.dumps({**found, "machine": describe(given.work or Path(tempfile.gettempdir()))}, indent=1))


if __name__ == "__main__":
    main()
