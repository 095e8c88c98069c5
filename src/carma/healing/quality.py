"""How good a rebuilt text is: measures that are not the guide.

The idea: what chose the words of a reconstruction (the sketch and its embedder) must not judge them, so
beside the cosine stand counts of words, of their order, and of the names, numbers and dates. Rejected: a
language model as a judge, whose verdict nobody can repeat.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from carma.healing.telling import Kind, kinds_of
from carma.healing.units import Unit, units_of

__all__ = [
    "GOOD_ENTITIES",
    "GOOD_F1",
    "entities",
    "entity_recall",
    "expected_calibration_error",
    "judged_good",
    "rouge_l",
    "spread",
    "token_f1",
    "words",
]

GOOD_F1 = 0.6
GOOD_ENTITIES = 0.5
_WORD = re.compile(r"\w+")
_SPEAKER_UNITS = 4
_MOST_WORDS = 4_000  # of a text are compared in order: the work grows with the square


def words(text: str) -> list[str]:
    """The words of a text in lower case; signs are left out, articles are not."""
    return _WORD.findall(text.lower())


def token_f1(lost: str, rebuilt: str) -> float:
    """Harmonic mean of precision and recall over words as a bag, 0 to 1; 1 where both have none.

    Source: Rajpurkar et al., "SQuAD", arXiv 1606.05250, section 6.1, without its removal of articles.
    """
    wanted, found = Counter(words(lost)), Counter(words(rebuilt))
    return _f1((wanted & found).total(), wanted.total(), found.total())


def rouge_l(lost: str, rebuilt: str) -> float:
    """F-measure of the longest common subsequence of words, 0 to 1; 1 where both have none.

    Source: C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries", 2004, section 3.1, with beta
    1.
    """
    wanted, found = words(lost)[:_MOST_WORDS], words(rebuilt)[:_MOST_WORDS]
    return _f1(_longest_common(wanted, found), len(wanted), len(found))


def entities(text: str, names: Collection[str] = ()) -> Counter[str]:
    """The names, numbers and dates of a text in lower case, each as often as it stands there.

    What counts as one is decided by rules alone: see `carma.healing.telling.kinds_of`. names: words in lower
    case that are known to be names, so that they count at the beginning of a sentence too. Who speaks, the
    name before a colon at the beginning, is left out: it stands before every turn and says nothing of it.
    """
    units, _ = units_of(text)
    kinds = kinds_of(units, names)
    at = _after_speaker(units, kinds)
    return Counter(unit.plain for unit, kind in zip(units[at:], kinds[at:], strict=True) if kind <= Kind.DATE)


def entity_recall(lost: str, rebuilt: str, names: Collection[str] = ()) -> float | None:
    """The share of the lost text's names, numbers and dates that the rebuilt text has; None where it had
    none.

    In the rebuilt text case is not asked for.
    """
    wanted = entities(lost, names)
    if not wanted:
        return None
    found = Counter(unit.plain for unit in units_of(rebuilt)[0])
    return (wanted & found).total() / wanted.total()


def judged_good(lost: str, rebuilt: str, names: Collection[str] = ()) -> bool:
    """Whether a reconstruction would serve: token F1 of 0.6 or more, and half of names, numbers and dates."""
    recalled = entity_recall(lost, rebuilt, names)
    return token_f1(lost, rebuilt) >= GOOD_F1 and (recalled is None or recalled >= GOOD_ENTITIES)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, 10th percentile and least of some values (of a cosine, say); empty where there are none."""
    if not len(values):
        return {}
    table = np.asarray(values, np.float64)
    return {
        "mean": float(table.mean()),
        "p10": float(np.percentile(table, 10)),
        "min": float(table.min()),
    }


def expected_calibration_error(confidences: Sequence[float], good: Sequence[bool], bins: int = 10) -> float:
    """How far confidence and share of good ones lie apart: the mean over bins of equal width, by their
    counts, 0 to 1.

    0 where nothing was given. Source: Naeini et al., "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015.
    """
    if len(confidences) != len(good):
        raise ValueError(f"{len(confidences)} confidences for {len(good)} verdicts")
    if not len(confidences):
        return 0.0
    said, true = np.asarray(confidences, np.float64), np.asarray(good, np.float64)
    which = np.clip((said * bins).astype(int), 0, bins - 1)
    apart = (
        abs(float(said[which == one].mean()) - float(true[which == one].mean())) * int((which == one).sum())
        for one in np.unique(which)
    )
    return sum(apart) / len(said)


def _after_speaker(units: Sequence[Unit], kinds: Sequence[Kind]) -> int:
    """Where a text goes on after the name of who speaks; 0 if none stands there."""
    for at, (unit, kind) in enumerate(zip(units[: _SPEAKER_UNITS + 1], kinds, strict=False)):
        if unit.written == ":":
            return at
        if kind is not Kind.NAME:
            return 0
    return 0


def _f1(common: int, wanted: int, found: int) -> float:
    if not wanted and not found:
        return 1.0
    return 2 * common / (wanted + found)


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    lengths = [0] * (len(second) + 1)
    for one in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if one == other else max(above, lengths[place - 1])
            diagonal = above
    return lengths[-1]
