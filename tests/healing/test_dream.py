"""A dream: byte for byte what was, in any order of damage, however often it is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from carma.config import Settings
from carma.embed import CallableEmbedder, Embedder
from carma.errors import FragmentNotFound, InvalidInput, MemoryBusy, ReadOnlyMemory
from carma.healing.dreamlog import only_one
from carma.healing.planning import Job, budget, in_order, planned
from carma.healing.worker import DreamProcess
from carma.memory.memory import Memory
from carma.store.payload import pack_map
from carma.store.record import RecordKind
from carma.testing import (
    Crash,
    HashEmbedder,
    Refuse,
    SeededEntropy,
    SimulatedClock,
    SimulatedCrash,
    SimulatedDisk,
)

from .dreaming import (
    SETTINGS,
    files,
    fill,
    flip,
    lose,
    lose_beyond_parity,
    lose_index,
    of_spread,
    open_at,
    parity_files,
    segment_files,
    texts_now,
    turn,
)

Damage = Callable[[Path], None]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A memory at rest and its texts; made once."""
    folder = tmp_path_factory.mktemp("dreaming") / "memory"
    return folder, fill(folder)


@pytest.fixture
def folder(template: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(template[0], tmp_path / "memory"))


@pytest.fixture
def texts(template: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return template[1]


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def lose_three_segments(folder: Path) -> None:
    lose(segment_files(folder)[4:7])


def lose_three_parity_files(folder: Path) -> None:
    lose(parity_files(folder)[1:4])


def lose_a_segment_and_both_files_of_sketches_but_one(folder: Path) -> None:
    lose([segment_files(folder)[0], *parity_files(folder)[5:7]])


def rot_three_segments(folder: Path) -> None:
    for path in segment_files(folder)[7:10]:
        for at in (20, 160, 900):
            flip(path, at)


def cut_three_segments(folder: Path) -> None:
    for path, share in zip(segment_files(folder)[3:6], (0.0, 0.4, 0.9), strict=True):
        cut(path, share)


def cut_three_parity_files(folder: Path) -> None:
    for path in parity_files(folder)[:3]:
        cut(path, 0.6)


def rot_three_parity_files(folder: Path) -> None:
    for path in parity_files(folder)[2:5]:
        for at in (5, 300, -40):
            flip(path, at)


def lengthen_files(folder: Path) -> None:
    for path in (segment_files(folder)[2], parity_files(folder)[2]):
        path.write_bytes(path.read_bytes() + b"more")


def lose_memory_json(folder: Path) -> None:
    (folder / "memory.json").unlink()


def empty_memory_json(folder: Path) -> None:
    (folder / "memory.json").write_text("{}")


def swap_segments(folder: Path) -> None:
    shutil.copyfile(segment_files(folder)[0], segment_files(folder)[1])


DAMAGES: list[Damage] = [
    lose_three_segments, lose_three_parity_files, lose_a_segment_and_both_files_of_sketches_but_one,
    rot_three_segments, cut_three_segments, cut_three_parity_files, rot_three_parity_files, lengthen_files,
    lose_memory_json, empty_memory_json, swap_segments, lose_index,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_dream_gives_every_file_back_byte_for_byte(
    damage: Damage, folder: Path, texts: dict[str, str]
) -> None:
    """And the dream after it has nothing to do."""
    before = files(folder)
    with open_at(folder) as memory:
        damage(folder)
        report = memory.dream(in_process=True)
        assert report.status == "completed" and report.still_blank == 0 and not report.reconstructed
        again = memory.dream(in_process=True)
    assert {name: data for name, data in files(folder).items() if name in of_spread(before)} == of_spread(
        before
    )
    assert (again.damaged, again.exact, again.files_repaired, again.steps) == (0, 0, 0, ())
    assert {state for state, _ in texts_now(folder, texts).values()} == {"intact"}


@pytest.mark.parametrize(
    ("place", "how"), [("segments", "lost"), ("mirror", "lost"), ("segments", "flipped"), ("mirror", "cut")]
)
def test_the_two_copies_of_the_log_heal_each_other(place: str, how: str, tmp_path: Path) -> None:
    """While it is written as well as when it was sealed."""
    folder = tmp_path / "memory"
    with open_at(folder, settings=Settings(segment_bytes=3_000, condense_budget_s=0.0)) as memory:
        made = [memory.add(turn(number)) for number in range(20)]
        for path in (folder / place).glob("0*.seg"):
            if how == "lost":
                path.unlink()
            elif how == "cut":
                cut(path, 0.5)
            else:
                flip(path, 500)
        report = memory.dream(in_process=True)
        assert report.rungs["mirror"] > 0 and report.still_blank == 0
        whole = {path.name: path.read_bytes() for path in (folder / "segments").glob("0*.seg")}
        assert whole == {path.name: path.read_bytes() for path in (folder / "mirror").glob("0*.seg")}
        assert [memory.get(each.id).state for each in made] == ["intact"] * 20


def test_three_files_lost_a_dream_and_three_others_lost(folder: Path) -> None:
    """After a dream the full budget stands again."""
    before = of_spread(files(folder))
    everything = [*segment_files(folder), *parity_files(folder)]
    with open_at(folder) as memory:
        for start in (0, 9, 18, 25):
            lose(everything[start : start + 3])
            memory.dream(in_process=True)
            after = files(folder)
            assert {name: after.get(name) for name in before} == before


def test_originals_wait_in_quarantine_for_a_clean_pass(folder: Path) -> None:
    """A damaged file is kept when it is replaced; the next dream, which finds nothing, lets it go."""
    damaged = segment_files(folder)[3]
    flip(damaged, 200)
    rotten = damaged.read_bytes()
    with open_at(folder) as memory:
        memory.dream(in_process=True)
        assert rotten in [path.read_bytes() for path in (folder / "quarantine").iterdir()]
        memory.dream(in_process=True)
        assert list((folder / "quarantine").iterdir()) == []


def test_sketches_that_are_lost_in_both_files_are_made_again(folder: Path, texts: dict[str, str]) -> None:
    """Parity follows from the records; sketches do not, so the spread is written anew."""
    lose(parity_files(folder)[-2:])
    with open_at(folder) as memory:
        report = memory.dream(in_process=True)
        assert report.status == "completed"
        exact = memory._parts.exact
        told = [exact.text(memory.get(id).seq) for id in texts]
        assert sum(text is not None for text in told) > 20
        assert all(text in (None, true) for text, true in zip(told, texts.values(), strict=True))
        again = memory.dream(in_process=True)
        assert again.steps == ()
    assert len(segment_files(folder)) == 20 and len(parity_files(folder)) == 8


def test_a_dry_run_writes_nothing_at_all(folder: Path) -> None:
    """It says what would be done."""
    lose(segment_files(folder)[:2])
    (folder / "memory.json").unlink()
    with open_at(folder, read_only=True) as memory:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        report = memory.dream(dry_run=True)
        assert report.dry_run and report.damaged == report.exact > 0 and report.files_repaired == 3
        with pytest.raises(ReadOnlyMemory):
            memory.dream()
        assert memory.dreams() == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_dream_ends_within_a_step_of_its_budget(folder: Path) -> None:
    """And the next one goes on."""
    lose(segment_files(folder)[:3])
    with open_at(folder) as memory:
        none = memory.dream(budget_s=0, in_process=True)
        assert (none.status, none.files_repaired, dict(none.reasons)) == ("completed", 0, {"out of time": 1})
        with pytest.raises(InvalidInput):
            memory.dream(budget_s=-1, in_process=True)
        assert memory.dream(budget_s=60, in_process=True).files_repaired == 3


@pytest.mark.parametrize("after", [0, 3, 30, 34])
def test_a_cancelled_dream_ends_after_its_step_and_the_next_goes_on(
    after: int, folder: Path, texts: dict[str, str]
) -> None:
    """Whatever it was doing."""
    before = of_spread(files(folder))
    lose(segment_files(folder)[:3])
    asked = iter(range(10_000))
    with open_at(folder) as memory:
        report = memory.dream(in_process=True, cancelled=lambda: next(asked) >= after)
        assert report.status == memory.dreams()[0].status == "cancelled"
        assert memory.dream(in_process=True).status == "completed"
    assert {name: files(folder).get(name) for name in before} == before


def simulated(disk: SimulatedDisk, clock: SimulatedClock) -> Memory:
    return Memory.open(
        "/memory",
        disk=disk,
        clock=clock,
        entropy=SeededEntropy(1),
        embedder=HashEmbedder(),
        settings=SETTINGS,
    )


def simulated_damage() -> tuple[SimulatedDisk, SimulatedClock, dict[str, bytes]]:
    """A memory on a simulated disk with three files lost, and what its spread should hold."""
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    with simulated(disk, clock) as memory:
        memory.add_many(turn(number) for number in range(24))
        memory.flush()
    clock.advance(3_600)
    before = {path: disk.contents(path) for path in disk.paths() if "/c0" in path or path.endswith(".par")}
    for path in sorted(before)[::11]:
        disk.remove(path)
    return disk, clock, before


def test_a_crash_at_any_call_of_the_disk_costs_nothing() -> None:
    """Sampled: the next dream finishes what the killed one began."""
    disk, clock, before = simulated_damage()
    with simulated(disk, clock) as memory:
        start = disk.calls
        memory.dream()
        calls = disk.calls - start
    assert calls > 100
    for at in range(1, calls, calls // 11):
        disk, clock, before = simulated_damage()
        memory = simulated(disk, clock)
        disk.faults = [Crash(at=disk.calls + at, when=("before", "middle")[at % 2])]
        # The call may be one that fails by itself, such as opening a file that is gone.
        with suppress(SimulatedCrash):
            memory.dream()
        disk.restart()
        with simulated(disk, clock) as memory:
            assert memory.dream().still_blank == 0
            after = {path: disk.contents(path) for path in disk.paths() if path in before}
        assert after == before, at


@pytest.mark.parametrize("reason", ["io", "full"])
def test_a_disk_that_refuses_costs_a_step_and_not_the_memory(reason: Literal["io", "full"]) -> None:
    """Sampled windows of refused calls: the dream says what failed, and the next one heals."""
    for at in range(40, 600, 140):
        disk, clock, before = simulated_damage()
        with simulated(disk, clock) as memory:
            disk.faults = [Refuse(at=disk.calls + at, calls=4, reason=reason)]
            report = memory.dream()
            assert report.status in ("completed", "failed") and (report.status == "completed" or report.error)
            disk.faults = []
            assert memory.dream().still_blank == 0
            after = {path: disk.contents(path) for path in disk.paths() if path in before}
        assert after == before, at


def test_a_full_disk_is_healed_with_the_reserve(folder: Path) -> None:
    """What was set aside is given up for it."""
    disk, clock, _ = simulated_damage()
    disk.capacity_bytes = sum(len(disk.contents(path)) for path in disk.paths())
    assert "/memory/reserve" in disk.paths()
    with simulated(disk, clock) as memory:
        report = memory.dream()
    assert report.files_repaired > 0 and report.still_blank == 0


def test_a_killed_process_has_failed_and_the_next_dream_finishes(folder: Path) -> None:
    """kill -9 in the middle, at sampled steps."""
    before = of_spread(files(folder))
    for steps in (2, 4):
        lose(path for path in segment_files(folder)[:3] if path.exists())
        line = [sys.executable, "-m", "carma", "dream", "--store", str(folder), "--in-process", "--tell"]
        settings = json.dumps({"linger_s": 0.0, "breaker_segments": 100})
        process = subprocess.Popen(
            [*line, "--settings", settings], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stderr is not None and process.stdin is not None
        for _ in range(steps):
            process.stderr.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        process.stdin.close()
    with open_at(folder) as memory:
        assert memory.dream(in_process=True).still_blank == 0
        assert {each.status for each in memory.dreams()} <= {"completed", "failed"}
    assert {name: files(folder).get(name) for name in before} == before


def test_a_dream_is_a_process_of_its_own(folder: Path, texts: dict[str, str]) -> None:
    """The memory that started it sees what came back."""
    lose_index(folder)
    lose(segment_files(folder)[:3])
    told: list[tuple[int, int, str]] = []
    with open_at(folder) as memory:
        report = memory.dream(progress=lambda *now: told.append(now))
        assert report.status == "completed" and report.files_repaired == 3 and len(report.steps) >= 3
        assert len(told) > 3
        assert all(memory.get(id).text == text for id, text in texts.items())
        assert memory.dreams()[0].files_repaired == 3


@pytest.mark.parametrize(
    ("embedder", "elsewhere"),
    [
        ("hash:32", True),
        (HashEmbedder(32), True),
        (CallableEmbedder(HashEmbedder(8).embed, "mine", 8), False),
    ],
    ids=["a name", "an object that a name leads to", "an object of the caller"],
)
def test_a_dream_is_elsewhere_if_its_embedder_can_be_had_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: Embedder | str, elsewhere: bool
) -> None:
    """By its name, or by what it says of itself; what only the caller has is used where the caller is."""
    started: list[str | None] = []

    class Process(DreamProcess):
        def __init__(self, *given: Any) -> None:
            started.append(given[4])
            super().__init__(*given)

    monkeypatch.setattr("carma.memory.dreaming.DreamProcess", Process)
    with Memory.open(tmp_path / "memory", embedder=embedder) as memory:
        memory.add_many(f"text {number}" for number in range(30))
        memory.rest()
        min((tmp_path / "memory" / "segments").glob("c*")).unlink()
        report = memory.dream()
        assert (report.status, report.files_repaired) == ("completed", 1)
        assert started == ([embedder if isinstance(embedder, str) else None] if elsewhere else [])


def test_closing_a_memory_ends_its_dream(folder: Path) -> None:
    """No process is left behind."""
    memory = open_at(folder)
    seen = threading.Event()
    caught: list[object] = []

    def run() -> None:
        try:
            caught.append(memory.dream(progress=lambda *now: seen.set()).status)
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert seen.wait(60)
    memory.dreamer.stop()
    thread.join(60)
    assert not thread.is_alive() and caught
    memory.close()


def test_one_dream_at_a_time_and_who_died_has_failed(folder: Path) -> None:
    """The lock says whether a cycle that calls itself running still runs."""
    with open_at(folder) as memory:
        store = memory._store
        note = {"cycle": {"cycle": 1, "status": "running"}}
        store.append(RecordKind.LEDGER, pack_map(note))
        with only_one(store):
            assert memory.dreams()[0].status == "running"
            with pytest.raises(MemoryBusy):
                memory.dream(in_process=True)
        assert memory.dreams()[0].status == "failed"
        assert memory.dream(in_process=True).cycle == 2


def test_mass_damage_trips_the_breaker_and_repairs_go_on(folder: Path) -> None:
    """Nothing is dropped while it is open."""
    with open_at(folder, settings=Settings(breaker_segments=2)) as memory:
        for path in segment_files(folder)[:5]:
            flip(path, 200)
        kept = memory.get(memory.list(limit=1).items[0].id)
        memory.delete(kept.id)
        report = memory.dream(in_process=True)
        assert report.breaker and report.files_repaired == 5 and report.still_blank == 0
        assert any("breaker" in reason for reason in report.reasons)
        assert list((folder / "quarantine").iterdir())


def test_deleted_text_leaves_every_file_with_the_next_dream(folder: Path, texts: dict[str, str]) -> None:
    """And comes back by no rung, though a replica still has it."""
    id = next(id for id, text in texts.items() if text.startswith("Ann 1:"))
    replica = shutil.copytree(folder, folder.parent / "replica")
    with open_at(folder) as memory:
        memory.delete(id)
        memory.dream(in_process=True)
        held = [
            path for path in folder.rglob("*") if path.is_file() and texts[id].encode() in path.read_bytes()
        ]
        assert held == []
        lose_beyond_parity(folder)
        memory.dream(in_process=True, sources=[replica])
        with pytest.raises(FragmentNotFound):
            memory.get(id)


def test_steps_are_data(folder: Path) -> None:
    """The log says of each step what it was and how long it took."""
    lose(segment_files(folder)[:2])
    with open_at(folder) as memory:
        memory.dream(in_process=True)
        (report,) = memory.dreams(steps=True)
    assert [(step.target, step.rung, step.before, step.after) for step in report.steps] == [
        ("file", "parity", "damaged", "intact")
    ] * 2
    assert all(step.cycle == 1 and step.latency_ms > 0 for step in report.steps)


@pytest.fixture
def jobs() -> list[Job]:
    return [Job(7, 2, True, 3), Job(5, 1, False, 6), Job(4, 2, False, 3), Job(1, 0, False, 0)]


def test_plan_and_order_follow_from_numbers(jobs: list[Job]) -> None:
    """5 s, 0.1 s for each fragment, 2 s for each blank; then what can lose the fewest files more."""
    assert planned(5.0, 0.1, 2.0, 100, 3) == 21.0
    assert (budget(21.0, None), budget(21.0, 4.0), budget(21.0, 60.0)) == (21.0, 4.0, 21.0)
    assert [job.number for job in in_order(jobs)] == [1, 4, 7, 5]
