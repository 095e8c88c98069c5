"""From what was seen to the report: the one dictionary that every form of it is made from (docs/PROOF.md
names its members).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from carma.embed import Embedder
from carma.healing.quality import GOOD_ENTITIES, GOOD_F1
from carma.prove.experiment import Run
from carma.prove.measure import Round
from carma.prove.outcome import Outcome, calibration, counts, means, outcomes, rungs, sample

__all__ = ["GOOD", "NORMAL_WAIT_MS", "figures"]

GOOD = (
    f"token F1 of at least {GOOD_F1} and, of the original's names, numbers and dates, where it has any, "
    f"at least {GOOD_ENTITIES:.0%} there"
)
"""When a reconstruction counts as good. No language model is asked."""
NORMAL_WAIT_MS = 1_000.0
"""A wait for an answer that is not longer than this is no downtime: a busy machine makes anybody wait so
long.
"""

_SAMPLES = 20
_PHASES = ("damaged", "reopened", "dreaming", "after")
_VERBS = ("search", "get", "list", "tree")


def figures(run: Run, embedder: Embedder) -> dict[str, Any]:
    """The report of a run, as JSON values."""
    plan, rounds = run.plan, run.rounds
    found = outcomes(run.corpus.originals, run.final, embedder)
    rebuilt = [each for each in found if each.reconstructed]
    measured = means(rebuilt)
    after_loss = [rounds[name] for name in _PHASES]
    return {
        "input": list(run.corpus.names),
        "damage": plan.damage,
        "redundancy": plan.redundancy,
        "loss": plan.loss,
        "sketch_bytes": plan.sketch_bytes,
        "seed": plan.seed,
        "fragments": len(run.corpus.originals),
        "losable": len(run.corpus.losable),
        "outdated": run.corpus.outdated,
        "lost": len(run.victims),
        "queries": len(run.queries),
        "asked": {name: each.asked for name, each in rounds.items()},
        "failed_queries": sum(each.failed for each in after_loss),
        "wrong_answers": sum(each.wrong for each in after_loss) + len(run.unread),
        "examples": [text for each in rounds.values() for text in each.examples][:_SAMPLES]
        + run.unread[:_SAMPLES],
        "phases": {name: _phase(each) for name, each in rounds.items()},
        **counts(found),
        "while_damaged": counts(outcomes(run.corpus.originals, run.stages[0], embedder)),
        "cycles": len(run.dreams),
        "rungs": rungs(found, _files(run)),
        "similarity": measured["similarity"],
        "token_f1": measured["token_f1"],
        "rouge_l": measured["rouge_l"],
        "entity_recall": measured["entity_recall"],
        "not_exact": means([each for each in found if not each.exact]),
        "all_lost": means(found),
        "judge": _judge(run, rebuilt),
        "answer_overlap_at_10": {
            "damaged": rounds["reopened"].overlap(run.queries, rounds["before"]),
            "healed": rounds["after"].overlap(run.queries, rounds["before"]),
        },
        "latency_ms": {
            name: rounds[name].latency_ms() for name in ("before", "damaged", "dreaming", "after")
        },
        "latency_ms_by_verb": {
            name: {verb: each.latency_ms(verb) for verb in _VERBS} for name, each in rounds.items()
        },
        "longest_wait_ms": {name: round(each.longest_wait_ms, 3) for name, each in rounds.items()},
        "downtime_ms": _downtime(rounds),
        "reopen_ms": round(run.reopen_ms, 3),
        "dream": _dream(run),
        "confidence_calibration": calibration(rebuilt),
        "curves": {
            "cycles": _cycles(run, embedder),
            "latency_series": {name: [round(ms, 3) for ms in each.times] for name, each in rounds.items()},
            "similarity_histogram": [round(each.cosine, 4) for each in rebuilt],
        },
        "samples": _samples(found, run),
        "files": run.files,
        "hits": {"damaged": len(run.done), "stripped": len(run.stripped)},
        "problems": run.corpus.problems,
        "took_s": round(run.took_s, 3),
    }


def _phase(round_: Round) -> dict[str, Any]:
    return {
        "asked": round_.asked,
        "failed": round_.failed,
        "wrong": round_.wrong,
        "degraded": round_.degraded,
        "states": dict(sorted(round_.states.items())),
    }


def _downtime(rounds: Mapping[str, Round]) -> float:
    """The longest wait for an answer after the loss, less what is normal; 0 where none was longer."""
    normal = max(rounds["before"].longest_wait_ms, NORMAL_WAIT_MS)
    longest = max(rounds[name].longest_wait_ms for name in _PHASES)
    return round(max(longest - normal, 0.0), 3)


def _dream(run: Run) -> dict[str, Any]:
    return {
        "planned_s": round(sum(each.planned_s for each in run.dreams), 3),
        "actual_s": round(sum(each.actual_s for each in run.dreams), 3),
        "errors": run.dream_errors + [each.error for each in run.dreams if each.error is not None],
        "cycles": [
            {name: value for name, value in each.to_dict().items() if name not in ("steps", "started")}
            for each in run.dreams
        ],
    }


def _files(run: Run) -> dict[int, str]:
    """By number of the write: the rung by which a dream made the file whole again that had lost it."""
    restored = {step.name: step.rung for dream in run.dreams for step in dream.steps if step.target == "file"}
    return {seq: restored[done.path] for done in run.done for seq in done.seqs if done.path in restored}


def _judge(run: Run, rebuilt: Sequence[Outcome]) -> dict[str, Any]:
    """The automatic judge: reconstructions, and whether what was asked is still found."""
    lost, rounds = frozenset(run.victims), run.rounds
    stages = {"before": rounds["before"], "damaged": rounds["reopened"], "healed": rounds["after"]}
    good = sum(each.good for each in rebuilt)
    return {
        "good_means": GOOD,
        "judged": len(rebuilt),
        "good": round(good / len(rebuilt), 4) if rebuilt else None,
        "found_again": {name: each.finds(run.queries, lost) for name, each in stages.items()},
        "evidence_recall_at_10": {name: each.evidence(run.queries) for name, each in stages.items()},
        "evidence_recall_at_10_of_lost": {
            name: each.evidence(run.queries, lost) for name, each in stages.items()
        },
        "questions": sum(bool(query.evidence) for query in run.queries),
    }


def _cycles(run: Run, embedder: Embedder) -> list[dict[str, Any]]:
    """The counts, the score against the sketch and the independent measures: while damaged, and after each
    cycle.
    """
    out = []
    for cycle, stage in enumerate(run.stages):
        found = outcomes(run.corpus.originals, stage, embedder)
        rebuilt = [each for each in found if each.reconstructed]
        report = run.dreams[cycle - 1] if 0 < cycle <= len(run.dreams) else None
        measured = means(rebuilt)
        out.append(
            {
                "cycle": cycle,
                **counts(found),
                "score": report.score if report is not None else None,
                "similarity": measured["similarity"]["mean"],
                "token_f1": measured["token_f1"],
                "rouge_l": measured["rouge_l"],
                "entity_recall": measured["entity_recall"],
            }
        )
    return out


def _samples(found: Sequence[Outcome], run: Run) -> list[dict[str, Any]]:
    """Up to 20 losses, drawn by the seed: what is rebuilt or blank before what is exact."""
    drawn = Random(run.plan.seed).sample(list(found), len(found))
    drawn.sort(key=lambda each: each.exact)
    files = _files(run)
    return [sample(each, files) for each in drawn[:_SAMPLES]]
