"""The same figures at 1,000, 10,000, 100,000 and 1,000,000 fragments: how each system bears growth.

Real paragraphs up to the size of the corpus; beyond, synthetic ones (see `bench.corpus.synthetic`). Chroma
and mem0 stop at 100,000: building Chroma's graph over a million takes about half an hour on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpus import Corpus, row_of
from bench.figures import Figure, Measurement, percentile
from bench.machine import resident_mb
from bench.measures.querying import K, ask, ask_many, ask_texts
from bench.peers import Peer
from bench.rounds import Context
from bench.stores import facts as store_facts
from bench.stores import store
from bench.worker import Worker, WorkFailed

SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST = {"carma": 1_000_000, "faiss": 1_000_000, "lancedb": 100_000, "chroma": 100_000}
EFFORT = {"chroma": 40, "lancedb": (5, 2)}
"""What recall@10 ≥ 0.95 takes at 100,000. Fixed, so that the curve shows growth and not tuning."""
ROUNDS = 3
RECALL_QUERIES = 200


def growth(context: Context) -> Measurement:
    """Filling, opening, querying and resident memory by size."""
    result = Measurement("growth", "growth: 1,000 to 1,000,000 fragments")
    for size in SIZES:
        if size > context.largest:
            continue
        for name, most in MOST.items():
            if not context.has(name) or size > most:
                continue
            try:
                _point(context, result, name, size)
            except WorkFailed as error:
                result.notes.append(f"{name} at {size:,} failed: {str(error).splitlines()[0]}")
                print(f"    {error}", flush=True)
    return result


def _point(context: Context, result: Measurement, name: str, size: int) -> None:
    context.corpus.nearest(size, RECALL_QUERIES)
    folder = store(context, name, size)
    with Worker(name, context.corpus.folder, cores=1) as worker:
        one = worker.do(look, str(folder / "store"), size)
    with Worker(name, context.corpus.folder, cores=2) as worker:
        worker.do(look, str(folder / "store"), size)
        many = [worker.do(ask_many, number)[0] for number in range(ROUNDS)]
    filled = store_facts(folder)
    facts = {"fragments": size, "recall@10": one["recall"]}
    values = {
        "filled with vectors, index included": (
            "vectors/s",
            [size / (filled["fill_s"] + filled["settle_s"])],
        ),
        "ids and scores, one thread": ("queries/s", one["ids"]),
        "ids and texts, one thread": ("queries/s", one["texts"]),
        "batches of 1,000, two threads": ("queries/s", many),
        "open and first answer": ("s", [one["open_s"]]),
        "resident": ("MB", [one["resident_mb"]]),
    }
    for what, (unit, numbers) in values.items():
        result.figures.append(Figure(name, f"{what} at {size:,}", unit, numbers, facts))
    print(
        f"    {name} {size:,}: {percentile(one['ids'], 0.5):,.0f} queries/s, recall {one['recall']}",
        flush=True,
    )


def look(peer: Peer, corpus: Corpus, folder: str, size: int) -> dict[str, Any]:
    """Work: opens a filled store, asks for recall, then for speed."""
    began = time.perf_counter()
    peer.open(Path(folder), corpus.dimension)
    if peer.name in EFFORT:
        peer.set_effort(EFFORT[peer.name])
    peer.query(corpus.query_vectors[0], K)
    opened = time.perf_counter() - began
    truth = corpus.nearest(size, RECALL_QUERIES).tolist()
    found = [peer.query(vector, K)[0] for vector in corpus.query_vectors[:RECALL_QUERIES]]
    recall = float(
        np.mean(
            [len({row_of(i) for i in ids} & set(best)) / K for ids, best in zip(found, truth, strict=True)]
        )
    )
    return {
        "open_s": opened,
        "recall": round(recall, 4),
        "ids": [ask(peer, corpus, number)[0] for number in range(ROUNDS)],
        "texts": [ask_texts(peer, corpus, number)[0] for number in range(ROUNDS)],
        "resident_mb": resident_mb(),
    }
