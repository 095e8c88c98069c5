"""What encryption costs: `python -m bench.encrypted [--fragments N] [--json FILE]`.

A plain and an encrypted memory are filled with the same generated texts and asked the same questions in one
run, by turns, each going first every other time, so that a slow minute of the machine meets both. Of each
kind of call the medians and their ratio are printed, and the ratio of the processor time (of all threads of
the process), which a busy machine disturbs less; 1.15 is the bound.

    add          one text, durable (two syncs)          add_many   100 texts in one call, per text
    get          one fragment by id, proven             words      search by words
    hybrid       search by words and vectors            vector     search by vectors, the query's cached
    open         until the first answer of a search     close      after 100 new texts: spread, sealed, saved

The embedder is `carma.testing.HashEmbedder`: it costs next to nothing, so the ratios are those of the store.
By MiniLM each query takes 1.4 ms more on both sides. The cipher is that of a vault, the files lie in a
temporary folder on the disk that `TMPDIR` names.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import describe
from carma import Memory
from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.config import Settings
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder

BOUND = 1.15
DIMENSION = 384
BATCH = 100
CALLS = 400
OPENINGS = 9
KINDS = ("add", "add_many", "get", "words", "hybrid", "vector", "open", "close")
SETTINGS = Settings(sleep=False, rest_after_s=3_600.0)


class Texts:
    """Paragraphs of 40 to 90 invented words, of which few are frequent and many are rare."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgk"
        self._words = [
            "".join(self._chance.choices(letters, k=self._chance.randint(3, 10))) for _ in range(20_000)
        ]

    def text(self) -> str:
        """One more paragraph."""
        return " ".join(self._some(self._chance.randint(40, 90))).capitalize() + "."

    def query(self) -> str:
        """Four words."""
        return " ".join(self._some(4))

    def _some(self, count: int) -> Iterable[str]:
        # Zipf's law, nearly: the rank of a word is exponentially distributed.
        most = len(self._words) - 1
        for _ in range(count):
            yield self._words[min(int(self._chance.expovariate(1 / 900)), most)]


@dataclass
class Side:
    """One of the two memories and what its calls took, in ms by kind: by the clock, and of the processor."""

    path: Path
    vault: Vault | None
    ids: list[str] = field(default_factory=list)
    took: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    used: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def open(self) -> Memory:
        owner = "bench" if self.vault is not None else None
        embedder = HashEmbedder(DIMENSION)
        return Memory.open(self.path, embedder=embedder, settings=SETTINGS, vault=self.vault, owner=owner)

    def timed(self, kind: str, call: Callable[[], object], per: int = 1) -> object:
        """Do it and note what it took."""
        used, begun = time.process_time(), time.perf_counter()
        answer = call()
        self.took[kind].append((time.perf_counter() - begun) * 1000 / per)
        self.used[kind].append((time.process_time() - used) * 1000 / per)
        return answer


def by_turns(sides: tuple[Side, Side], times: int, act: Callable[[Side], None]) -> None:
    """Let each side act so many times, one after the other, each first every other time."""
    for turn in range(times):
        for side in sides if turn % 2 else sides[::-1]:
            act(side)


def fill(sides: tuple[Side, Side], memories: dict[str, Memory], fragments: int, texts: Texts) -> None:
    """The same texts into both."""
    for _ in range(fragments // BATCH):
        batch = [texts.text() for _ in range(BATCH)]

        def add(side: Side, batch: list[str] = batch) -> None:
            memory = memories[side.path.name]
            made = side.timed("add_many", lambda: memory.add_many(batch), BATCH)
            side.ids += [each.id for each in made]  # type: ignore[attr-defined]

        by_turns(sides, 1, add)
    for memory in memories.values():
        memory.flush()
        memory.rest()


def ask(sides: tuple[Side, Side], memories: dict[str, Memory], texts: Texts) -> None:
    """Single calls: reads and searches of memories at rest, then single writes."""
    chance = random.Random(7)
    for kind in ("get", "words", "hybrid", "vector"):
        mode = kind if kind != "get" else "hybrid"
        for turn in range(CALLS):
            query, at = texts.query(), chance.randrange(len(sides[0].ids))
            for side in sides if turn % 2 else sides[::-1]:
                memory = memories[side.path.name]
                if kind == "get":
                    side.timed(kind, lambda m=memory, s=side, a=at: m.get(s.ids[a]))  # type: ignore[misc]
                    continue
                if kind == "vector":
                    memory.search(query, mode="vector")  # Now the query's vector is cached.
                side.timed(kind, lambda m=memory, q=query, how=mode: m.search(q, mode=how))  # type: ignore[misc]
    for turn in range(CALLS // 2):
        text = texts.text()
        for side in sides if turn % 2 else sides[::-1]:
            memory = memories[side.path.name]
            side.timed("add", lambda m=memory, t=text: m.add(t))  # type: ignore[misc]


def open_and_close(sides: tuple[Side, Side], texts: Texts) -> None:
    """Open to the first answer, write 100 texts, close."""
    for turn in range(OPENINGS):
        batch, query = [texts.text() for _ in range(BATCH)], texts.query()
        for side in sides if turn % 2 else sides[::-1]:

            def first(side: Side = side, query: str = query) -> Memory:
                memory = side.open()
                memory.search(query)
                return memory

            memory = side.timed("open", first)
            assert isinstance(memory, Memory)
            memory.add_many(batch)
            memory.flush()
            side.timed("close", memory.close)


def measure(folder: Path, fragments: int) -> dict[str, dict[str, float]]:
    """By kind of call: median of each side in ms, and the ratio."""
    vault = Vault(Journal(LocalDisk(), str(folder / "vault")), KeyEncryptionKey(bytes(range(32))))
    sides = (Side(folder / "plain", None), Side(folder / "encrypted", vault))
    texts = Texts(1)
    memories = {side.path.name: side.open() for side in sides}
    fill(sides, memories, fragments, texts)
    ask(sides, memories, texts)
    for memory in memories.values():
        memory.close()
    open_and_close(sides, texts)
    return {kind: _compared(sides, kind) for kind in KINDS}


def _compared(sides: tuple[Side, Side], kind: str) -> dict[str, float]:
    plain, encrypted = (statistics.median(side.took[kind]) for side in sides)
    before, now = (statistics.median(side.used[kind]) for side in sides)
    return {
        "plain_ms": round(plain, 4), "encrypted_ms": round(encrypted, 4),
        "ratio": round(encrypted / plain, 3),
        "processor_ratio": round(now / before, 3), "calls": len(sides[0].took[kind]),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fragments", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carma-bench-") as folder:
        machine = describe(Path(folder))
        figures = measure(Path(folder), given.fragments)
    print(f"{given.fragments:,} fragments, {machine['processor']}, load {machine['load_average'][0]}")
    print(f"{'':10} {'plain ms':>10} {'encrypted':>10} {'ratio':>7} {'processor':>10} {'calls':>6}")
    for kind, row in figures.items():
        over = "" if row["ratio"] <= BOUND else "  over"
        print(
            f"{kind:10} {row['plain_ms']:10.3f} {row['encrypted_ms']:10.3f} {row['ratio']:7.3f} "
            f"{row['processor_ratio']:10.3f} {row['calls']:6}{over}"
        )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
