"""Promises of the LoCoMo figures: what counts as found, and how the mean is formed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import locomo


def test_evidence_is_read_in_every_spelling_of_the_data() -> None:
    """Several ids in one entry, leading zeros, doubles; questions without any have none."""
    assert locomo.evidence_of({"evidence": ["D8:6; D9:17", "D1:03", "D8:6"]}) == ["D8:6", "D9:17", "D1:3"]
    assert locomo.evidence_of({"evidence": ["D"]}) == []
    assert locomo.evidence_of({}) == []


def test_recall_is_the_share_of_the_evidence_that_was_retrieved() -> None:
    assert locomo.recall(["a", None, "x"], ["a", "b"]) == 0.5
    assert locomo.recall([], ["a"]) == 0.0
    assert locomo.recall(["a", "a"], ["a"]) == 1.0


def test_every_question_counts_once_and_what_is_no_turn_takes_a_place() -> None:
    """The mean is over questions, not over conversations."""
    question = {"category": 4, "evidence": ["D1:1"]}
    hit = locomo.score("a", question, [None, None, None, None, None, "D1:1"], False)
    miss = locomo.score("b", question, ["D1:2"], False)
    assert hit.recalls == (0.0, 1.0, 1.0)
    assert hit.reciprocal_rank == pytest.approx(1 / 6)
    means = locomo.report([hit, hit, miss])
    assert means["all"]["recall@10"] == pytest.approx(2 / 3, abs=1e-4)
    assert means["conversations"]["b"]["recall@10"] == 0.0
    assert "conversation b" in locomo.table(means)


def test_without_the_data_the_program_says_so_and_ends_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert locomo.main(["--data", str(tmp_path / "nowhere")]) == 0
    assert "nothing was measured" in capsys.readouterr().err
