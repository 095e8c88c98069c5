"""The row that judges the confidence of reconstructions, and what the page of the proof says of quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench.calibration import calibrated
from bench.proof_page import FEWEST_JUDGED, _body, goals_of
from bench.reconstruction import Timed

from carma.embed import MiniLM

TOPICS = ("the river", "a violin", "the garden", "her brother", "old maps", "the harbour")


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty turns of two people."""
    path = tmp_path_factory.mktemp("talk") / "7.json"
    turns = [
        {
            "role": ("Ada", "Tom")[at % 2],
            "content": f"Yesterday at {at % 12} I thought of {TOPICS[at % 6]} again, "
            f"and of what Mira said about {TOPICS[at * 5 % 6]} on day {at}.",
        }
        for at in range(60)
    ]
    path.write_text(json.dumps(turns))
    return path


def test_only_what_did_not_come_back_to_the_letter_is_judged(conversation: Path) -> None:
    """Every lost turn is counted once for each size, and bins and sizes have the same ones."""
    found = calibrated([conversation], Timed(MiniLM()), sizes=(12, 96), loss=0.2)
    assert found["lost"] == 24 and found["exact"] >= 1
    assert found["n"] == 24 - found["exact"] == sum(one["n"] for one in found["bins"])
    assert found["n"] == sum(one["n"] for one in found["sizes"].values()) >= 12
    apart = sum(one["n"] * abs(one["confidence"] - one["good"]) for one in found["bins"]) / found["n"]
    assert found["ece"] == pytest.approx(apart, abs=1e-3)


def row(n: int, error: float) -> dict[str, Any]:
    told = {
        "n": n, "good": 0.5, "confidence": 0.5, "ece": error, "token_f1": 0.6, "entity_recall": 0.7,
        "with_entities": n, "cosine": {"mean": 0.8, "p10": 0.71, "min": 0.612},
    }  # fmt: skip
    bins = [{"from": 0.5, "to": 0.6, "n": n, "confidence": 0.5, "good": 0.5}]
    about = {"conversations": ["42"], "loss": 0.1, "lost": n + 3, "exact": 3, "bins": bins}
    figures = {"12 to 64 bytes": {**told, **about, "sizes": {"12": told}}}
    machine = dict.fromkeys(("processor", "cores", "memory_gb", "system", "python", "when"), "x")
    return {"figures": figures, "command": "it", "took_s": 1, "machine": machine}


@pytest.mark.parametrize(
    ("n", "error", "met"), [(FEWEST_JUDGED, 0.1, True), (FEWEST_JUDGED - 1, 0.01, False), (500, 0.11, False)]
)
def test_a_calibration_error_over_too_few_is_no_success(n: int, error: float, met: bool) -> None:
    """However small it is."""
    [(_, _, reached, reachable)] = goals_of({"calibration": row(n, error)})
    assert reachable is met and f"n = {n}" in reached


def test_the_page_shows_bins_and_the_spread_of_quality() -> None:
    """Counts, the tenth percentile and the least stand beside every mean."""
    known = {"calibration": row(120, 0.05)}
    page = "\n".join(_body(known, list(goals_of(known))))
    assert "| 0.5 to 0.6 | 120 | 0.500 | 0.500 |" in page
    assert "| 12 | 120 | 0.800 | 0.710 | 0.612 |" in page


def test_quality_is_told_with_over_how_many_texts() -> None:
    """A mean over twelve texts must not look like one over a thousand."""
    measured = {
        "similarity": {"mean": 0.9, "p10": 0.7, "min": 0.5}, "token_f1": 0.8, "rouge_l": 0.8,
        "entity_recall": 1.0, "fragments": 41, "with_entities": 21,
    }  # fmt: skip
    each = {
        "lost": 70, "exact": 29, "reconstructed": 41, "blank": 0, "recovered": 70, "asked": 9,
        "asked_while_dreaming": 1, "failed_queries": 0, "wrong_answers": 0, "downtime_ms": 0.0, "good": 0.9,
        "reconstructed_only": measured, "calibration": {"ece": 0.1}, "score_never_falls": True,
        "evidence": {"before": None, "healed_to_before": None}, "rungs": {}, "longest_wait_ms": 1.0,
        "dream_s": 1.0,
    }  # fmt: skip
    machine = row(1, 0.0)["machine"]
    known = {"pages": {"figures": {"5 %": each}, "command": "it", "took_s": 1, "machine": machine}}
    goals = {what.partition("5 %: ")[2]: reached for what, _, reached, _ in goals_of(known)}
    assert goals["cosine, mean"] == "0.900, n = 41"
    assert goals["names, numbers, dates recalled"] == "1.000, n = 21"
    assert "| 5 % | 70 | 29 | 41 | 0 | 0.900 | 0.700 | 0.500 |" in "\n".join(_body(known, []))
