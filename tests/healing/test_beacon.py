"""The beacon looks everywhere, finds nothing in what is whole, and changes nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from carma.config import Settings
from carma.healing.beacon import Beacon
from carma.healing.exact import Exact
from carma.healing.pace import BACKGROUND, DEEP_EVERY_S, LIGHT_EVERY_S
from carma.memory.memory import Memory
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.store import open_store
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

from .conftest import FRAGMENTS, Watched
from .damaging import (
    cut_a_segment,
    lose_a_parity_file,
    open_at,
    rot_a_text,
    rot_memory_json,
    rot_parity,
)  # fmt: skip

# What is whole


def test_a_whole_memory_has_no_finding(rested: Path) -> None:
    """At rest: both tours look at every file, and the deep one at every record."""
    with open_at(rested) as memory:
        light, deep = memory.scan(), memory.scan(deep=True)
    assert light.healthy and deep.healthy and light.complete and deep.complete
    assert not light.breaker and not deep.breaker
    assert light.files >= 20 + 8
    assert deep.records > FRAGMENTS
    assert deep.bytes > 10_000 > light.bytes


def test_a_memory_in_use_has_no_finding(tmp_path: Path) -> None:
    """After each of many changes, before and after rest, with lingering files and after they are swept."""
    with open_at(tmp_path) as memory:

        def healthy() -> None:
            assert memory.scan().healthy
            assert memory.scan(deep=True).healthy

        healthy()
        ids = [each.id for each in memory.add_many(f"Fragment {at} of the river." for at in range(100))]
        healthy()
        memory.rest()
        healthy()
        for id in ids[:60]:
            memory.update(id, text=f"changed {id}")
        memory.delete(ids[70])
        healthy()
        memory.rest()
        healthy()
        memory.compact(linger_s=0.0)
        healthy()
        memory.delete(ids[71], purge=True)
        healthy()
        memory.add("the last one")
        healthy()
    with open_at(tmp_path) as memory:
        healthy()


WRITER = """
import sys
from carma.config import Settings
from carma.memory.memory import Memory
from carma.testing import HashEmbedder
memory = Memory.open(sys.argv[1], embedder=HashEmbedder(), settings=Settings(segment_bytes=8192))
print("ready", flush=True)
for turn in range(24):
    memory.add_many([f"from the other process {turn} {number}" for number in range(20)])
    if turn % 8 == 7:
        memory.rest()
print("done", flush=True)
memory.close()
"""


def test_while_another_process_writes_and_rests_there_is_no_finding(rested: Path) -> None:
    """Tour after tour beside a writer whose files grow, are spread and replaced."""
    with open_at(rested) as memory:
        command = [sys.executable, "-c", WRITER, str(rested)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            tours = 0
            while writer.poll() is None:
                report = memory.scan(deep=bool(tours % 2))
                assert not report.findings, report.findings
                tours += 1
        assert writer.returncode == 0 and tours >= 2
        assert memory.scan(deep=True).healthy


# Looking changes nothing


def bytes_of(folder: Path, index: bool) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (index or path.parent.name != "index")
    }


def test_looking_changes_no_byte(watched: Watched) -> None:
    """Damaged in many ways, then looked at: every file but the index is what it was."""
    folder, _, beacon = watched
    for damage in (cut_a_segment, rot_a_text, rot_parity, rot_memory_json, lose_a_parity_file):
        damage(folder)
    before = bytes_of(folder, index=False)
    assert not beacon.tour().report.healthy
    assert not beacon.tour(deep=True).report.healthy
    assert bytes_of(folder, index=False) == before


def test_a_read_only_memory_is_looked_at_without_a_trace(rested: Path) -> None:
    """The tours find the damage, write nothing at all, and the cursor lives in memory."""
    expected = rot_a_text(rested)
    before = bytes_of(rested, index=True)
    with open_at(rested, read_only=True) as memory:
        assert [each.path for each in memory.scan(deep=True).findings] == [expected.path]
        assert memory.scan().healthy
    assert bytes_of(rested, index=True) == before


def test_a_simulated_disk_is_looked_at_too() -> None:
    """Without threads and without a registry file: the same run from the same seed, and no finding."""
    reports = []
    for _ in range(2):
        disk, clock = SimulatedDisk(), SimulatedClock()
        options = {"disk": disk, "clock": clock, "entropy": SeededEntropy(1), "embedder": HashEmbedder()}
        with Memory.open("/memory", **options) as memory:  # type: ignore[arg-type]
            memory.add_many(f"Note {at} of the simulation." for at in range(40))
            memory.rest()
            reports.append([memory.scan(), memory.scan(deep=True)])
        with Memory.open("/memory", **options) as memory:  # type: ignore[arg-type]
            assert memory.scan(deep=True).healthy
        disk.put("/memory/segments/c000003.seg", b"noise")
        with Memory.open("/memory", **options) as memory:  # type: ignore[arg-type]
            (finding,) = memory.scan().findings
            assert (finding.kind, finding.path) == ("truncated", "segments/c000003.seg")
    assert reports[0] == reports[1]
    assert all(report.healthy and report.files >= 20 + 8 for report in reports[0])


# The way round


def after(calls: int) -> Callable[[], bool]:
    """True from the call after so many on."""
    asked = count()
    return lambda: next(asked) >= calls


def test_a_tour_that_was_broken_off_goes_on_where_it_was(rested: Path) -> None:
    """Over several processes: each looks at a part, and the last report covers all of it."""
    rot_a_text(rested)
    processes, report = 0, None
    while report is None or not report.complete:
        store = open_store(LocalDisk(), str(rested), Settings(), SystemClock(), SystemEntropy())
        beacon = Beacon(store, Exact(store))
        report = beacon.tour(deep=True, resume=True, stop=after(25)).report
        store.close()
        processes += 1
        assert processes < 50
    assert processes >= 3
    with open_at(rested) as memory:
        again = memory.scan(deep=True)
    assert report.findings == again.findings
    assert (report.files, report.records, report.damaged) == (again.files, again.records, again.damaged)


def test_a_damaged_cursor_is_begun_anew(rested: Path) -> None:
    """Whatever stands in the cursor's file, a tour goes all the way round."""
    with open_at(rested) as memory:
        whole = memory.scan(deep=True)
    path = rested / "index/beacon.json"
    for content in (b"", b"{}", b"[1]", b"\xff\xfe", path.read_bytes().replace(b"1", b"2")):
        path.write_bytes(content)
        with open_at(rested) as memory:
            assert memory.scan(deep=True).files == whole.files


def test_a_tour_in_the_background_keeps_its_pace(rested: Path) -> None:
    """On a simulated clock: reading the records takes as long as the pace says, and not twice so long."""
    clock = SimulatedClock()
    store = open_store(LocalDisk(), str(rested), Settings(), clock, SystemEntropy())
    report = Beacon(store, Exact(store)).tour(deep=True, pace=BACKGROUND).report
    store.close()
    there = sum(
        path.stat().st_size
        for place in ("segments", "mirror", "parity")
        for path in (rested / place).iterdir()
    )
    assert report.complete
    assert 1.0 <= clock.monotonic() * BACKGROUND.bytes_per_s / there < 2.0


def test_the_next_tour_is_known_from_the_cursor(rested: Path) -> None:
    """A fresh memory wants a deep tour; after it nothing, then light ones, then a deep one again."""
    clock = SimulatedClock()
    store = open_store(LocalDisk(), str(rested), Settings(), clock, SystemEntropy())
    beacon = Beacon(store, Exact(store), SeededEntropy(3))
    assert beacon.due() == "deep"
    beacon.tour(deep=True)
    assert beacon.due() is None
    clock.advance(LIGHT_EVERY_S * 1.3)
    assert beacon.due() == "light"
    Beacon(store, Exact(store)).tour()
    assert beacon.due() is None, "another beacon of the same memory was there"
    assert Beacon(store, Exact(store)).due() is None
    clock.advance(DEEP_EVERY_S * 1.3)
    assert beacon.due() == "deep"
    store.close()
