"""The results as Markdown: one row per store and kind of file, then what was said and what was repaired."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.damage.verdicts import VERDICTS

__all__ = ["NAMES", "markdown"]

NAMES = {
    "carma": "CARMA",
    "chroma": "Chroma",
    "mem0": "mem0, FAISS",
    "lancedb": "LanceDB",
    "qdrant": "Qdrant, local mode",
    "langgraph": "LangGraph SqliteStore",
}
EXPLAINED = """\
One bit in a fresh copy of a store that had been closed cleanly; then a process of its own reads every
record by id, lists all and asks {searches} searches by vector. {records} records, seed {seed}. The worst
counts. *Silently wrong*: a text differs, or a record is missing, and nothing was raised. *Lost everything*:
the store opens without an error and is empty. *Process crash*: ended by a signal, or out of memory. *Not
read*: the store answers the same with noise in that file. Vectors are not compared: a flip in one shows
only if a search changes.
"""
SUMMED = "All kinds of files count alike here, however small; files that are not read are left out."
CHROMA = "Chroma writes its HNSW files every 100 vectors here (`sync_threshold`; 1,000 is its default)."
FLAGGED = ("flagged blank", "reconstructed, flagged")
Trial = Mapping[str, Any]


def markdown(results: Mapping[str, Any]) -> str:
    """The tables and the sentences below them. results: what the JSON file holds."""
    stores = {name: results["stores"][name] for name in NAMES if name in results["stores"]}
    seen = {trial["seen"]["verdict"] for store in stores.values() for trial in store["trials"]}
    columns = [verdict for verdict in VERDICTS if verdict in seen]
    first = next(iter(stores.values()))
    lines = [EXPLAINED.format(**{key: first[key] for key in ("searches", "records", "seed")})]
    lines += _head(
        ["store", "file", "flips", *columns, "readable after an exception", "search changed, unsaid"]
    )
    for name, store in stores.items():
        for kind, trials in _by_kind(store["trials"]).items():
            mark = " (not read)" if kind in store["not_read"] else ""
            counts = Counter(trial["seen"]["verdict"] for trial in trials)
            cells = [str(counts[verdict] or "") for verdict in columns]
            lines.append(
                _row([NAMES[name], kind + mark, str(len(trials)), *cells, _left(trials), _changed(trials)])
            )
    lines += ["", SUMMED, ""]
    lines += _head([
        "store", "flips", "wrong or gone, no error", "crash or hang", "exception", "flagged", "right",
        "damage named", "right after repair", "file then",
    ])  # fmt: skip
    lines += [_summary(NAMES[name], store) for name, store in stores.items()]
    lines += ["", *(f"- {note}" for note in [*([CHROMA] if "chroma" in stores else []), *_notes(stores)])]
    return "\n".join(lines) + "\n"


def _summary(name: str, store: Mapping[str, Any]) -> str:
    trials = [trial for trial in store["trials"] if trial["kind"] not in store["not_read"]]
    counts = Counter(trial["seen"]["verdict"] for trial in trials)
    right = sum(counts[verdict] for verdict in VERDICTS[:2])
    named = Counter(trial["named"] for trial in trials)
    said = ", ".join(f"{what} {named[what]}" for what in ("record", "file") if named[what]) or "never"
    texts = files = "no such verb"
    if store["heals"]:
        texts = str(sum(trial["healed"]["verdict"] in VERDICTS[:2] for trial in trials))
        files = ", ".join(f"{what} {count}" for what, count in Counter(t["file"] for t in trials).items())
    return _row([
        name, str(len(trials)), str(counts["silently wrong"] + counts["lost everything"]),
        str(counts["process crash"] + counts["hang"]),
        str(counts["exception"] + counts["exception naming the record"]),
        str(sum(counts[verdict] for verdict in FLAGGED)), str(right), said, texts, files,
    ])  # fmt: skip


def _notes(stores: Mapping[str, Any]) -> Iterable[str]:
    for name, store in stores.items():
        sizes = ", ".join(f"{kind} {_bytes(size)}" for kind, size in store["kinds"].items())
        run = f"{store['when']}, `{store['command']}`, {store['cpu_s']:.0f} s of processor time"
        failed = [trial["heal_error"] for trial in store["trials"] if trial.get("heal_error")]
        if failed:
            yield f"{NAMES[name]}: {len(failed)} repairs failed, the first with: {failed[0]}"
        yield f"{NAMES[name]} {store['version']}: {sizes}. {run}."


def _by_kind(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    kinds: dict[str, list[Trial]] = {}
    for trial in trials:
        kinds.setdefault(trial["kind"], []).append(trial)
    return kinds


def _left(trials: Iterable[Trial]) -> str:
    """Of the trials that raised: how many records could still be read one by one, least, median and most."""
    left = [trial["seen"]["readable"] for trial in trials if trial["seen"]["verdict"].startswith("exception")]
    if not left:
        return ""
    return f"{min(left)} / {statistics.median(left):g} / {max(left)}" if len(left) > 1 else str(left[0])


def _changed(trials: Iterable[Trial]) -> str:
    return str(sum(trial["seen"]["searches_changed"] for trial in trials) or "")


def _head(cells: list[str]) -> list[str]:
    return [_row(cells), _row(["---"] * 2 + ["---:"] * (len(cells) - 2))]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bytes(size: int) -> str:
    return f"{size / 1000:,.0f} kB" if size >= 10_000 else f"{size} B"
