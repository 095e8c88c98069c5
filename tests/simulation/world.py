"""One simulated run: a small memory, random verbs and random decay, and after each step the promises.

Everything random comes from one seed: what is done, what is damaged, what the power loss leaves, the ids. The
clock stands still unless the run moves it. So a seed that fails once fails again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from blake3 import blake3

from carma import Memory
from carma.config import Settings
from carma.errors import CarmaError, FragmentNotFound, MassDamage, MemoryNotFound, NotAMemory, StorageError
from carma.testing import (
    Crash,
    Drop,
    HashEmbedder,
    Misdirect,
    Refuse,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
)

from .atlas import Atlas, AtlasName, rot
from .oracle import Broken, Oracle, token
from .told import Shown, Told, shown

__all__ = ["World", "run"]

FOLDER = "/memory"
STEPS = 5
"""Verbs, decay and openings of one run; a run begins with a few fragments besides."""
_EMBEDDER = HashEmbedder(8)
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "juniper", "kelp")


class World:
    """A memory, the disk below it and what it was told."""

    def __init__(self, seed: int, atlas: AtlasName) -> None:
        self.seed = seed
        self.chance = random.Random(f"{atlas} {seed}")
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(clock=self.clock, seed=seed)
        self.told = Told()
        self.atlas = Atlas(atlas, FOLDER)
        self.trace: list[str] = []
        self._settings = Settings(
            segment_bytes=self.chance.choice((900, 3_000, 100_000)),
            keep_versions=self.chance.choice((0, 1, 16)),
            turn_wait_ms=50,
        )
        self._memory: Memory | None = None
        self._oracle: Oracle | None = None
        self._texts = 0
        self._faulted = False
        self._unsettled = False
        self._at_rest = False

    def run(self) -> str:
        """All steps; a digest of every call of the disk and of every answer. Raises Broken."""
        self._step("open", self._open)
        for _ in range(self.chance.choice((0, 1, 2, 3, 4))):
            self._step("add", self._add)
        for _ in range(STEPS):
            name, act = self._choose()
            self._step(name, act)
        self._settle()
        calls = "\n".join(f"{action} {path}" for action, path in self.disk.log)
        return blake3("\n".join([*self.trace, calls]).encode()).hexdigest(length=8)

    def _choose(self) -> tuple[str, Callable[[], None]]:
        if self._memory is None:
            acts: list[tuple[float, Callable[[], None]]] = [(3, self._open), (4, self._decay)]
        else:
            acts = [
                (3, self._add), (4, self._update), (2, self._delete), (2, self._move), (1, self._purge),
                (1, self._rest), (3, self._close), (1, self._kill), (1, self._lose_power), (6, self._decay),
                (3, self._dream), (0.5, self._scan), (1, self._wait), (5, self._plan_a_fault),
            ]  # fmt: skip
        act = self.chance.choices([each for _, each in acts], [weight for weight, _ in acts])[0]
        return act.__name__.strip("_").replace("_", " "), act

    def _step(self, name: str, act: Callable[[], None]) -> None:
        """One step, and then the promises."""
        self.trace.append(name)
        try:
            act()
            if self._memory is not None and self._oracle is not None and name not in ("wait", "plan a fault"):
                self._check()
        except SimulatedCrash as crash:
            self.trace.append(f"crash {crash}")
            self._died()
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"{type(error).__name__} is no answer: {error}") from error

    def _check(self, **how: bool) -> None:
        memory, oracle = self._memory, self._oracle
        assert memory is not None and oracle is not None
        try:
            oracle.check(exact=self.atlas.bounded and not self.disk.faults, **how)
        except CarmaError as error:
            self._refused(error)
        self._spend_faults()

    # The life of the memory

    def _open(self) -> None:
        seed = self.chance.randrange(1 << 30)
        try:
            self._memory = Memory.open(
                FOLDER, embedder=_EMBEDDER, settings=self._settings, disk=self.disk, clock=self.clock,
                entropy=SeededEntropy(seed),
            )  # fmt: skip
        except (NotAMemory, MemoryNotFound, StorageError) as error:
            if self.atlas.bounded and not self.disk.faults:
                raise Broken(f"it does not open: {error}") from error
            self.trace.append(f"refused {error}")
            return
        self._at_rest = False
        self._unsettled = self._unsettled and bool(self.disk.faults)
        self._oracle = Oracle(self._memory, self.told, self.disk, self.chance)
        self._check(opened=not self.disk.faults)
        if not self.atlas.bounded and not self.disk.faults and self.chance.random() < 0.3:
            self._oracle.counted()

    def _opened(self) -> Memory:
        assert self._memory is not None
        return self._memory

    def _close(self) -> None:
        self._try(self._opened().close)
        self._spend_faults()
        self._at_rest = not self._faulted and not self.disk.faults
        self._left()

    def _kill(self) -> None:
        """The process ends without closing."""
        self._left()

    def _lose_power(self) -> None:
        self._spend_faults()
        self.disk = self._after_power_loss()
        self._left()

    def _died(self) -> None:
        self._spend_faults()
        if self.chance.random() < 0.4:
            self.disk = self._after_power_loss()
        self._left()

    def _after_power_loss(self) -> SimulatedDisk:
        other = self.disk.power_loss(self.chance.randrange(1 << 30))
        other.calls, other.log = self.disk.calls, self.disk.log
        self._at_rest = False
        return other

    def _left(self) -> None:
        self.disk.restart()
        self._memory = self._oracle = None
        self._unsettled = self._unsettled or self._faulted
        self._faulted = False

    def _wait(self) -> None:
        self.clock.advance(self.chance.choice((1.0, 70.0, 700.0)))

    # Verbs

    def _text(self) -> str:
        self._texts += 1
        words = self.chance.choices(_WORDS, k=self.chance.choice((1, 6, 12, 12, 150)))
        return f"unique{self._texts}of{self.seed} " + " ".join(words)

    def _add(self) -> None:
        id, text = self.chance.randbytes(16).hex(), self._text()
        parent = self.chance.choice([None, *self.told.alive()])
        self.told.ask(id, Shown(1, text, parent))
        self._said(id, lambda: self._opened().add(text, id=id, parent=parent))

    def _update(self) -> None:
        id = self._some()
        if id is None:
            return
        text = self._text()
        for state in self.told.possible(id):
            if state is not None:
                self.told.ask(id, Shown(state.version + 1, text, state.parent))
        self._said(id, lambda: self._opened().update(id, text))

    def _move(self) -> None:
        id = self._some()
        if id is None or self.told.maybe:
            return
        below = {id, *self.told.below(id)}
        parent = self.chance.choice([None, *(each for each in self.told.alive() if each not in below)])
        for state in self.told.possible(id):
            if state is not None:
                self.told.ask(id, Shown(state.version + 1, state.text, parent))
        self._said(id, lambda: self._opened().update(id, parent=parent))

    def _said(self, id: str, verb: Callable[[], Any]) -> None:
        """Write a version of a fragment and remember what was answered."""
        assert self._oracle is not None
        answer = self._try(verb)
        if answer is None:
            return
        state = shown(answer)
        if state not in self.told.possible(id) and self.atlas.bounded:
            raise Broken(f"the answer was {state}, not one of {self.told.possible(id)}")
        self.told.acknowledge(id, state, answer.seq)
        self._oracle.acknowledged(id, state.version, answer.seq)

    def _delete(self, purge: bool = False) -> None:
        id = self._some()
        if id is None:
            return
        assert self._oracle is not None
        children = not self.told.maybe and self.atlas.bounded and self.chance.random() < 0.3
        gone = [id, *(self.told.below(id) if children else [])]
        risen = self._risen(id) if not children else {}
        was = {each: self.told.now[each] for each in risen}
        for each in gone:
            self.told.ask(each, None)
        for each, states in risen.items():
            self.told.ask(each, *states)
        answer = self._try(lambda: self._opened().delete(id, children=children, purge=purge))
        if answer is None:
            return
        if answer != len(gone):
            raise Broken(f"{answer} fragments were deleted, not {len(gone)}")
        for each in gone:
            self.told.acknowledge(each, None)
        for each, states in risen.items():
            if len(states) == 1 and all(
                state in states or state == was[each] for state in self.told.possible(each)
            ):
                self.told.settle(each, states.pop())
            self.told.seqs[each] = 0  # Written anew under another number.
        if purge and self.atlas.bounded and not self.disk.faults:
            self._no_trace(gone)

    def _risen(self, id: str) -> dict[str, set[Shown | None]]:
        """The children of a fragment as they will be when it is deleted."""
        above = {state.parent for state in self.told.possible(id) if state is not None}
        risen: dict[str, set[Shown | None]] = {}
        for other in self.told.now:
            for state in self.told.possible(other):
                if state is not None and state.parent == id:
                    risen.setdefault(other, set()).update(state._replace(parent=each) for each in above)
        return risen

    def _purge(self) -> None:
        self._delete(purge=True)

    def _no_trace(self, gone: list[str]) -> None:
        """Nothing of what was purged stands in any file."""
        for id in gone:
            for (other, _), texts in self.told.texts.items():
                words = [token(text).encode() for text in texts] if other == id else []
                for path in self.disk.paths():
                    if any(word in self.disk.contents(path) for word in words):
                        raise Broken(f"{path} still holds what was purged")

    def _rest(self) -> None:
        self._try(self._opened().rest)

    def _scan(self) -> None:
        self._try(lambda: self._opened().scan(deep=self.chance.random() < 0.5))

    def _dream(self) -> None:
        faulted = bool(self.disk.faults)
        report = self._try(lambda: self._opened().dream(in_process=True))
        if report is None or faulted or self.disk.faults:
            return
        if report.status != "completed":
            raise Broken(f"the dream {report.status}: {report.error}")
        blanks = [each for each in self._opened().list(limit=1000) if each.state == "blank"]
        if len(blanks) != report.still_blank:
            raise Broken(f"the dream left {report.still_blank} blanks, and there are {len(blanks)}")
        if not self.atlas.bounded:
            assert self._oracle is not None
            self._oracle.counted()
            if report.breaker and self.chance.random() < 0.5:
                self._opened().clear_breaker()
            return
        if report.breaker or blanks or report.reconstructed:
            raise Broken(f"a dream within the budget: {report}")
        self._check(whole=True)
        found = self._opened().scan(deep=True)
        if found.findings:
            raise Broken(f"after a dream there is still {found.findings}")
        self.atlas.renew()

    def _some(self) -> str | None:
        """A fragment that is there."""
        alive = self.told.alive()
        return self.chance.choice(alive) if alive else None

    def _try(self, act: Callable[[], Any]) -> Any:
        """Do it; None if it was refused for a reason that there is."""
        try:
            answer = act()
        except CarmaError as error:
            self._refused(error)
            answer = None
        self._spend_faults()
        return answer

    def _refused(self, error: CarmaError) -> None:
        self.trace.append(f"refused {type(error).__name__}: {error}")
        if self.disk.faults:
            return
        if not self.atlas.bounded and isinstance(error, (FragmentNotFound, MassDamage, StorageError)):
            return
        raise Broken(f"{type(error).__name__} without a reason: {error}") from error

    # Decay

    def _decay(self) -> None:
        for _ in range(
            self.chance.randint(1, 3) if self.atlas.bounded else self.chance.choice((1, 2, 4, 8, 30))
        ):
            paths = self.atlas.candidates(self.disk, self._at_rest, self._faulted or self._unsettled)
            if not paths:
                return
            path = self.chance.choice(paths)
            self.trace.append(rot(self.disk, path, self.chance))
            self.atlas.spend(path)

    def _plan_a_fault(self) -> None:
        """Something goes wrong at one of the next calls of the disk."""
        if self.disk.faults:
            return
        at = self.disk.calls + int(self.chance.expovariate(1 / 40)) + 1
        kind = self.chance.choice(("crash", "crash", "crash", "refuse", "refuse", "drop", "misdirect"))
        if kind in ("drop", "misdirect") and not self.atlas.may_lose_a_write():
            kind = "crash"
        if kind == "crash":
            self.disk.faults = [Crash(at, self.chance.choice(("before", "middle", "after")))]
        elif kind == "refuse":
            self.disk.faults = [
                Refuse(at, self.chance.choice(("io", "full")), self.chance.choice((1, 3, 50)))
            ]
        elif kind == "drop":
            self.disk.faults = [Drop(at)]
        else:
            self.disk.faults = [Misdirect(at, self.chance.randrange(4_000))]
        self._faulted = True
        self.trace.append(f"{self.disk.faults[0]}")

    def _spend_faults(self) -> None:
        """A fault whose time has passed is over; what it did to a file is damage."""
        for fault in self.disk.faults:
            last = fault.at + (fault.calls - 1 if isinstance(fault, Refuse) else 0)
            if last > self.disk.calls:
                continue
            if isinstance(fault, (Drop, Misdirect)):
                action, path = self.disk.log[fault.at - 1]
                if action == "write":
                    self.trace.append(f"{type(fault).__name__} hit {path}")
                    self.atlas.spend(path.removesuffix(".new"))
            self.disk.faults = []

    def _settle(self) -> None:
        """The end of a run: no more faults, a dream, and for some once more from the files alone."""
        last = [("open", self._open), ("dream", self._dream)]
        if self.chance.random() < 0.4:
            last += [("close", self._close), ("open", self._open)]
        for name, act in last:
            self.disk.faults = []
            if (self._memory is None) == (name == "open"):
                self._step(name, act)


def run(seed: int, atlas: AtlasName) -> str:
    """One run; its digest. Raises Broken with how to run it again."""
    world = World(seed, atlas)
    try:
        return world.run()
    except Broken as broken:
        again = f"python -m tests.simulation --seed {seed} --atlas {atlas}"
        raise Broken(f"{broken}\n  again: {again}\n  " + "\n  ".join(world.trace)) from broken
