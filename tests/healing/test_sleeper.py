"""The sleeper: when a memory dreams, from numbers alone; and the thread that starts it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.config import Settings
from carma.errors import MemoryBusy
from carma.healing.sleeper import Rhythm, Sleeper, State, period_s, wait_s
from carma.memory.memory import Memory
from carma.memory.sleep import Sleep
from carma.testing import HashEmbedder, SimulatedClock, SimulatedDisk

from .dreaming import fill, open_at, segment_files

RHYTHM = Rhythm(after_idle_s=60, base_s=3_600, growth=0.5, most_s=86_400, most_blanks=100)


def test_the_period_grows_with_the_cycles_and_has_an_end() -> None:
    """base x (1 + cycles x growth), and never more than the most."""
    assert [period_s(RHYTHM, cycles) for cycles in (0, 1, 10)] == [3_600, 5_400, 21_600]
    assert period_s(RHYTHM, 100_000) == 86_400


@pytest.mark.parametrize(
    ("state", "wait"),
    [
        (State(idle_s=60, awake_s=3_600), 0),
        (State(idle_s=60, awake_s=100), 3_500),
        (State(idle_s=10, awake_s=9_999), 50),
        (State(idle_s=500, awake_s=1, since_dream_s=5_400, cycles=1), 0),
        (State(idle_s=500, awake_s=9_999, since_dream_s=60, cycles=0), 3_540),
        (State(idle_s=500, awake_s=1, since_dream_s=1, blanks=101), 0),
        (State(idle_s=20, awake_s=1, since_dream_s=1, blanks=101), 40),
        (State(idle_s=500, awake_s=1, since_dream_s=1, blanks=100), 3_599),
        (State(idle_s=500, awake_s=1, since_dream_s=-1_000_000), 3_600),
    ],
)
def test_when_the_next_dream_begins(state: State, wait: float) -> None:
    """Idle always; the period unless there are too many blanks; a clock set back waits one period."""
    assert wait_s(RHYTHM, state) == wait


@given(
    idle=st.floats(0, 1e6), awake=st.floats(0, 1e6), since=st.none() | st.floats(-1e6, 1e6),
    cycles=st.integers(0, 10_000), blanks=st.integers(0, 10_000),
)  # fmt: skip
def test_nobody_is_woken_and_every_wait_ends(
    idle: float, awake: float, since: float | None, cycles: int, blanks: int
) -> None:
    """A memory in use never dreams, and the wait is never longer than the longest period."""
    state = State(idle_s=idle, awake_s=awake, since_dream_s=since, cycles=cycles, blanks=blanks)
    wait = wait_s(RHYTHM, state)
    assert 0 <= wait <= RHYTHM.most_s
    assert idle >= RHYTHM.after_idle_s or wait >= RHYTHM.after_idle_s - idle


def sleeper_of(
    clock: SimulatedClock, said: list[str], *, idle_s: float = 100.0, busy: bool = False
) -> Sleeper:
    def dream() -> None:
        said.append("dream")
        if busy:
            raise MemoryBusy("another dream runs")

    return Sleeper(
        clock, RHYTHM, idle_s=lambda: idle_s, state=lambda: State(idle_s=idle_s, awake_s=clock.monotonic()),
        dream=dream, look=lambda: said.append("look"), stop=lambda: said.append("stop"),
    )  # fmt: skip


def test_an_idle_memory_looks_until_it_is_time_to_dream() -> None:
    """And one in use does neither."""
    clock, said = SimulatedClock(), list[str]()
    sleeper = sleeper_of(clock, said)
    assert not sleeper.turn()
    clock.advance(3_600)
    assert sleeper.turn()
    assert said == ["look", "dream"]
    assert not sleeper_of(clock, said, idle_s=5.0).turn() and said == ["look", "dream"]


def test_a_dream_that_could_not_begin_is_not_tried_again_at_once() -> None:
    """Five minutes later."""
    clock, said = SimulatedClock(), list[str]()
    clock.advance(3_600)
    sleeper = sleeper_of(clock, said, busy=True)
    with pytest.raises(MemoryBusy):
        sleeper.turn()
    assert not sleeper.turn()
    clock.advance(301)
    with pytest.raises(MemoryBusy):
        sleeper.turn()
    assert said == ["dream", "look", "dream"]


def test_closing_stops_what_runs_and_leaves_no_thread() -> None:
    """Also if it was never started."""
    said: list[str] = []
    before = sleepers()
    sleeper = sleeper_of(SimulatedClock(), said)
    sleeper.start()
    sleeper.close()
    assert said == ["stop"]
    assert sleepers() <= before


def sleepers() -> set[threading.Thread]:
    """Those of other tests' memories too."""
    return {thread for thread in threading.enumerate() if thread.name == "carma-sleeper"}


def test_nobody_sleeps_who_cannot_be_repaired(tmp_path: Path) -> None:
    """Read-only memories and simulated disks have no sleeper."""
    folder = tmp_path / "memory"
    fill(folder, 4)
    before = sleepers()
    with open_at(folder, read_only=True) as memory:
        sleep = Sleep(memory._parts, memory.dreamer)
        sleep.start()
        assert sleepers() <= before
        sleep.close()
    with Memory.open("/memory", disk=SimulatedDisk(), embedder=HashEmbedder()) as memory:
        sleep = Sleep(memory._parts, memory.dreamer)
        sleep.start()
        assert sleepers() <= before
        sleep.close()


def test_a_memory_heals_in_its_sleep(tmp_path: Path) -> None:
    """What is due is done: the beacon's tour, and a dream in a process of its own."""
    folder = tmp_path / "memory"
    fill(folder, 24)
    before = segment_files(folder)[0].read_bytes()
    lost = segment_files(folder)[0]
    with open_at(folder) as memory:
        lost.unlink()
        sleep = Sleep(memory._parts, memory.dreamer)
        sleep._rhythm = sleep._sleeper._rhythm = Rhythm(after_idle_s=0.0, base_s=0.0)
        assert sleep._sleeper.turn()
        assert memory.dreams()[0].status == "completed" and lost.read_bytes() == before
        sleep._rhythm = sleep._sleeper._rhythm = Rhythm(after_idle_s=0.0, base_s=3_600.0)
        assert not sleep._sleeper.turn()
        sleep.close()


def test_settings_say_when(tmp_path: Path) -> None:
    """A short-lived process starts nothing: the first dream waits for a whole period."""
    folder = tmp_path / "memory"
    fill(folder, 4)
    with open_at(folder, settings=Settings()) as memory:
        sleep = Sleep(memory._parts, memory.dreamer)
        assert sleep._rhythm == Rhythm()
        assert wait_s(sleep._rhythm, sleep._state()) > 3_500
    shutil.rmtree(folder)
