"""Evidence recall on LoCoMo for the retrieval of other systems, by the same questions and the same score as
`bench.locomo`.

One store per conversation, one entry per turn (`speaker: text`, and what a shared picture shows), embedded
with the same MiniLM. mem0 is filled with the turns as they are (`infer=False`): no language model rewrites
them. CARMA is measured through `bench.locomo`, which ingests the same files as a user would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.corpus import Corpus, identity, row_of
from bench.locomo import CUTS, Asked, ask, evidence_of, figures, score
from bench.peers import Peer


def turns_of(data: dict[str, Any]) -> dict[str, str]:
    """The text of every turn by its `dia_id`, in order."""
    turns: dict[str, str] = {}
    number = 1
    while f"session_{number}" in data or f"session_{number}_date_time" in data:
        for turn in data.get(f"session_{number}", []):
            picture = f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else ""
            turns[turn["dia_id"]] = f"{turn['speaker']}: {turn['text']}{picture}"
        number += 1
    return turns


def evaluate(peer: Peer, corpus: Corpus, data: str, folder: str) -> dict[str, Any]:
    """Work: the means over all questions of all conversations, as `bench.locomo.figures` gives them."""
    asked: list[Asked] = []
    for path in sorted(Path(data).glob("*.json")):
        asked += (
            ask(path, "hybrid", Path(folder)) if peer.name == "carma" else _ask(peer, corpus, path, folder)
        )
    return figures(asked)


def _ask(peer: Peer, corpus: Corpus, path: Path, folder: str) -> list[Asked]:
    data = json.loads(path.read_text(encoding="utf-8"))
    turns = turns_of(data)
    names, texts = list(turns), list(turns.values())
    place = Path(folder) / path.stem
    place.mkdir()
    assert peer.embed is not None
    peer.open(place, corpus.dimension)
    peer.load([identity(row) for row in range(len(texts))], texts, peer.embed(texts))
    peer.settle()
    asked = []
    for question in data["qa"]:
        if evidence_of(question):
            found = peer.query_text(question["question"], CUTS[-1])
            asked.append(score(path.stem, question, [names[row_of(one)] for one in found], False))
    peer.close()
    return asked
