"""What became of the lost fragments: each one beside its original, and the means over all.

A fragment that came back exactly is not compared: it would flatter the figures. Means are over what is
reconstructed, and once more over all that was not given back exactly, a blank counting as nothing.

The guide is not the judge: besides the cosine under the embedder that guided the reconstruction there are
token F1, ROUGE-L and the recall of names, numbers and dates, which it never saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from carma.embed import Embedder
from carma.healing.quality import (
    entity_recall,
    expected_calibration_error,
    judged_good,
    rouge_l,
    spread,
    token_f1,
)
from carma.models import Fragment
from carma.prove.corpus import Original

__all__ = ["Outcome", "calibration", "counts", "means", "outcomes", "rung_of", "rungs", "sample"]

_BINS = 10


class Outcome(NamedTuple):
    """A lost fragment and what stands for it. entity_recall: None where the original names nothing."""

    original: Original
    fragment: Fragment
    exact: bool
    cosine: float = 0.0
    token_f1: float = 0.0
    rouge_l: float = 0.0
    entity_recall: float | None = None
    good: bool = False

    @property
    def reconstructed(self) -> bool:
        """Whether it is a text rebuilt from meaning or words, and flagged as that."""
        return self.fragment.state == "reconstructed"

    @property
    def confidence(self) -> float | None:
        """What its reconstruction claims."""
        return self.fragment.repair.confidence if self.fragment.repair is not None else None


def outcomes(
    originals: Mapping[str, Original], now: Mapping[str, Fragment], embedder: Embedder
) -> list[Outcome]:
    """Every lost fragment beside its original, in order of id."""
    out = [_outcome(originals[id], fragment) for id, fragment in sorted(now.items())]
    rebuilt = [at for at, each in enumerate(out) if each.reconstructed and each.fragment.text]
    if rebuilt:
        true = embedder.embed([out[at].original.text for at in rebuilt])
        made = embedder.embed([out[at].fragment.text for at in rebuilt])
        for at, cosine in zip(rebuilt, np.einsum("ij,ij->i", true, made).tolist(), strict=True):
            out[at] = out[at]._replace(cosine=cosine)
    return out


def _outcome(original: Original, fragment: Fragment) -> Outcome:
    same = (fragment.text, fragment.version) == (original.text, original.version)
    exact = same and fragment.state in ("intact", "repaired")
    if exact:
        return Outcome(original, fragment, True, 1.0, 1.0, 1.0, None, True)
    true, made = original.text, fragment.text
    return Outcome(
        original, fragment, False, 0.0, token_f1(true, made), rouge_l(true, made), entity_recall(true, made),
        bool(made) and judged_good(true, made),
    )  # fmt: skip


def counts(found: Sequence[Outcome]) -> dict[str, int]:
    """How many came back, exactly or rebuilt, and how many did not."""
    exact = sum(each.exact for each in found)
    rebuilt = sum(each.reconstructed for each in found)
    return {
        "recovered": exact + rebuilt,
        "exact": exact,
        "reconstructed": rebuilt,
        "blank": len(found) - exact - rebuilt,
    }


def means(found: Sequence[Outcome]) -> dict[str, Any]:
    """The independent measures over these; None where there is nothing to measure."""
    named = [each.entity_recall for each in found if each.entity_recall is not None]
    cosines = spread([each.cosine for each in found])
    return {
        "similarity": {name: round(cosines[name], 4) if cosines else None for name in ("mean", "p10", "min")},
        "token_f1": _mean([each.token_f1 for each in found]),
        "rouge_l": _mean([each.rouge_l for each in found]),
        "entity_recall": _mean(named),
        "fragments": len(found),
        "with_entities": len(named),
    }


def calibration(found: Sequence[Outcome]) -> dict[str, Any]:
    """Confidence against the share judged good: expected calibration error, and its bins."""
    pairs = [(each.confidence, each.good) for each in found if each.confidence is not None]
    error = expected_calibration_error([one for one, _ in pairs], [good for _, good in pairs], _BINS)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for confidence, good in pairs:
        bins.setdefault(min(int(confidence * _BINS), _BINS - 1), []).append((confidence, good))
    return {
        "ece": round(error, 4) if pairs else None,
        "fragments": len(pairs),
        "bins": [
            {
                "from": at / _BINS,
                "to": (at + 1) / _BINS,
                "fragments": len(held),
                "confidence": _mean([confidence for confidence, _ in held]),
                "good": _mean([float(good) for _, good in held]),
            }
            for at, held in sorted(bins.items())
        ],
    }


def rungs(found: Sequence[Outcome], files: Mapping[int, str]) -> dict[str, int]:
    """Which rung gave each one back. files: by number of the write, the rung that made its file whole
    again.
    """
    named = (rung_of(each, files) for each in found)
    return dict(Counter(sorted(rung for rung in named if rung is not None)))


def rung_of(each: Outcome, files: Mapping[int, str]) -> str | None:
    """What the fragment says of itself; of one that lies in its place again, what was done to the file."""
    if each.fragment.repair is not None:
        return each.fragment.repair.rung
    return files.get(each.original.seq) if each.exact else None


def sample(each: Outcome, files: Mapping[int, str]) -> dict[str, Any]:
    """One line of the table of samples."""
    repair = each.fragment.repair
    blank = each.fragment.blank
    return {
        "id": each.original.id,
        "kind": each.original.kind,
        "original": each.original.text,
        "reconstruction": each.fragment.text,
        "state": each.fragment.state,
        "exact": each.exact,
        "rung": rung_of(each, files),
        "method": repair.method if repair is not None else None,
        "confidence": repair.confidence if repair is not None else None,
        "sketch_similarity": repair.similarity if repair is not None else None,
        "reason": blank.reason if blank is not None else None,
        "cosine": round(each.cosine, 4),
        "token_f1": round(each.token_f1, 4),
        "rouge_l": round(each.rouge_l, 4),
        "entity_recall": each.entity_recall,
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
