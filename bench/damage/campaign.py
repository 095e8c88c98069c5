"""All trials of one store: fill, check the undamaged copy, then one flip per fresh copy.

The undamaged store is read first, twice: it must be found correct, and its searches are what the damaged ones
are held against. At the end, each kind of file that no flip has harmed is overwritten with noise: where a
peer still answers right, it does not read that file, and the flips in it say nothing.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.corpus import Corpus
from bench.damage.flips import Flip, choose, flip, kind_of, sizes
from bench.damage.trials import Ended, NotMeasured, Trials
from bench.damage.verdicts import Judged, judge

__all__ = ["Campaign", "record_at"]

FILL_LIMIT_S = 120.0
HEAL_LIMIT_S = 120.0
MOST_SAID = 10
HEADER_BYTES, MAGIC = 116, bytes.fromhex("C4524D1E")
"""Of a record in CARMA's segments (docs/FORMAT.md)."""


@dataclass
class Campaign:
    """One store's trials. work: an empty folder. limit_s: per read of a damaged copy."""

    system: str
    corpus: Corpus
    work: Path
    records: int
    flips: int
    seed: int
    searches: int
    limit_s: float
    cpu_s: float = 0.0

    def run(self) -> dict[str, Any]:
        """The store's part of the JSON. Raises NotMeasured."""
        began = time.perf_counter()
        original, copy = self.work / "original", self.work / "copy"
        original.mkdir(parents=True)
        ids, texts, _ = self.corpus.slice(0, self.records)
        self._truth, self._original, self._copy = dict(zip(ids, texts, strict=True)), original, copy
        with Trials(self.system, self.corpus.folder, self.work) as self._trials:
            filled = self._do("fill", original, self.records, limit_s=FILL_LIMIT_S)
            if filled.answer is None:
                raise NotMeasured(f"{self.system}: filling failed: {filled.log}")
            self._control()
            files = sizes(original)
            chosen = choose(self.system, files, self.flips, self.seed)
            trials = [self._trial(one) for one in chosen]
            harmed = {trial["kind"] for trial in trials if not _harmless(trial["seen"])}
            kinds = [kind for kind in dict.fromkeys(one.kind for one in chosen) if kind not in harmed]
            unread = [kind for kind in kinds if self._unread(kind, files)]
        return {
            "files": files,
            "heals": self._heals,
            "not_read": unread,
            "trials": trials,
            "cpu_s": round(self.cpu_s, 1),
            "wall_s": round(time.perf_counter() - began, 1),
        }

    def _control(self) -> None:
        """Reads the undamaged store twice, and has it healed once if it knows how."""
        looks = []
        for _ in range(2):
            self._fresh()
            looks.append(self._look())
            control = judge(self._truth, looks[-1])
            if control.verdict != "correct":
                raise NotMeasured(
                    f"{self.system}: undamaged, yet {control.verdict}: {control.why} {control.wrong[:1]}"
                )
        self._searches = looks[0].answer["found"]
        if looks[1].answer["found"] != self._searches:
            raise NotMeasured(f"{self.system}: two reads of the undamaged store answer searches differently")
        self._usual = set(looks[0].answer["complaints"])
        healed = self._do("heal", self._copy, limit_s=HEAL_LIMIT_S)
        if healed.answer is None or healed.answer["error"]:
            raise NotMeasured(
                f"{self.system}: healing the undamaged store failed: {healed.answer} {healed.log}"
            )
        self._heals = healed.answer["report"] is not None
        self._usual_spots = _spots(healed.answer["report"])

    def _trial(self, one: Flip) -> dict[str, Any]:
        self._fresh()
        flip(self._copy, one)
        looked = self._look()
        judged = judge(self._truth, looked, self._searches)
        out: dict[str, Any] = asdict(one) | {"seen": _lean(judged)}
        report = None
        if self._heals:
            healed = self._do("heal", self._copy, limit_s=HEAL_LIMIT_S)
            answer = healed.answer or {
                "report": None,
                "error": "hung" if healed.hung else f"died: {healed.log}",
            }
            report = answer["report"]
            out |= {
                "heal_error": answer["error"],
                "file": self._file_now(one.path),  # Before another process writes.
                "healed": _lean(judge(self._truth, self._look(), self._searches)),
            }
        said = set((looked.answer or {}).get("complaints", [])) - self._usual
        said |= _spots(report) - self._usual_spots
        return out | {"named": self._named(one, judged, said), "said": sorted(said)[:MOST_SAID]}

    def _named(self, one: Flip, judged: Judged, said: set[str]) -> str:
        """What the store itself has said of the place: "record", "file" or "no"."""
        owner, words = None, json.dumps(sorted(said))
        if self.system == "carma" and one.path.endswith(".seg"):
            owner = record_at((self._original / one.path).read_bytes(), one.offset)
        if (owner and owner in words) or (owner in judged.named if owner else judged.named):
            return "record"
        return "file" if one.path in words or one.kind in words else "no"

    def _file_now(self, path: str) -> str:
        healed = self._copy / path
        if not healed.exists():
            return "replaced"
        return "same" if healed.read_bytes() == (self._original / path).read_bytes() else "differs"

    def _unread(self, kind: str, files: dict[str, int]) -> bool:
        """Whether all files of the kind can be noise and nothing differs. CARMA may just have healed."""
        if self._heals or self.system == "carma":
            return False
        self._fresh()
        for path in (path for path in files if kind_of(self.system, path) == kind):
            (self._copy / path).write_bytes(random.Random(self.seed).randbytes(files[path]))
        return _harmless(_lean(judge(self._truth, self._look(), self._searches)))

    def _fresh(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._original, self._copy)

    def _look(self) -> Ended:
        return self._do("look", self._copy, self.records, self.searches, limit_s=self.limit_s)

    def _do(self, task: str, folder: Path, *arguments: int, limit_s: float) -> Ended:
        ended = self._trials.do(task, folder, *arguments, limit_s=limit_s)
        self.cpu_s += ended.cpu_s
        return ended


def record_at(data: bytes, offset: int) -> str | None:
    """The id (hexadecimal) of the fragment whose record holds the byte; None if no fragment's does."""
    for start, end in _records(data):
        if start <= offset < end:
            identity = data[start + 32 : start + 48]
            return identity.hex() if any(identity) else None
    return None


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """First and past-the-end byte of each record of an undamaged segment."""
    start = 0
    while data[start : start + 4] == MAGIC:
        end = start + HEADER_BYTES + int.from_bytes(data[start + 8 : start + 12], "little")
        yield start, end
        start = end


def _harmless(seen: dict[str, Any]) -> bool:
    return seen["verdict"] == "correct" and not seen["searches_changed"]


def _spots(report: dict[str, Any] | None) -> set[str]:
    """The places that a repair names: what its scan found and what its dream worked on, without times."""
    if report is None:
        return set()
    findings = [{**each, "what": ""} for each in report["scan"]["findings"]]
    steps = [[each[key] for key in ("target", "name", "rung", "before")] for each in report["dream"]["steps"]]
    return {json.dumps(each, sort_keys=True) for each in [*findings, *steps]}


def _lean(judged: Judged) -> dict[str, Any]:
    """As JSON values; of long lists of ids only the beginning and the count."""
    out = asdict(judged)
    for name in ("wrong", "missing", "named"):
        out[name] = {"count": len(out[name]), "first": list(out[name][:3])}
    return out
