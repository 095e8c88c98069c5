"""How well lost turns come back from sketch and context: `python -m bench.reconstruction [--loss …] [--bytes
…]`.

Turns of LoCoMo conversations are lost at random (the seed is given), nothing of them is left but their
sketch, and each is composed anew from it and from what survived: the turns of its session, and the eight
surviving turns of the conversation whose vectors lie nearest to the sketch (to its signs, or to the embedding
of its terms). For each share lost and each size of sketch:

    exact       the share that came back to the letter, because the whole text went into the sketch
    blank       the share for which nothing could be composed
    cosine      to the lost text, by the embedder that guided: mean, 10th percentile, least
    F1, ROUGE-L, names    `carma.healing.quality`: words, their order, recall of names, numbers and dates
    ECE         expected calibration error of the confidence

Each is told for all lost turns and, as "rest", for those that did not come back to the letter, so that the
exact ones flatter nobody. The guide is not the judge: only the cosine is measured by what guided.

The data may not be taken along (CC BY-NC 4.0); without it the program says so and ends well.

Source: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", ACL 2024.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.locomo import DATA
from carma.embed.minilm import MiniLM
from carma.healing.compose import Composed, compose
from carma.healing.context import Context, Nearby, spellings
from carma.healing.quality import (
    entity_recall,
    expected_calibration_error,
    judged_good,
    rouge_l,
    spread,
    token_f1,
)
from carma.healing.signs import Vectors, direction
from carma.healing.sketch import Sketch, decode_sketch, encode_sketch
from carma.ingest.chat import parse_chat
from carma.ingest.document import Document

LOSSES = (0.05, 0.1, 0.3)
BYTES = (0, 48, 64, 96, 192, 448)
SIBLINGS = 8  # on each side
THREADS = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as it is remembered. name: its conversation; session: which of its sessions, from 0."""

    name: str
    session: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, and their vectors: float32, shape (n, d)."""

    name: str
    turns: tuple[Turn, ...]
    vectors: Vectors

    @property
    def names(self) -> set[str]:
        """What the whole conversation, before any loss, writes as a name: evidence for the judge only."""
        return {
            name
            for start in range(0, len(self.turns), 64)
            for name in spellings(
                [Nearby(turn.id, turn.text, "sibling") for turn in self.turns[start : start + 64]]
            )
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lost turn and what became of it. nearby: fragments around it. took_ms: without embedding."""

    lost: Turn
    sketch: Sketch | None
    composed: Composed
    cosine: float
    f1: float
    rouge_l: float
    recall: float | None
    good: bool
    nearby: int
    took_ms: float
    embedded: int

    @property
    def exact(self) -> bool:
        """Whether it came back to the letter."""
        return self.composed.text == self.lost.text


class Timed:
    """An embedder that counts what it embedded and how long that took."""

    def __init__(self, model: MiniLM) -> None:
        self._model = model
        self.texts = 0
        self.seconds = 0.0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        before = time.perf_counter()
        vectors = self._model.embed(list(texts))
        self.seconds += time.perf_counter() - before
        self.texts += len(texts)
        return vectors


def read(path: Path, embed: Timed) -> Conversation:
    """A conversation as CARMA ingests it."""
    parsed = parse_chat(Document.decode(path.read_bytes()))
    if parsed is None:
        raise ValueError(f"{path} is no conversation")
    turns: list[Turn] = []
    session = -1
    for node in (node for root in parsed[0] for node in root.walk()):
        session += node.kind == "session"
        if node.kind == "turn":
            turns.append(Turn(path.stem, session, str(node.metadata.get("dia_id", len(turns))), node.text))
    return Conversation(path.stem, tuple(turns), embed([turn.text for turn in turns]))


def lose(conversation: Conversation, loss: float, seed: int) -> list[int]:
    """Which turns are lost: a share of them, at random."""
    count = max(1, round(loss * len(conversation.turns)))
    chooser = random.Random(f"{seed} {conversation.name} {loss}")
    return sorted(chooser.sample(range(len(conversation.turns)), count))


def context_of(
    conversation: Conversation, at: int, alive: Sequence[int], sketch: Sketch | None, embed: Timed
) -> Context:
    """What survived around a turn: siblings of its session, and threads found by the sketch's signs or
    terms."""
    session = conversation.turns[at].session
    chosen = {
        other: Nearby(
            conversation.turns[other].id,
            conversation.turns[other].text,
            "sibling",
            abs(other - at),
            conversation.vectors[other],
        )
        for other in alive
        if abs(other - at) <= SIBLINGS and conversation.turns[other].session == session
    }
    toward = None
    if sketch and not sketch.whole:
        toward = direction(sketch.signs, conversation.vectors.shape[1])
        toward = embed([sketch.text])[0] if toward is None else toward
    if toward is not None:
        near = conversation.vectors[list(alive)] @ toward
        ranked = [alive[row] for row in np.argsort(-near, kind="stable")[:THREADS]]
        for rank, other in enumerate(ranked, 1):
            turn = conversation.turns[other]
            chosen.setdefault(other, Nearby(turn.id, turn.text, "thread", rank, conversation.vectors[other]))
    return Context(tuple(chosen.values()))


def heal(
    conversation: Conversation,
    loss: float,
    budget: int,
    embed: Timed,
    *,
    seed: int = 1,
    most: int | None = None,
    sign_bytes: int = 0,
) -> Iterator[Outcome]:
    """Lose a share of the turns and compose each anew. most: of the lost ones are composed."""
    names = conversation.names
    lost = lose(conversation, loss, seed)
    alive = sorted(set(range(len(conversation.turns))) - set(lost))
    for at in lost[:most]:
        turn, vector = conversation.turns[at], conversation.vectors[at]
        coded = encode_sketch(turn.text, vector, budget_bytes=budget, sign_bytes=sign_bytes)
        if len(coded) > budget:
            raise AssertionError(f"{len(coded)} bytes are more than {budget}")
        sketch = decode_sketch(coded) if coded else None
        context = context_of(conversation, at, alive, sketch, embed)
        began, texts, seconds = time.perf_counter(), embed.texts, embed.seconds
        composed = compose(sketch, context, embed)
        took = time.perf_counter() - began - (embed.seconds - seconds)
        embedded = embed.texts - texts
        same = composed.text == turn.text
        cosine = 1.0 if same else float(embed([composed.text])[0] @ vector)
        yield Outcome(
            lost=turn,
            sketch=sketch,
            composed=composed,
            cosine=cosine,
            f1=token_f1(turn.text, composed.text),
            rouge_l=rouge_l(turn.text, composed.text),
            recall=entity_recall(turn.text, composed.text, names),
            good=judged_good(turn.text, composed.text, names),
            nearby=len(context.nearest()),
            took_ms=1000 * took,
            embedded=embedded,
        )


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What is told of a set of lost turns; only `lost` where there are none."""
    if not outcomes:
        return {"lost": 0}
    recalls = [one.recall for one in outcomes if one.recall is not None]

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return {
        "lost": len(outcomes),
        "exact": mean(one.exact for one in outcomes),
        "blank": mean(not one.composed.text for one in outcomes),
        "cosine": spread([one.cosine for one in outcomes]),
        "token_f1": mean(one.f1 for one in outcomes),
        "rouge_l": mean(one.rouge_l for one in outcomes),
        "entity_recall": mean(recalls) if recalls else None,
        "good": mean(one.good for one in outcomes),
        "confidence": mean(one.composed.confidence for one in outcomes),
        "ece": expected_calibration_error(
            [one.composed.confidence for one in outcomes], [one.good for one in outcomes]
        ),
        "took_ms": mean(one.took_ms for one in outcomes),
        "embedded": mean(one.embedded for one in outcomes),
    }


def line(name: str, told: dict[str, Any]) -> str:
    """One row of the table."""
    if not told["lost"]:
        return f"{name:22}{0:>6}"
    cosine, recall = told["cosine"], told["entity_recall"]
    numbers = (
        told["exact"], told["blank"], cosine["mean"], cosine["p10"], cosine["min"],
        told["token_f1"], told["rouge_l"], float("nan") if recall is None else recall, told["good"],
        told["ece"], told["took_ms"], told["embedded"],
    )  # fmt: skip
    return f"{name:22}{told['lost']:>6}" + "".join(f"{number:>8.3f}" for number in numbers)


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 also where there is no data."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.reconstruction", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--loss", type=float, nargs="+", default=LOSSES, help="shares of turns lost")
    parser.add_argument("--bytes", type=int, nargs="+", default=BYTES, help="sizes of a sketch")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the conversations")
    parser.add_argument("--only", nargs="+", help="names of conversations, for example 42 43")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="lost turns of a conversation that are composed")
    parser.add_argument(
        "--signs", type=int, default=0, help="bytes of a sketch that go to signs, where not whole"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    paths = sorted(given.data.glob("*.json")) if given.data.is_dir() else []
    paths = [path for path in paths if not given.only or path.stem in given.only]
    if not paths:
        print(f"no LoCoMo conversations in {given.data}: nothing was measured", file=sys.stderr)
        return 0
    embed = Timed(MiniLM())
    conversations = [read(path, embed) for path in paths]
    columns = (
        "exact",
        "blank",
        "cosine",
        "p10",
        "min",
        "F1",
        "ROUGE-L",
        "names",
        "good",
        "ECE",
        "ms",
        "texts",
    )
    print(f"{'loss bytes':22}{'lost':>6}" + "".join(f"{column:>8}" for column in columns))
    measured = []
    for loss in given.loss:
        for size in given.bytes:
            outcomes = [
                outcome
                for conversation in conversations
                for outcome in heal(
                    conversation,
                    loss,
                    size,
                    embed,
                    seed=given.seed,
                    most=given.most,
                    sign_bytes=given.signs,
                )
            ]
            told, rest = figures(outcomes), figures([one for one in outcomes if not one.exact])
            measured.append({"loss": loss, "bytes": size, "all": told, "rest": rest})
            print(line(f"{loss:<5.2f}{size:>4}", told))
            print(line("           rest", rest), flush=True)
    if given.json:
        facts = {"conversations": [path.stem for path in paths], "seed": given.seed, "measured": measured}
        given.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
