"""The rung "words" on LoCoMo: `python -m bench.words [--data DIR] [--loss 0.05] [--variants N] [--json F]`.

A share of each conversation's turns is lost, by seed. What is left of a lost turn is what a real index keeps:
its tokens in order, out of an FTS5 table made like the registry's, its metadata, and the first ten bytes of
its digest. The model learns from the turns that are left.

    token F1          of the tokens of the restored and of the lost text, in lower case, and as they are
    written; over all lost turns, exact or not
    exact             the share of lost turns that have their digest again, so that every byte is proven
    first             the share whose first variant already was the lost text
    ms per fragment   with building, searching and hashing; learning is stated apart

`conversation` treats each conversation as a memory of its own, `together` all of them as one.

The data may not be taken along (CC BY-NC 4.0); without it the program says so and ends well.

Source: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", ACL 2024.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
from blake3 import blake3

from bench.locomo import DATA
from carma.healing.words import Restorer
from carma.healing.words.written import Splitter
from carma.ingest.parse import parse

DIGEST_BYTES = 10
INDEX = """
CREATE VIRTUAL TABLE tokens USING fts5(
    text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE tokens_at USING fts5vocab(tokens, 'instance');
"""


class Turn(NamedTuple):
    """A turn, and its metadata as texts."""

    text: str
    nearby: tuple[str, ...]


class Lost(NamedTuple):
    """One lost turn and how it came back."""

    exact: bool
    first: bool
    f1: float
    f1_written: float


def turns_of(path: Path) -> list[Turn]:
    """The turns of a conversation as an ingest makes them."""
    nodes = (node for top in parse(path.name, path.read_bytes()).nodes for node in top.walk())
    return [
        Turn(node.text, tuple(value for value in node.metadata.values() if isinstance(value, str)))
        for node in nodes
        if node.kind == "turn"
    ]


def indexed(texts: Sequence[str]) -> list[list[str]]:
    """The tokens of the texts, read back from the index in one scan."""
    db = apsw.Connection(":memory:")
    db.execute(INDEX)
    db.executemany("INSERT INTO tokens(rowid, text) VALUES(?, ?)", list(enumerate(texts)))
    found: list[list[tuple[int, str]]] = [[] for _ in texts]
    for term, doc, offset in db.execute("SELECT term, doc, offset FROM tokens_at"):
        found[doc].append((offset, term))
    return [[term for _, term in sorted(one)] for one in found]


def f1(one: Sequence[str], other: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of two bags of tokens."""
    common = sum((Counter(one) & Counter(other)).values())
    return 2 * common / (len(one) + len(other)) if common else float(not one and not other)


def measure(turns: Sequence[Turn], loss: float, seed: int, variants: int) -> dict[str, Any]:
    """Lose a share of the turns, restore them, compare."""
    order = list(range(len(turns)))
    random.Random(seed).shuffle(order)
    gone = sorted(order[: max(1, round(loss * len(turns)))])
    kept = sorted(set(order) - set(gone))
    tokens = indexed([turns[at].text for at in gone])
    began = time.perf_counter()
    restorer = Restorer((turns[at].text for at in kept), variants=variants, budget_ms=None)
    learnt = time.perf_counter()
    split = Splitter()
    rows = []
    searching = 0.0
    for at, own in zip(gone, tokens, strict=True):
        digest = blake3(turns[at].text.encode("utf-8")).digest(DIGEST_BYTES)
        start = time.perf_counter()
        restored = restorer.restore(own, digest=digest, nearby=turns[at].nearby)
        searching += time.perf_counter() - start
        assert not restored.exact or restored.text == turns[at].text
        lost, back = split(turns[at].text), split(restored.text)
        rows.append(
            Lost(
                restored.exact,
                restored.exact and restored.tried == 1,
                f1(lost.tokens, back.tokens),
                f1(lost.forms, back.forms),
            )
        )
    return {
        "turns": len(turns),
        "lost": len(rows),
        **{f"{name}": round(sum(getattr(row, name) for row in rows) / len(rows), 4) for name in Lost._fields},
        "learning_s": round(learnt - began, 2),
        "ms_per_fragment": round(1e3 * searching / len(rows), 1),
    }


def mean(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over all lost turns of some reports."""
    lost = sum(report["lost"] for report in reports)
    means = {
        name: round(sum(report[name] * report["lost"] for report in reports) / lost, 4)
        for name in (*Lost._fields, "ms_per_fragment")
    }
    return {
        "turns": sum(report["turns"] for report in reports),
        "lost": lost,
        **means,
        "learning_s": round(sum(report["learning_s"] for report in reports), 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 also where there is no data."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.words", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the conversations")
    parser.add_argument("--loss", type=float, default=0.05, help="share of the turns that is lost")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", type=int, default=20_000, help="tried at most for one turn")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    given = parser.parse_args(arguments)
    paths = sorted(given.data.glob("*.json")) if given.data.is_dir() else []
    if not paths:
        print(f"no LoCoMo conversations in {given.data}: nothing was measured", file=sys.stderr)
        return 0
    all_turns = [turns_of(path) for path in paths]
    each = {
        path.stem: measure(turns, given.loss, given.seed, given.variants)
        for path, turns in zip(paths, all_turns, strict=True)
    }
    together = measure(
        [turn for turns in all_turns for turn in turns], given.loss, given.seed, given.variants
    )
    report = {
        "loss": given.loss,
        "seed": given.seed,
        "variants": given.variants,
        "conversation": mean(list(each.values())),
        "together": together,
        "conversations": each,
    }
    for name in ("conversation", "together"):
        print(name, json.dumps(report[name]))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
