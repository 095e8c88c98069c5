"""Random histories against a dictionary: whatever happens in whatever order, the store and the dictionary
agree.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from carma.errors import CarmaError
from carma.store.rest import respread
from carma.store.store import Store
from carma.store.sweep import sweep_files
from carma.testing import Crash, Refuse, SimulatedClock, SimulatedCrash, SimulatedDisk

from .scenario import LINGER_S, Promised, Writer, check_all, everything, open_on, seal

EXAMPLES = 40
STEPS = 30

numbers = st.integers(1, 6)
texts = st.text(min_size=1, max_size=40) | st.integers(100, 3_000).map(lambda n: "long " * n)
changes = st.lists(
    st.tuples(numbers, texts | st.none()), min_size=1, max_size=4, unique_by=lambda change: change[0]
)


class StoreAgainstDictionary(RuleBasedStateMachine):
    """One memory on a simulated disk that crashes, loses power and refuses at random."""

    @initialize()
    def begin(self) -> None:
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(clock=self.clock)
        self.promised = Promised()
        self.spare = 3  # files of spreads that may still be lost: no dream gives them back here
        self.store: Store | None = open_on(self.disk, self.clock)

    def _try(self, act: str, *arguments: object) -> None:
        """Do something to the open store; it may crash or be refused where that was planned."""
        assert self.store is not None
        try:
            if act == "say":
                Writer(self.store, self.promised).say(*arguments)  # type: ignore[arg-type]
            elif act == "seal":
                seal(self.store)
            elif act == "compact":
                respread(self.store, None, dead_share=0.01)
            else:
                sweep_files(self.store, LINGER_S)
        except CarmaError:
            assert self.disk.faults
        except SimulatedCrash:
            self.store = None
            self.disk.restart()

    @precondition(lambda self: self.store is not None)
    @rule(changes=changes)
    def say(self, changes: list[tuple[int, str | None]]) -> None:
        self._try("say", *changes)

    @precondition(lambda self: self.store is not None)
    @rule()
    def seal(self) -> None:
        self._try("seal")

    @precondition(lambda self: self.store is not None)
    @rule()
    def compact(self) -> None:
        self._try("compact")

    @precondition(lambda self: self.store is not None)
    @rule(wait=st.sampled_from([0.0, LINGER_S + 1, -50.0]))
    def sweep(self, wait: float) -> None:
        self.clock.jump(wait)
        self._try("sweep")

    @precondition(lambda self: self.store is not None)
    @rule(after=st.integers(1, 30), when=st.sampled_from(["before", "middle", "after"]))
    def plan_a_crash(self, after: int, when: str) -> None:
        self.disk.faults = [Crash(self.disk.calls + after, when)]  # type: ignore[arg-type]

    @precondition(lambda self: self.store is not None)
    @rule(after=st.integers(1, 30), reason=st.sampled_from(["io", "full"]))
    def plan_a_refusal(self, after: int, reason: str) -> None:
        self.disk.faults = [Refuse(self.disk.calls + after, reason)]  # type: ignore[arg-type]

    @rule(seed=st.integers(0, 1_000))
    def lose_power(self, seed: int) -> None:
        self.store = None
        self.disk = self.disk.power_loss(seed)

    @precondition(lambda self: self.store is not None)
    @rule(how=st.sampled_from(["close", "kill"]))
    def leave(self, how: str) -> None:
        self.disk.restart()
        if how == "close":
            assert self.store is not None
            self.store.close()
        self.disk.restart()
        self.store = None

    @precondition(lambda self: self.store is None)
    @rule(gone=st.sampled_from([None, "segments", "mirror", "index", "memory.json", "quarantine"]))
    def open(self, gone: str | None) -> None:
        """Open again, at times without one folder or file; then what was unanswered is answered."""
        if gone == "segments":
            self._lose_segments()
        elif gone is not None:
            self.disk.remove(f"/memory/{gone}")
        self.store = open_on(self.disk, self.clock)
        check_all(self.store, self.promised)
        state = everything(self.store)
        self.promised = Promised({id: said for id, said in state.items() if said is not None})

    def _lose_segments(self) -> None:
        """Every file of the log goes (the mirror holds it); of the spreads, as many as parity answers for."""
        for path in self.disk.paths():
            if not path.startswith("/memory/segments/"):
                continue
            if path.startswith("/memory/segments/c"):
                if self.spare == 0:
                    continue
                self.spare -= 1
            self.disk.remove(path)

    @invariant()
    def agree(self) -> None:
        if getattr(self, "store", None) is not None:
            plan, self.disk.faults = self.disk.faults, []
            assert self.store is not None
            check_all(self.store, self.promised)
            self.disk.faults = plan


StoreAgainstDictionary.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreAgainstDictionary = StoreAgainstDictionary.TestCase
