"""Vector queries: one by one on one thread, in batches on two, and on a small exact memory.

Each system searches with the least effort that reaches a recall@10 of 0.95 on these vectors (0.999 on the
small memory), tried in ascending order; CARMA has no such setting and runs as it ships. Recall is measured
against an exact scan of the same vectors.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.corpus import Corpus, row_of
from bench.figures import Figure, Measurement, percentile
from bench.peers import Peer, make
from bench.rounds import Context, alternate
from bench.stores import store
from bench.worker import Worker, WorkFailed

K = 10
RECALL = 0.95
TUNED_ON = 400
ROUND_S = 0.7
BATCH = 1_000
SMALL = 1_000
SEED_BATCH_RATE = 99_935
"""Queries a second of the seed programs on 1,000 vectors."""
SMALLER = {"qdrant": 20_000, "langgraph": 10_000}
"""Systems that scan everything in Python or SQL are measured on fewer fragments, and say so."""


def single(context: Context) -> Measurement:
    """One thread, one query at a time: ids and scores, and ids and texts."""
    result = Measurement("query", f"vector query, {context.size:,} fragments, recall@10 ≥ 0.95, one thread")
    workers, facts = _opened(context, result, cores=1)
    for what, work in (
        ("ids and scores", ask),
        ("ids and texts", ask_texts),
        ("in batches of 1,000", ask_many),
    ):
        chosen = {
            n: w
            for n, w in workers.items()
            if what != "in batches of 1,000" or n not in ("qdrant", "langgraph")
        }
        rates = alternate(
            chosen, context.rounds, lambda name, worker, number, w=work: worker.do(w, number), result
        )
        for name, values in rates.items():
            latency = (
                {"p50 ms": _middle(values, 1), "p99 ms": _middle(values, 2)}
                if what[0] == "i" and len(values[0]) > 1
                else {}
            )
            result.figures.append(
                Figure(name, what, "queries/s", [v[0] for v in values], facts[name] | latency)
            )
    result.want("recall@10", RECALL, _fact(result, "carma", "recall@10"))
    result.want("× Chroma, ids and scores", 2.0, result.ratio("ids and scores", "chroma"))
    result.want("× LanceDB, ids and scores", 3.0, result.ratio("ids and scores", "lancedb"))
    result.want("× raw FAISS, ids and scores", 0.8, result.ratio("ids and scores", "faiss"))
    result.want(
        "× raw FAISS, ten verified texts against its ids and scores",
        0.4,
        result.ratio("ids and texts", "faiss", "ids and scores"),
    )
    return result


def batch(context: Context) -> Measurement:
    """Two threads, 1,000 queries at once."""
    result = Measurement(
        "batch", f"vector queries in batches of 1,000, {context.size:,} fragments, two threads"
    )
    workers, facts = _opened(context, result, cores=2, without=("qdrant", "langgraph", "mem0"))
    rates = alternate(
        workers, context.rounds, lambda name, worker, number: worker.do(ask_many, number), result
    )
    for name, values in rates.items():
        result.figures.append(
            Figure(name, "ids and scores", "queries/s", [v[0] for v in values], facts[name])
        )
    result.want("queries/s", 30_000, result.value("carma", "ids and scores"))
    return result


def small(context: Context) -> Measurement:
    """1,000 fragments, exact, two threads, 1,000 queries at once."""
    result = Measurement("small", "1,000 fragments, exact, batches of 1,000 queries, two threads")
    workers, facts = _opened(
        context, result, cores=2, size=SMALL, wanted=0.999, without=("qdrant", "langgraph")
    )
    rates = alternate(
        workers, context.rounds, lambda name, worker, number: worker.do(ask_many, number), result
    )
    for name, values in rates.items():
        result.figures.append(
            Figure(name, "ids and scores", "queries/s", [v[0] for v in values], facts[name])
        )
    result.want("queries/s", SEED_BATCH_RATE, result.value("carma", "ids and scores"))
    result.want("recall@10 (exact)", 0.9999, _fact(result, "carma", "recall@10"))
    return result


def _opened(
    context: Context,
    result: Measurement,
    *,
    cores: int,
    size: int | None = None,
    wanted: float = RECALL,
    without: tuple[str, ...] = (),
) -> tuple[dict[str, Worker], dict[str, dict[str, Any]]]:
    """Workers with opened stores and tuned efforts, and the facts of each."""
    workers, facts = {}, {}
    for name in context.systems:
        if name in without or not context.has(name):
            continue
        rows = min(size or context.size, SMALLER.get(name, 10**9))
        try:
            context.corpus.nearest(rows, TUNED_ON)
            folder = "" if name == "qdrant" else str(store(context, name, rows) / "store")
            worker, effort, recall = _tuned(context, name, folder, rows, cores, wanted)
        except WorkFailed as error:
            result.notes.append(f"{name} failed: {str(error).splitlines()[0]}")
            print(f"    {error}", flush=True)
            continue
        workers[name] = worker
        facts[name] = {
            "recall@10": recall,
            "effort": effort,
            "index": type(make(name)).index,
            "fragments": rows,
        }
        print(f"    {name}: effort {effort}, recall {recall}", flush=True)
    return workers, facts


def _tuned(
    context: Context, name: str, folder: str, rows: int, cores: int, wanted: float
) -> tuple[Worker, Any, float]:
    """A worker at the least effort that reaches the recall; one process per effort, since Chroma reads it
    only once.
    """
    known = context.efforts.get((name, rows, wanted))
    for effort in type(make(name)).efforts:
        if known is not None and effort != known[0]:
            continue
        worker = context.worker(name, cores=cores)
        recall = worker.do(open_with, folder, rows, effort)
        if recall >= wanted or effort == type(make(name)).efforts[-1]:
            break
        worker.close()
    context.efforts[name, rows, wanted] = (effort,)
    return worker, effort, recall


def _middle(values: list[tuple[float, ...]], column: int) -> float:
    ordered = sorted(value[column] for value in values)
    return round(ordered[len(ordered) // 2], 3)


def _fact(result: Measurement, system: str, fact: str) -> float | None:
    figure = next((f for f in result.figures if f.system == system), None)
    return figure.facts.get(fact) if figure else None


def open_with(peer: Peer, corpus: Corpus, folder: str, rows: int, effort: Any) -> float:
    """Work: opens a filled store with an effort; its recall@10."""
    if peer.name == "qdrant":
        peer.open(Path(), corpus.dimension, memory=True)  # type: ignore[call-arg]
        peer.load(*corpus.slice(0, rows))
    else:
        peer.open(Path(folder), corpus.dimension)
    if effort is not None:
        peer.set_effort(effort)
    count = TUNED_ON if peer.name not in ("langgraph", "qdrant") else 20
    truth = corpus.nearest(rows, TUNED_ON)[:count].tolist()
    found = [peer.query(vector, K)[0] for vector in corpus.query_vectors[:count]]
    hits = sum(len({row_of(i) for i in ids} & set(best)) for ids, best in zip(found, truth, strict=True))
    return round(hits / (K * count), 4)


def ask(peer: Peer, corpus: Corpus, number: int) -> tuple[float, float, float]:
    """Work: queries a second one by one, and the median and 99th percentile in milliseconds."""
    return _timed(corpus, number, lambda vector: peer.query(vector, K))


def ask_texts(peer: Peer, corpus: Corpus, number: int) -> tuple[float, float, float]:
    """Work: the same with the texts of the ten."""
    return _timed(corpus, number, lambda vector: peer.query_texts(vector, K))


def _timed(corpus: Corpus, number: int, ask_one: Any) -> tuple[float, float, float]:
    queries = corpus.query_vectors
    ask_one(queries[0])
    taken: list[float] = []
    row = 211 * number
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < ROUND_S or len(taken) < 3:
        row += 1
        ask_one(queries[row % len(queries)])
        taken.append(time.perf_counter() - now)
    return (
        len(taken) / (time.perf_counter() - began),
        percentile(taken, 0.5) * 1e3,
        percentile(taken, 0.99) * 1e3,
    )


def ask_many(peer: Peer, corpus: Corpus, number: int) -> tuple[float]:
    """Work: queries a second in batches, every id read."""
    queries = corpus.query_vectors[:BATCH] if number % 2 == 0 else corpus.query_vectors[-BATCH:]
    if peer.name == "mem0":
        queries = queries[:100]  # it answers one at a time
    done = 0
    began = time.perf_counter()
    while time.perf_counter() - began < ROUND_S or not done:
        answers = peer.query_many(queries, K)
        for which in range(len(queries)):
            peer.ids_at(answers, which)
        done += len(queries)
    return (done / (time.perf_counter() - began),)
