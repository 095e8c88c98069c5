"""The experiment: remember, ask, lose, ask on, dream while asking on, ask again.

    paths ─▶ throw-away memory ─▶ ask ─▶ damage ─▶ ask (the open memory, and one opened anew)
          ─▶ dream, cycle by cycle, while asking on ─▶ ask ─▶ open anew and read everything

Asking goes on in this process while a dream computes in one of its own. The memory stays open from the first
question to the last, as an agent's would. Everything is drawn from one seed; only times differ between two
runs.

Rejected: asking from several threads at once (in Python they would measure each other).
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from carma.config import Settings
from carma.embed import Embedder, MiniLM
from carma.errors import InvalidInput
from carma.memory.memory import Memory
from carma.models import Fragment
from carma.prove.corpus import Corpus, build, everything, places
from carma.prove.damage import DAMAGES, MOST_FILES, Done, Place, damage
from carma.prove.files import digests_of
from carma.prove.measure import Round, Truth, answer_to
from carma.prove.queries import Query, make_queries
from carma.prove.redundancy import REDUNDANCIES, Redundancy, still_exact, strip, strip_index
from carma.reports import DreamReport, Topology

__all__ = ["Experiment", "Plan", "Run", "Tell", "conduct"]

Tell = Callable[[str], None]
_FEWEST = 5
_WARM_UP = 20
_TOPOLOGY_SPOTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do. loss: share of the fragments, 0 to 1; cycles: the most dreams, fewer once nothing
    changes.
    """

    paths: tuple[Path, ...]
    queries: int = 1000
    loss: float = 0.05
    damage: str = "delete"
    redundancy: Redundancy = "full"
    seed: int = 0
    cycles: int = 4
    sketch_bytes: int = 96

    def check(self) -> None:
        """Raise InvalidInput unless this can be done."""
        if not self.paths:
            raise InvalidInput(
                "There is nothing to prove it on.", hint="Name a folder or a conversation file."
            )
        if not 0.0 < self.loss < 1.0:
            raise InvalidInput(f"loss is {self.loss:g}; it is a share between 0 and 1, for example 0.05.")
        if self.damage not in DAMAGES:
            raise InvalidInput(f"damage is {self.damage!r}; it is one of {', '.join(DAMAGES)}.")
        if self.redundancy not in REDUNDANCIES:
            raise InvalidInput(f"redundancy is {self.redundancy!r}; it is one of {', '.join(REDUNDANCIES)}.")
        if self.queries < 1 or self.cycles < 1 or self.sketch_bytes < 0:
            raise InvalidInput("queries and cycles must be at least 1, sketch bytes at least 0.")


@dataclass(slots=True)
class Run:
    """What was seen, before anything is computed from it."""

    plan: Plan
    corpus: Corpus
    queries: list[Query]
    rounds: dict[str, Round]
    victims: tuple[str, ...] = ()
    """Ids of the fragments that were lost."""
    done: list[Done] = field(default_factory=list)
    stripped: list[Done] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    """Of the files that were hit: how many, how many are what they were, how many are gone."""
    dreams: list[DreamReport] = field(default_factory=list)
    dream_errors: list[str] = field(default_factory=list)
    stages: list[dict[str, Fragment]] = field(default_factory=list)
    """The lost fragments while damaged, and after each cycle."""
    final: dict[str, Fragment] = field(default_factory=dict)
    """The lost fragments from the memory opened anew, after everything."""
    unread: list[str] = field(default_factory=list)
    """What is wrong with any fragment of that memory."""
    topologies: dict[str, Topology] = field(default_factory=dict)
    reopen_ms: float = 0.0
    took_s: float = 0.0


class Experiment:
    """One run of the experiment. Made by `conduct`."""

    def __init__(self, plan: Plan, stage: Path, embedder: Embedder, tell: Tell) -> None:
        self._plan = plan
        self._stage = stage
        self._embedder = embedder
        self._tell = tell
        self._settings = settings_for(plan)
        self._truth = Truth({})
        self._asked = 0

    def run(self) -> Run:
        """Conduct it. Raises InvalidInput for input that it cannot be conducted on."""
        begun = time.monotonic()
        self._tell("taking in")
        full = self._plan.redundancy == "full"
        corpus = build(
            self._plan.paths, self._stage, self._settings, self._embedder, self._random(1), outdated=full
        )
        where = places(corpus.folder)
        chosen = self._choose(corpus, where)
        self._truth = Truth(corpus.originals)
        with self._open(corpus) as memory:
            queries = make_queries(corpus, memory, self._plan.queries, self._random(3))
            run = Run(self._plan, corpus, queries, {})
            for query in queries[:_WARM_UP]:
                answer_to(memory, query)
            self._topology(run, memory, "before")
            self._ask_all(run, memory, "before")
            self._tell("losing")
            self._lose(run, where, chosen)
            self._ask_all(run, memory, "damaged")
            self._topology(run, memory, "damaged")
            self._reopen(run)
            self._stage_of(run, memory)
            self._dream(run, memory)
            self._ask_all(run, memory, "after")
            self._topology(run, memory, "after")
        self._look_again(run)
        run.took_s = time.monotonic() - begun
        return run

    # Losing

    def _choose(self, corpus: Corpus, where: dict[int, Place]) -> list[Place]:
        """The records to hit: the share of what can be lost, in random order."""
        count = round(len(corpus.losable) * self._plan.loss)
        if count < 1 or len(corpus.losable) < _FEWEST:
            raise InvalidInput(
                f"{len(corpus.losable)} fragments are too few to lose {self._plan.loss:.1%} of them.",
                hint="Name more files, or raise --loss.",
            )
        ids = self._random(2).sample(sorted(corpus.losable), count)
        return [where[corpus.originals[id].seq] for id in ids]

    def _lose(self, run: Run, where: dict[int, Place], chosen: Sequence[Place]) -> None:
        folder, full = run.corpus.folder, self._plan.redundancy == "full"
        whole = digests_of(folder)
        by_seq = {each.seq: each.id for each in run.corpus.originals.values()}
        run.done = damage(
            folder, chosen, self._plan.damage, self._random(4),
            live=by_seq.keys(), most_files=MOST_FILES if full else None,
        )  # fmt: skip
        lost = sorted({seq for done in run.done for seq in done.seqs if seq in by_seq})
        if not full:
            run.stripped = strip(folder, lost, copies=self._plan.redundancy == "none")
            left = still_exact(folder, [where[seq] for seq in lost])
            assert not left, f"{len(left)} lost records can still be had exactly"
        if self._plan.redundancy == "sketch":
            run.stripped += strip_index(folder, lost, by_seq, self._embedder.fingerprint)
        run.victims = tuple(by_seq[seq] for seq in lost)
        self._whole = {each.path: whole.get(each.path) for each in run.done + run.stripped}
        placeless = self._plan.redundancy == "sketch"
        self._truth = Truth(run.corpus.originals, frozenset(run.victims), placeless)

    # Asking

    def _ask_all(self, run: Run, memory: Memory, name: str) -> None:
        self._tell(f"asking: {name}")
        round = run.rounds[name] = Round(name)
        for number in range(len(run.queries)):
            self._ask(run, memory, round, number)

    def _ask(self, run: Run, memory: Memory, round: Round, number: int) -> None:
        before = run.rounds["before"].answers.get(number) if round.name != "before" else None
        query = run.queries[number]
        round.take(number, query, answer_to(memory, query), self._truth, before)

    def _reopen(self, run: Run) -> None:
        """Ask all of it from a memory that is opened on the damaged files."""
        begun = time.monotonic()
        with self._open(run.corpus) as again:
            run.reopen_ms = (time.monotonic() - begun) * 1000
            self._ask_all(run, again, "reopened")

    # Dreaming

    def _dream(self, run: Run, memory: Memory) -> None:
        round = run.rounds["dreaming"] = Round("dreaming")
        for cycle in range(1, self._plan.cycles + 1):
            self._tell(f"dreaming: cycle {cycle}")
            before = run.stages[-1]
            report = self._dream_once(run, memory, round)
            self._stage_of(run, memory)
            if report is None:
                return
            run.dreams.append(report)
            left = any(each.state in ("blank", "reconstructed") for each in run.stages[-1].values())
            if not left or (cycle > 1 and _same(before, run.stages[-1])):
                return

    def _dream_once(self, run: Run, memory: Memory, round: Round) -> DreamReport | None:
        """One dream, and asking half of the time until it ends; None if it raised."""
        reports: list[DreamReport] = []

        def work() -> None:
            try:
                reports.append(memory.dream())
            except Exception as error:
                run.dream_errors.append(repr(error))

        thread = threading.Thread(target=work, name="carma-prove-dream")
        thread.start()
        while thread.is_alive():
            self._ask(run, memory, round, self._asked % len(run.queries))
            self._asked += 1
            # Half of the time: whoever asks without a pause has no machine left to dream on.
            thread.join(round.times[-1] / 1000)
            round.pause()
        return reports[0] if reports else None

    # Looking

    def _stage_of(self, run: Run, memory: Memory) -> None:
        run.stages.append({id: _got(memory, id) for id in run.victims})

    def _look_again(self, run: Run) -> None:
        """Open the memory once more and read all of it; compare the files with what they were."""
        self._tell("reading everything")
        with self._open(run.corpus) as memory:
            run.final = {id: _got(memory, id) for id in run.victims}
            listed = {each.id for each in everything(memory)}
            run.unread += [f"{id}: not listed" for id in sorted(run.corpus.originals.keys() - listed)]
            for id in run.corpus.originals:
                query = Query("get", target=id)
                run.unread += self._truth.wrong(query, answer_to(memory, query), None)
        now = digests_of(run.corpus.folder)
        hit = {path: digest for path, digest in self._whole.items() if not path.startswith("index")}
        run.files = {
            "hit": len(hit),
            "as_before": sum(digest is not None and now.get(path) == digest for path, digest in hit.items()),
            "gone": sum(path not in now for path in hit),
        }

    def _topology(self, run: Run, memory: Memory, name: str) -> None:
        run.topologies[name] = memory.topology(limit=_TOPOLOGY_SPOTS)

    def _open(self, corpus: Corpus) -> Memory:
        return Memory.open(corpus.folder, embedder=self._embedder, settings=self._settings)

    def _random(self, part: int) -> Random:
        """Chance for one part of the experiment, so that a change in one leaves the others as they were."""
        return Random(self._plan.seed * 1000 + part)


def settings_for(plan: Plan) -> Settings:
    """A memory's settings for an experiment.

    Nothing lingers, or replaced files would hold second copies; every query is embedded anew, or all rounds
    but the first would look faster than they are; it does not fall asleep by itself, so nothing is healed
    before its time; and for "sketch" each fragment has a sketch, none a short copy.
    """
    return Settings(
        linger_s=0.0,
        sleep=False,
        embed_cache_entries=1,
        short_copies=plan.redundancy != "sketch",
        sketch_bytes=plan.sketch_bytes,
    )


def conduct(plan: Plan, *, embedder: Embedder | None = None, tell: Tell | None = None) -> Run:
    """Conduct the experiment in a temporary folder that is gone afterwards.

    embedder: MiniLM unless given; by its recorded name the dream's process has to find it too. tell: told
    what is being done. Raises InvalidInput before anything is done where the plan or its input cannot be
    used.
    """
    plan.check()
    with tempfile.TemporaryDirectory(prefix="carma-prove-") as stage:
        return Experiment(plan, Path(stage), embedder or MiniLM(), tell or (lambda what: None)).run()


def _got(memory: Memory, id: str) -> Fragment:
    """A fragment as `get` gives it; a blank of its own kind where there is none."""
    try:
        return memory.get(id)
    except Exception as error:
        return Fragment(id=id, text="", state="blank", kind=type(error).__name__)


def _same(one: dict[str, Fragment], other: dict[str, Fragment]) -> bool:
    """Whether nothing of what readers see of the lost fragments has changed."""
    return all((one[id].state, one[id].text) == (other[id].state, other[id].text) for id in one)
