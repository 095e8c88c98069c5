"""Evidence recall of CARMA on LoCoMo: `python -m bench.locomo [--data DIR] [--mode M] [--json FILE]`.

Each conversation is ingested into a memory of its own, as a user would, and each question is asked with
`Memory.search(question, limit=20)`. A hit counts by the `dia_id` in its metadata; a hit that is no turn (a
session, the conversation) takes its place in the list and finds nothing. No language model judges anything.

    Recall@k of a question   the share of its evidence turns among the first k hits
    Recall@k                 the mean over all questions that name evidence, of all conversations together;
                             each question counts once, adversarial ones (category 5) too
    MRR                      the mean of 1 / rank of the first evidence turn among the first 20 hits, else 0

Evidence that names a turn which does not exist stays in the count, as something that nothing can find. The
same average over the same questions gives 0.475 for MiniLM alone, 0.638 for BM25, 0.684 for the sum of both,
and 0.765 with neighbours and session.

The data may not be taken along (CC BY-NC 4.0); without it the program says so and ends well.

Source: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", ACL 2024.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CUTS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "locomo"

_TURN = re.compile(r"D(\d+):(\d+)")


class Asked(NamedTuple):
    """One question and how it went. recalls: at each of `CUTS`."""

    conversation: str
    category: int
    recalls: tuple[float, ...]
    reciprocal_rank: float
    degraded: bool


def evidence_of(question: dict[str, Any]) -> list[str]:
    """The ids of a question's evidence turns, each once; some entries name several, or write "D1:03"."""
    named = (_TURN.findall(str(entry)) for entry in question.get("evidence") or [])
    return list(dict.fromkeys(f"D{int(session)}:{int(turn)}" for found in named for session, turn in found))


def recall(retrieved: Collection[str | None], evidence: Collection[str]) -> float:
    """The share of the evidence that was retrieved."""
    return len(set(evidence) & set(retrieved)) / len(set(evidence))


def reciprocal_rank(retrieved: Sequence[str | None], evidence: Collection[str]) -> float:
    """1 / rank of the first hit that is evidence, 0 if none is."""
    return next((1.0 / rank for rank, id in enumerate(retrieved, 1) if id in evidence), 0.0)


def score(
    conversation: str, question: dict[str, Any], retrieved: Sequence[str | None], degraded: bool
) -> Asked:
    """How one question went."""
    evidence = evidence_of(question)
    return Asked(
        conversation,
        int(question["category"]),
        tuple(recall(retrieved[:cut], evidence) for cut in CUTS),
        reciprocal_rank(retrieved, evidence),
        degraded,
    )


def figures(asked: Iterable[Asked]) -> dict[str, Any]:
    """The means over questions: `questions`, `recall@5`, `recall@10`, `recall@20`, `mrr`."""
    rows = list(asked)
    means: dict[str, Any] = {"questions": len(rows)}
    for at, cut in enumerate(CUTS):
        means[f"recall@{cut}"] = round(sum(row.recalls[at] for row in rows) / max(len(rows), 1), 4)
    means["mrr"] = round(sum(row.reciprocal_rank for row in rows) / max(len(rows), 1), 4)
    return means


def report(asked: Sequence[Asked]) -> dict[str, Any]:
    """The figures of all questions, of each category and of each conversation."""
    conversations = sorted({row.conversation for row in asked})
    return {
        "all": figures(asked),
        "without adversarial": figures(row for row in asked if row.category != 5),
        "categories": {
            name: figures(row for row in asked if row.category == number)
            for number, name in CATEGORIES.items()
        },
        "conversations": {
            name: figures(row for row in asked if row.conversation == name) for name in conversations
        },
        "degraded": sum(row.degraded for row in asked),
    }


def ask(path: Path, mode: str, folder: Path) -> list[Asked]:
    """Ingests one conversation into a new memory and asks its questions."""
    from carma.memory.memory import Memory

    questions = [one for one in json.loads(path.read_text(encoding="utf-8"))["qa"] if evidence_of(one)]
    asked = []
    with Memory.open(folder / path.stem) as memory:
        memory.ingest(path)
        memory.flush()
        for question in questions:
            found = memory.search(question["question"], limit=CUTS[-1], mode=mode)
            retrieved = [hit.metadata.get("dia_id") for hit in found]
            asked.append(score(path.stem, question, retrieved, found.degraded))
    return asked


def table(measured: dict[str, Any]) -> str:
    """A report as text."""
    columns = [f"recall@{cut}" for cut in CUTS] + ["mrr"]
    lines = [f"{'':24}{'questions':>10}" + "".join(f"{column:>11}" for column in columns)]

    def line(name: str, means: dict[str, Any]) -> None:
        lines.append(f"{name:24}{means['questions']:>10}" + "".join(f"{means[c]:>11.4f}" for c in columns))

    line("all", measured["all"])
    line("without adversarial", measured["without adversarial"])
    for group in ("categories", "conversations"):
        for name, means in measured[group].items():
            line(name if group == "categories" else f"conversation {name}", means)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 also where there is no data, 1 if a search was degraded."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.locomo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of the conversations, one JSON file each"
    )
    parser.add_argument("--mode", choices=("hybrid", "vector", "words"), default="hybrid")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    given = parser.parse_args(arguments)
    paths = sorted(given.data.glob("*.json")) if given.data.is_dir() else []
    if not paths:
        print(f"no LoCoMo conversations in {given.data}: nothing was measured", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        asked = [row for path in paths for row in ask(path, given.mode, Path(folder))]
    measured = {"mode": given.mode, **report(asked)}
    print(table(measured))
    if measured["degraded"]:
        print(f"{measured['degraded']} searches were degraded", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return 1 if measured["degraded"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
