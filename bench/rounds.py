"""What every measurement is given, and the way rounds alternate between systems."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.corpus import Corpus
from bench.figures import Measurement
from bench.peers import Peer, installed
from bench.worker import Worker, WorkFailed

_COUNTER = itertools.count()


@dataclass
class Context:
    """The settings of a run."""

    corpus: Corpus
    out: Path
    size: int = 100_000
    rounds: int = 5
    systems: tuple[str, ...] = ("carma", "chroma", "lancedb", "qdrant", "mem0", "langgraph", "faiss")
    quick: bool = False
    locomo: Path | None = None
    largest: int = 1_000_000
    """The largest memory of the growth curve."""
    workers: list[Worker] = field(default_factory=list)
    efforts: dict[tuple[str, int, float], tuple[Any]] = field(default_factory=dict)
    """The search effort found for a system, a size and a recall, so that it is looked for once a run."""

    def has(self, system: str) -> bool:
        """Whether the system was asked for and can be imported."""
        return system in self.systems and installed(system)

    def worker(self, system: str, *, cores: int | None = None, embedder: str | None = None) -> Worker:
        """A new process for a system."""
        worker = Worker(system, self.corpus.folder, cores=cores, embedder=embedder)
        self.workers.append(worker)
        return worker

    def scratch(self, name: str) -> Path:
        """A new empty folder on the disk that is measured."""
        folder = self.out / "scratch" / f"{name}-{next(_COUNTER)}".replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def sweep(self) -> None:
        """Ends what is left of a measurement: processes and scratch folders."""
        while self.workers:
            self.workers.pop().close()
        shutil.rmtree(self.out / "scratch", ignore_errors=True)


def alternate(
    workers: Mapping[str, Worker],
    rounds: int,
    call: Callable[[str, Worker, int], Any],
    measurement: Measurement,
) -> dict[str, list[Any]]:
    """Calls every worker once a round, forwards and backwards in turn; a system that fails is noted and left
    out.
    """
    found: dict[str, list[Any]] = {name: [] for name in workers}
    failed: set[str] = set()
    for number in range(rounds):
        names: Iterable[str] = list(workers) if number % 2 == 0 else reversed(list(workers))
        for name in names:
            if name in failed:
                continue
            try:
                found[name].append(call(name, workers[name], number))
            except WorkFailed as error:
                failed.add(name)
                measurement.notes.append(f"{name} failed in round {number + 1}: {str(error).splitlines()[0]}")
                print(f"    {error}", flush=True)
    return {name: values for name, values in found.items() if values}


def begin(peer: Peer, corpus: Corpus, folder: str) -> None:
    """Work: opens the store in `folder`."""
    peer.open(Path(folder), corpus.dimension)


def end(peer: Peer, corpus: Corpus) -> None:
    """Work: closes the store."""
    peer.close()
