"""Writing: texts, given vectors, and many writers at once, until durable and searchable.

A round hands every system the same rows. The clock stops only after a query for the last row has found it,
so a system that puts work off until the first query pays for it here.
"""

from __future__ import annotations

import threading
import time

from bench.corpus import Corpus
from bench.figures import Figure, Measurement
from bench.peers import Peer, make
from bench.rounds import Context, alternate, begin
from bench.worker import Worker

BATCH = 100
WRITERS = 50
SEED_RATE = 6_802
"""Vectors a second of the seed programs, the figure to reach."""

TEXT_SYSTEMS = {
    "carma": ("carma", None),
    "chroma, its default (fp32, padded to 256)": ("chroma", "fp32-padded"),
    "chroma, fp32 without the padding": ("chroma", "fp32"),
    "chroma, CARMA's int8 embedder": ("chroma", "packaged"),
    "lancedb, CARMA's int8 embedder": ("lancedb", "packaged"),
    "langgraph, CARMA's int8 embedder": ("langgraph", "packaged"),
    "mem0, CARMA's int8 embedder": ("mem0", "packaged"),
    "qdrant, CARMA's int8 embedder": ("qdrant", "packaged"),
    "CARMA's int8 embedder alone, nothing stored": ("faiss", "packaged"),
}
SLOW_TEXTS = {"mem0": 50, "qdrant": 50}
"""Texts a round for systems that write each one for itself; the others get 300 (the fp32 embedders 100)."""
SLOW_VECTORS = {"qdrant": 100, "langgraph": 500}
PER_WRITER = {"carma": 40, "chroma": 2, "lancedb": 2, "qdrant": 1, "mem0": 2, "langgraph": 2}


def texts(context: Context) -> Measurement:
    """Texts to durable and searchable, embedding included, in batches of 100."""
    result = Measurement("texts", "text to durable and searchable")
    workers, counts = {}, {}
    for label, (system, embedder) in TEXT_SYSTEMS.items():
        if not context.has(system) or not _embedder_there(embedder):
            continue
        workers[label] = _started(context, system, embedder)
        counts[label] = SLOW_TEXTS.get(system, 100 if embedder in ("fp32", "fp32-padded") else 300)
    rates = alternate(
        workers,
        context.rounds,
        lambda label, worker, number: worker.do(
            embed_only if worker.system == "faiss" else add_texts, 10_000 * number, counts[label]
        ),
        result,
    )
    for label, values in rates.items():
        system = TEXT_SYSTEMS[label][0]
        result.figures.append(
            Figure(label, "texts", "texts/s", values, _durable(system) | {"a round": counts[label]})
        )
    result.want("texts/s", 300, result.value("carma", "texts"))
    for label in list(TEXT_SYSTEMS)[1:3]:
        result.want(f"× {label}", 1.8, result.ratio("texts", label))
    same = result.ratio("texts", "chroma, CARMA's int8 embedder")
    if same is not None:
        result.notes.append(
            f"With the same embedder CARMA is {same:.2f} × Chroma: embedding is nearly all of the time."
        )
    result.notes.append(
        f"Mean length of a text: {_mean_length(context.corpus)} characters. Chroma's default model is fp32 "
        "MiniLM, one text tokenised at a time and padded to 256 tokens; it cannot be downloaded here and is "
        "rebuilt from the same weights."
    )
    return result


def vectors(context: Context) -> Measurement:
    """Texts with given vectors in batches of 100, one writer."""
    result = Measurement("vectors", "vectors given, batches of 100, durable and searchable")
    workers = {
        name: _started(context, name, None)
        for name in context.systems
        if name != "faiss" and context.has(name)
    }
    counts = {name: SLOW_VECTORS.get(name, 2_000) for name in workers}
    rates = alternate(
        workers,
        context.rounds,
        lambda name, worker, number: worker.do(add_vectors, 2_000 * number, counts[name]),
        result,
    )
    for name, values in rates.items():
        result.figures.append(
            Figure(name, "batches", "vectors/s", values, _durable(name) | {"a round": counts[name]})
        )
    mine = result.value("carma", "batches")
    result.want("vectors/s (the seed's figure)", SEED_RATE, mine)
    result.want("vectors/s (aim)", 20_000, mine)
    return result


def writers(context: Context) -> Measurement:
    """50 concurrent writers, each adding one fragment with its vector at a time."""
    result = Measurement("writers", "50 concurrent writers, one fragment each with vector, durable")
    workers = {
        name: _started(context, name, None)
        for name in context.systems
        if name != "faiss" and context.has(name)
    }
    rates = alternate(
        workers,
        context.rounds,
        lambda name, worker, number: worker.do(add_concurrently, 5_000 * number, PER_WRITER[name]),
        result,
    )
    for name, values in rates.items():
        facts = _durable(name) | {"a round": WRITERS * PER_WRITER[name]}
        result.figures.append(Figure(name, "threads", "fragments/s", values, facts))
    if "carma" in workers:
        each = PER_WRITER["carma"]
        tasks = [workers["carma"].do(add_from_tasks, 50_000 + 5_000 * n, each) for n in range(context.rounds)]
        result.figures.append(Figure("carma", "asyncio tasks", "fragments/s", tasks, _durable("carma")))
    result.want("fragments/s", SEED_RATE, result.value("carma", "threads"))
    result.notes.append(
        "50 threads start together; each waits for one fragment to be durable before it adds its next."
    )
    return result


def _started(context: Context, system: str, embedder: str | None) -> Worker:
    worker = context.worker(system, embedder=embedder)
    worker.do(begin, str(context.scratch(system)))
    if system == "faiss":
        worker.do(embed_only, 0, 10)
    else:
        worker.do(warm)
    return worker


def _durable(system: str) -> dict[str, str]:
    return {"synced": "yes" if type(make(system)).syncs else "no"}


def _embedder_there(name: str | None) -> bool:
    from bench.embedders import reference_file

    return name in (None, "packaged") or reference_file() is not None


def _mean_length(corpus: Corpus) -> int:
    return sum(map(len, corpus.texts)) // len(corpus.texts)


def warm(peer: Peer, corpus: Corpus) -> None:
    """Work: loads the embedder and writes once, outside the clock."""
    last = len(corpus.texts)
    ids, texts, vectors = corpus.slice(last - 10, last)
    if peer.embed is not None or peer.name == "carma":
        peer.add_texts(ids, texts)
    else:
        peer.add(ids, texts, vectors)
    peer.await_searchable()
    peer.query(vectors[0], 10)


def embed_only(peer: Peer, corpus: Corpus, start: int, count: int) -> float:
    """Work: texts embedded a second, the limit of all that use this embedder."""
    assert peer.embed is not None
    texts = corpus.texts[start : start + count]
    began = time.perf_counter()
    for at in range(0, count, BATCH):
        peer.embed(texts[at : at + BATCH])
    return count / (time.perf_counter() - began)


def add_texts(peer: Peer, corpus: Corpus, start: int, count: int) -> float:
    """Work: texts a second."""
    ids, texts, vectors = corpus.slice(start, start + count)
    began = time.perf_counter()
    for at in range(0, count, BATCH):
        peer.add_texts(ids[at : at + BATCH], texts[at : at + BATCH])
    peer.await_searchable()
    if peer.name == "mem0":
        peer.query(vectors[-1], 10)  # it makes its own ids
    else:
        _must_find(peer, ids[-1], vectors[-1])
    return count / (time.perf_counter() - began)


def add_vectors(peer: Peer, corpus: Corpus, start: int, count: int) -> float:
    """Work: vectors a second."""
    ids, texts, vectors = corpus.slice(start, start + count)
    began = time.perf_counter()
    for at in range(0, count, BATCH):
        peer.add(ids[at : at + BATCH], texts[at : at + BATCH], vectors[at : at + BATCH])
    peer.await_searchable()
    _must_find(peer, ids[-1], vectors[-1])
    return count / (time.perf_counter() - began)


def add_concurrently(peer: Peer, corpus: Corpus, start: int, each: int) -> float:
    """Work: fragments a second of 50 threads that add `each` fragments one at a time."""
    ids, texts, vectors = corpus.slice(start, start + WRITERS * each)
    ready = threading.Barrier(WRITERS + 1)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        ready.wait()
        try:
            for row in range(number * each, (number + 1) * each):
                peer.add(ids[row : row + 1], texts[row : row + 1], vectors[row : row + 1])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    peer.await_searchable()
    _must_find(peer, ids[-1], vectors[-1])
    return len(ids) / (time.perf_counter() - began)


def add_from_tasks(peer: Peer, corpus: Corpus, start: int, each: int) -> float:
    """Work: the same by 50 asyncio tasks, where the system has an asynchronous interface of its own."""
    rows = corpus.slice(start, start + WRITERS * each)
    began = time.perf_counter()
    peer.add_from_tasks(*rows, WRITERS)  # type: ignore[attr-defined]
    peer.await_searchable()
    _must_find(peer, rows[0][-1], rows[2][-1])
    return len(rows[0]) / (time.perf_counter() - began)


def _must_find(peer: Peer, identity: str, vector: object) -> None:
    found = peer.query(vector, 10)[0]  # type: ignore[arg-type]
    if identity not in found:
        raise AssertionError("what was added last is not found")
