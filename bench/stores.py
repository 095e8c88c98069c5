"""Filled stores for the query measurements: made once per system and size, kept under `bench/out/stores`.

A peer's store is made again when its version changes; CARMA's at the start of every run, since its code is
what changes.
"""

from __future__ import annotations

import json
import shutil
import time
from importlib import metadata
from pathlib import Path

from bench.corpus import Corpus
from bench.peers import Peer
from bench.rounds import Context

FILL_ROWS = 20_000
DISTRIBUTIONS = {
    "chroma": "chromadb",
    "lancedb": "lancedb",
    "mem0": "mem0ai",
    "langgraph": "langgraph-checkpoint-sqlite",
}
_made: set[Path] = set()


def store(context: Context, system: str, size: int) -> Path:
    """The folder of a filled, indexed and closed store of the first `size` rows. Raises WorkFailed."""
    folder = context.out / "stores" / f"{system}-{size}"
    note = folder / "bench.json"
    version = metadata.version(DISTRIBUTIONS[system]) if system in DISTRIBUTIONS else "this run"
    version = f"{version}, corpus {context.corpus.digest}"
    known = json.loads(note.read_text()) if note.exists() else {}
    if folder in _made or (system in DISTRIBUTIONS and known.get("version") == version):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"    filling {system} with {size:,}", flush=True)
    worker = context.worker(system)
    began = time.perf_counter()
    fill_s, settle_s = worker.do(fill, str(folder / "store"), size, timeout_s=3600)
    worker.close()
    facts = {
        "version": version,
        "fill_s": fill_s,
        "settle_s": settle_s,
        "seconds": time.perf_counter() - began,
    }
    note.write_text(json.dumps(facts))
    _made.add(folder)
    print(f"    filled {system} in {facts['seconds']:.0f} s (index {settle_s:.0f} s)", flush=True)
    return folder


def facts(folder: Path) -> dict[str, float]:
    """How long filling (`fill_s`) and indexing (`settle_s`) took."""
    known: dict[str, float] = json.loads((folder / "bench.json").read_text())
    return known


def fill(peer: Peer, corpus: Corpus, folder: str, size: int) -> tuple[float, float]:
    """Work: fills, indexes and closes; seconds of both."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    peer.open(Path(folder), corpus.dimension)
    taken = 0.0
    for start in range(0, size, FILL_ROWS if peer.name != "mem0" else size):
        rows = corpus.slice(start, min(size, start + (FILL_ROWS if peer.name != "mem0" else size)))
        began = time.perf_counter()
        peer.load(*rows)
        taken += time.perf_counter() - began
    began = time.perf_counter()
    peer.settle()
    settled = time.perf_counter() - began
    peer.close()
    return taken, settled
