"""Opening a large memory, what it takes in memory, and whether queries make it grow. Every value from a
fresh process.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from bench.corpus import Corpus
from bench.figures import Figure, Measurement
from bench.machine import anonymous_mb, peak_mb, resident_mb
from bench.peers import Peer
from bench.peers.peer import Vectors
from bench.rounds import Context, alternate
from bench.stores import store
from bench.worker import Worker, WorkFailed

SYSTEMS = ("carma", "chroma", "lancedb", "mem0", "faiss")
QUERIES = 100_000
WARM_QUERIES = 5_000
PEER_QUERIES = 3_000
"""Peers are slower; their growth is measured over fewer queries and not scaled up."""
GROWTH_MB = 8.3
SETTLE_S = 3.0
"""How long a slower system is given for the 1,000 queries after opening."""


def opening(context: Context) -> Measurement:
    """Seconds to open and to answer, and resident memory, in a fresh process each time; files are in the
    page cache.
    """
    result = Measurement("opening", f"open a memory of {context.size:,}")
    folders = {}
    for name in SYSTEMS:
        if context.has(name):
            try:
                folders[name] = str(store(context, name, context.size) / "store")
            except WorkFailed as error:
                result.notes.append(f"{name} failed: {str(error).splitlines()[0]}")
    found = alternate(
        dict.fromkeys(folders),
        context.rounds,
        lambda name, _, number: _one_opening(context, name, folders[name]),
        result,
    )  # type: ignore[arg-type]
    labels = (
        ("open", "s"),
        ("open and first answer", "s"),
        ("resident after opening", "MB"),
        ("resident after 1,000 queries with texts", "MB"),
        ("resident after 50 questions in words as well", "MB"),
        ("of it not backed by files", "MB"),
        ("peak", "MB"),
        ("before opening (interpreter and imports)", "MB"),
    )
    for name, values in found.items():
        for column, (what, unit) in enumerate(labels):
            result.figures.append(Figure(name, what, unit, [value[column] for value in values]))
    result.want("s to open", 1.0, result.value("carma", "open"), at_least=False)
    result.want("s to open and answer", 1.0, result.value("carma", "open and first answer"), at_least=False)
    resident = result.value("carma", "resident after 50 questions in words as well")
    result.want("MB resident after 1,000 vector queries and 50 in words", 450, resident, at_least=False)
    return result


def _one_opening(context: Context, name: str, folder: str) -> tuple[float, ...]:
    with Worker(name, context.corpus.folder, embedder="packaged") as worker:
        values: tuple[float, ...] = worker.do(open_and_ask, folder)
        return values


def leak(context: Context) -> Measurement:
    """Resident memory before and after 100,000 queries, after warming up with 5,000."""
    queries = 5_000 if context.quick else QUERIES
    result = Measurement("leak", f"{queries:,} queries: growth of resident memory")
    for name, count in (
        ("carma", queries),
        ("chroma", min(queries, PEER_QUERIES)),
        ("lancedb", PEER_QUERIES // 3),
    ):
        if not context.has(name):
            continue
        try:
            folder = str(store(context, name, context.size) / "store")
            with Worker(name, context.corpus.folder) as worker:
                for what, texts in (
                    ("vector queries, ids and scores", False),
                    ("vector queries with texts", True),
                ):
                    grown, taken = worker.do(query_and_watch, folder, count, texts, timeout_s=1800)
                    facts = {"queries": count, "seconds": round(taken, 1)}
                    result.figures.append(Figure(name, what, "MB", [round(grown, 2)], facts))
        except WorkFailed as error:
            result.notes.append(f"{name} failed: {str(error).splitlines()[0]}")
            print(f"    {error}", flush=True)
    for what in ("vector queries, ids and scores", "vector queries with texts"):
        result.want(f"MB, {what}", GROWTH_MB, result.value("carma", what), at_least=False)
    return result


def open_and_ask(peer: Peer, corpus: Corpus, folder: str) -> tuple[float, ...]:
    """Work: seconds to open, to open and answer, and memory in MB at the stages named in `opening`."""
    queries = corpus.query_vectors
    before = resident_mb()
    began = time.perf_counter()
    peer.open(Path(folder), corpus.dimension)
    opened = time.perf_counter() - began
    peer.query_texts(queries[0], 10)
    answered = time.perf_counter() - began
    after_open = resident_mb()
    until = time.perf_counter() + SETTLE_S
    for row in range(1_000):
        peer.query_texts(queries[row % len(queries)], 10)
        if time.perf_counter() > until and peer.name != "carma":
            break
    after_queries = resident_mb()
    for question in corpus.queries[:50]:
        peer.query_text(question, 10)
    out = (opened, answered, after_open, after_queries, resident_mb(), anonymous_mb(), peak_mb(), before)
    peer.close()
    return out


def query_and_watch(peer: Peer, corpus: Corpus, folder: str, count: int, texts: bool) -> tuple[float, float]:
    """Work: growth in MB over `count` queries, and the seconds they took."""
    if not getattr(peer, "opened_here", False):
        peer.open(Path(folder), corpus.dimension)
        peer.opened_here = True  # type: ignore[attr-defined]
    ask = peer.query_texts if texts else peer.query
    for row in range(min(WARM_QUERIES, count // 2)):
        ask(_different(corpus, count + row), 10)
    before = resident_mb()
    began = time.perf_counter()
    for row in range(count):
        ask(_different(corpus, row), 10)
    return resident_mb() - before, time.perf_counter() - began


def _different(corpus: Corpus, row: int) -> Vectors:
    """A query that is like no other: halfway between two of the real ones, so that no cache can answer it."""
    queries = corpus.query_vectors
    middle = queries[row % len(queries)] + queries[(7 * row + row // len(queries) + 1) % len(queries)]
    return middle / np.linalg.norm(middle)  # type: ignore[no-any-return]
