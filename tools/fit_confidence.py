"""Fits the weights in `carma.healing.confidence` and checks them: `python tools/fit_confidence.py`.

Turns of LoCoMo conversations 26, 30 and 41 are lost and composed anew from sketches of many sizes, with and
without signs, and from context alone. A logistic function is fitted to which of them `quality.judged_good`
calls good: by Newton's method, with a little ridge so that features that say the same do not fight. What came
back to the letter is left out: it is proven, not believed. Then the expected calibration error is told on
conversations 42 and 43, which the fit has not seen: for each size of sketch and for all. It prints the
weights; a person puts them into `confidence.py`.

The data may not be taken along (CC BY-NC 4.0); without it the program says so and ends well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.locomo import DATA
from bench.reconstruction import Outcome, Timed, heal, read

from carma.embed.minilm import MiniLM
from carma.healing.confidence import NAMES, WEIGHTS, Features, confidence_of, row
from carma.healing.quality import expected_calibration_error

FITTED_ON, CHECKED_ON = ("26", "30", "41"), ("42", "43")
# Bytes of the sketch, and how many of them are signs.
SIZES = ((0, 0), (12, 0), (16, 0), (20, 0), (24, 0), (32, 0), (48, 0), (64, 0), (96, 0), (40, 16))
"""Bytes of the sketch, and how many of them are signs."""
LOSS = 0.1
MOST = 40
RIDGE = 0.01
ROUNDS = 50

Table = NDArray[np.float64]


def features_of(outcome: Outcome) -> Features:
    """What the composer knew of a reconstruction."""
    sketch, composed = outcome.sketch, outcome.composed
    return Features(
        similarity=composed.similarity,
        share=sketch.share if sketch else 0.0,
        terms=len(sketch.units) if sketch else 0,
        exact=bool(sketch and sketch.exact),
        context=outcome.nearby,
    )


def fit(rows: Table, good: Table) -> Table:
    """Weights of a logistic function by Newton's method: rows of shape (n, features), good of shape (n,)."""
    weights = np.zeros(rows.shape[1])
    ridge = RIDGE * np.eye(rows.shape[1])
    ridge[0, 0] = 0
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (good - chance) - ridge @ weights
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
        weights += np.linalg.solve(curve, slope)
    return weights


def told(name: str, outcomes: Iterable[Outcome], weights: Table) -> str:
    """Calibration of the weights that were just fitted, and of those in `confidence.py`."""
    rows = list(outcomes)
    if not rows:
        return f"{name:20}{0:>6}"
    good = [one.good for one in rows]
    table = np.array([row(features_of(one)) for one in rows])
    chance = 1 / (1 + np.exp(-table @ weights))
    now = [confidence_of(features_of(one)) for one in rows]
    errors = [expected_calibration_error(list(sure), good) for sure in (chance, now)]
    return f"{name:20}{len(rows):>6}{np.mean(good):>8.3f}" + "".join(f"{error:>10.3f}" for error in errors)


def main() -> int:
    """Fits, checks and prints; 0 also where there is no data."""
    if not all((DATA / f"{name}.json").is_file() for name in (*FITTED_ON, *CHECKED_ON)):
        print(f"no LoCoMo conversations in {DATA}: nothing was fitted", file=sys.stderr)
        return 0
    embed = Timed(MiniLM())
    found: dict[str, dict[str, list[Outcome]]] = {}
    for name in (*FITTED_ON, *CHECKED_ON):
        conversation = read(DATA / f"{name}.json", embed)
        for size, signs in SIZES:
            outcomes = heal(conversation, LOSS, size, embed, seed=2, most=MOST, sign_bytes=signs)
            kept = [one for one in outcomes if not (one.sketch and one.sketch.exact)]
            found.setdefault(name, {})[f"{size} bytes, {signs} signs"] = kept
    seen = [one for name in FITTED_ON for outcomes in found[name].values() for one in outcomes]
    rows = np.array([row(features_of(one)) for one in seen])
    weights = fit(rows, np.array([one.good for one in seen], np.float64))
    print("WEIGHTS =", tuple(round(float(weight), 2) for weight in weights), "#", ", ".join(NAMES))
    print("now     =", WEIGHTS)
    print(f"{'':20}{'turns':>6}{'good':>8}{'ECE new':>10}{'ECE now':>10}")
    print(told("fitted on", seen, weights))
    for kind in found[CHECKED_ON[0]]:
        print(told(kind, [one for name in CHECKED_ON for one in found[name][kind]], weights))
    print(
        told(
            "unseen, all", [o for name in CHECKED_ON for part in found[name].values() for o in part], weights
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
