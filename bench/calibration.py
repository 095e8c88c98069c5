"""Whether the confidence of reconstructions holds: those of small sketches, pooled.

At 96 bytes nearly every turn of a conversation comes back to the letter, and of the few that do not nearly
all are good: a calibration error of those says nothing. So turns are composed anew from sketches of 12 to 64
bytes, of conversations on which nothing was fitted, and all that did not come back to the letter are judged
together. Rejected: judging each size by itself, whose confidences lie in two or three bins.

It is the composer that is judged here, as in `bench.reconstruction`: what it is given is what a dream would
give it, but no memory is written or damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.reconstruction import Outcome, Timed, heal, read
from carma.healing.quality import expected_calibration_error, spread

__all__ = ["SIZES", "UNSEEN", "calibrated"]

UNSEEN = ("42", "43")
"""Conversations on which the confidence was not fitted (`tools/fit_confidence.py`)."""
SIZES = (12, 16, 20, 24, 32, 48, 64)
"""Bytes of a sketch."""
LOSS = 0.1
SEED = 5
"""Another loss than those that were looked at while fitting."""
_BINS = 10


def calibrated(
    paths: Sequence[Path], embed: Timed, *, sizes: Sequence[int] = SIZES, loss: float = LOSS
) -> dict[str, Any]:
    """The figures of all sizes together, their bins, and of each size by itself.

    paths: conversations. Turns that came back to the letter are counted as `exact` and not judged.
    """
    found: dict[int, list[Outcome]] = {size: [] for size in sizes}
    for path in paths:
        conversation = read(path, embed)
        for size in sizes:
            found[size] += heal(conversation, loss, size, embed, seed=SEED)
    everything = [one for outcomes in found.values() for one in outcomes]
    judged = [one for one in everything if not one.exact]
    return {
        "conversations": [path.stem for path in paths],
        "loss": loss,
        "lost": len(everything),
        "exact": len(everything) - len(judged),
        **_told(judged),
        "bins": list(_bins(judged)),
        "sizes": {str(size): _told([one for one in of if not one.exact]) for size, of in found.items()},
    }


def _told(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    sure, good = _pairs(outcomes)
    recalls = [one.recall for one in outcomes if one.recall is not None]
    return {
        "n": len(outcomes),
        "good": _mean(map(float, good)),
        "confidence": _mean(sure),
        "ece": round(expected_calibration_error(sure, good, _BINS), 4) if outcomes else None,
        "cosine": {name: round(value, 4) for name, value in spread([o.cosine for o in outcomes]).items()},
        "token_f1": _mean(one.f1 for one in outcomes),
        "entity_recall": _mean(recalls),
        "with_entities": len(recalls),
    }


def _bins(outcomes: Sequence[Outcome]) -> Iterable[dict[str, Any]]:
    held: dict[int, list[Outcome]] = {}
    for one in outcomes:
        held.setdefault(min(int(one.composed.confidence * _BINS), _BINS - 1), []).append(one)
    for at, members in sorted(held.items()):
        sure, good = _pairs(members)
        yield {
            "from": at / _BINS,
            "to": (at + 1) / _BINS,
            "n": len(members),
            "confidence": _mean(sure),
            "good": _mean(map(float, good)),
        }


def _pairs(outcomes: Sequence[Outcome]) -> tuple[list[float], list[bool]]:
    return [one.composed.confidence for one in outcomes], [one.good for one in outcomes]


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return round(sum(known) / len(known), 4) if known else None
