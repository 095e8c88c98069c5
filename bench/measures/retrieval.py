"""LoCoMo: does retrieval find the turns that hold the evidence? Same turns, same MiniLM, a store per
conversation.
"""

from __future__ import annotations

from bench.figures import Figure, Measurement
from bench.locomo_peers import evaluate
from bench.measures.hybrid import MODES
from bench.rounds import Context
from bench.worker import WorkFailed

SYSTEMS = ("carma", "chroma", "mem0", "lancedb")


def locomo(context: Context) -> Measurement:
    """Evidence Recall@5, 10 and 20, and the mean reciprocal rank."""
    result = Measurement("locomo", "LoCoMo, evidence recall at turn level, no language model")
    if context.locomo is None or not any(context.locomo.glob("*.json")):
        result.notes.append(
            "No data: give its folder with --locomo. Its licence (CC BY-NC 4.0) keeps it out of the project."
        )
        return result
    for name in SYSTEMS:
        if not context.has(name):
            continue
        worker = context.worker(name, embedder="packaged")
        try:
            found = worker.do(evaluate, str(context.locomo), str(context.scratch(name)), timeout_s=1200)
        except WorkFailed as error:
            result.notes.append(f"{name} failed: {str(error).splitlines()[0]}")
            print(f"    {error}", flush=True)
            continue
        facts = {"mode": MODES[name], "questions": found.pop("questions")}
        for what, value in found.items():
            result.figures.append(Figure(name, what, "", [value], facts))
    result.want("recall@10", 0.75, result.value("carma", "recall@10"))
    return result
