"""Questions in words over 100,000 fragments, the embedding of the question included, all cores free.

CARMA and LanceDB fuse words and vectors; Chroma and mem0 (with FAISS) have no word index locally and answer
by vector alone, which is less work: their figures stand beside, not against.
"""

from __future__ import annotations

import time

from bench.corpus import Corpus
from bench.figures import Figure, Measurement, percentile
from bench.peers import Peer
from bench.rounds import Context, alternate
from bench.stores import store
from bench.worker import WorkFailed

WORDS = 12
MODES = {
    "carma": "words + vectors + neighbours + context",
    "lancedb": "words + vectors, rank fusion",
    "chroma": "vectors only",
    "mem0": "vectors only",
}
ROUND_S = 1.5


def hybrid(context: Context) -> Measurement:
    """p50 and p99 per query, for questions of at most 12 words and for whole paragraphs."""
    result = Measurement("hybrid", f"hybrid text query, {context.size:,} fragments, embedding included")
    workers = {}
    for name in MODES:
        if not context.has(name):
            continue
        try:
            folder = store(context, name, context.size) / "store"
            workers[name] = context.worker(name, embedder="packaged")
            workers[name].do(open_store, str(folder))
        except WorkFailed as error:
            workers.pop(name, None)
            result.notes.append(f"{name} failed: {str(error).splitlines()[0]}")
    for what, words in (("12 words", WORDS), ("whole paragraphs", 10_000)):
        taken = alternate(
            workers, context.rounds, lambda name, w, number, n=words: w.do(ask, number, n), result
        )
        for name, rounds in taken.items():
            facts = {"mode": MODES[name], "queries": sum(map(len, rounds))}
            for share, label in ((0.5, "p50"), (0.99, "p99")):
                values = [percentile(one, share) for one in rounds]
                everything = round(percentile([value for one in rounds for value in one], share), 3)
                result.figures.append(
                    Figure(name, f"{what}, {label}", "ms", values, facts | {"over all rounds": everything})
                )
    for label, most in (("p50", 6.0), ("p99", 15.0)):
        figure = result.find("carma", f"12 words, {label}")
        reached = figure.facts["over all rounds"] if figure else None
        result.want(f"{label} in ms, questions of 12 words", most, reached, at_least=False)
    return result


def open_store(peer: Peer, corpus: Corpus, folder: str) -> None:
    """Work: opens a filled store and asks once."""
    from pathlib import Path

    peer.open(Path(folder), corpus.dimension)
    peer.query_text("What was asked first, outside the clock?", 10)


def ask(peer: Peer, corpus: Corpus, number: int, words: int) -> list[float]:
    """Work: milliseconds of each query of one round; no question is asked twice."""
    taken: list[float] = []
    row = (331 * number + (997 if words > WORDS else 0)) % len(corpus.queries)
    began = time.perf_counter()
    while time.perf_counter() - began < ROUND_S or len(taken) < 10:
        row += 1
        question = " ".join(corpus.queries[row % len(corpus.queries)].split()[:words])
        before = time.perf_counter()
        peer.query_text(question, 10)
        taken.append((time.perf_counter() - before) * 1e3)
    return taken
