"""At rest every fragment has a sketch or short copy in two files, however slow the machine is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from carma.config import Settings
from carma.healing.breaker import trip
from carma.healing.condense import current_spreads
from carma.healing.english import COMMON
from carma.memory.memory import Memory
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.copies import open_copies
from carma.store.record import RecordKind
from carma.store.store import open_store
from carma.testing import SimulatedClock

from . import dreaming
from .damaging import open_at

PAGES, PARAGRAPHS = 40, 60
"""2,400 paragraphs: more than a second of work for the coder."""
NO_TIME = Settings(condense_budget_s=0.0, condense_most_s=0.0)


def book(folder: Path) -> None:
    """A folder of pages in plain English, each sentence with a name and a number."""
    words = [word for word in COMMON.split() if word.isalpha()]
    random = Random(7)
    folder.mkdir()
    for page in range(PAGES):
        paragraphs = [
            " ".join(random.choices(words, k=90)) + f" Mira Venn counted {random.randrange(10**6)} snails."
            for _ in range(PARAGRAPHS)
        ]
        (folder / f"page{page:02}.md").write_text(f"# Page {page}\n\n" + "\n\n".join(paragraphs))


def sketched(folder: Path) -> list[tuple[int, int, int]]:
    """For each spread: its fragments, and how many of them each of its two files of sketches names."""
    store = open_store(LocalDisk(), str(folder), Settings(), SystemClock(), SystemEntropy(), read_only=True)
    try:
        found = []
        for manifest in current_spreads(store):
            fragments = {at for at, row in enumerate(manifest.records) if row.kind == RecordKind.FRAGMENT}
            counts: list[int] = []
            for column in (manifest.head.m - 2, manifest.head.m - 1):
                named: set[int] = set()
                for item in store.spreads.records(manifest.column(column), RecordKind.COPIES):
                    part = open_copies(item.payload, manifest.head.spread, store.sealing)
                    assert part is not None
                    named.update(at for at, size in enumerate(part["n"], part["i"]) if size)
                counts.append(len(named & fragments))
            found.append((len(fragments), counts[0], counts[1]))
        return found
    finally:
        store.close()


def carma(*arguments: object) -> str:
    """A command in a process of its own, as its users run it."""
    done = subprocess.run(
        [sys.executable, "-m", "carma", *map(str, arguments)], check=True, capture_output=True, timeout=300
    )
    return done.stdout.decode()


def test_what_the_command_line_took_in_has_its_sketches_in_two_files(tmp_path: Path) -> None:
    """After `carma ingest` and nothing else, with the real clock and more than a second of work."""
    book(tmp_path / "book")
    carma("ingest", tmp_path / "book", "--store", tmp_path / "memory")
    spreads = sketched(tmp_path / "memory")
    assert sum(fragments for fragments, _, _ in spreads) > PAGES * PARAGRAPHS
    assert all(fragments == first == second for fragments, first, second in spreads)


@pytest.fixture
def unsketched(tmp_path: Path) -> Path:
    """A memory at rest whose sketches nobody had time for."""
    folder = tmp_path / "memory"
    with open_at(folder, settings=NO_TIME) as memory:
        memory.add_many(f"Ada met Bob in room {number} at noon." for number in range(40))
    return folder


def test_missing_sketches_are_told(unsketched: Path) -> None:
    """By stats, scan and doctor."""
    with open_at(unsketched, settings=NO_TIME) as memory:
        assert memory.stats()["sketches"] == {"made": 0, "missing": 40}
        report = memory.scan()
        assert (report.sketches, report.sketches_missing) == (0, 40)
        assert [each["what"] for each in memory.doctor() if each["subject"] == "sketches"] == [
            "40 of 40 fragments have no sketch yet."
        ]
    assert "sketches_missing\t40" in carma("scan", "--store", unsketched)


def test_flush_by_the_command_line_makes_what_is_missing(unsketched: Path) -> None:
    """Though nothing was written since."""
    carma("flush", "--store", unsketched)
    assert sketched(unsketched) == [(40, 40, 40)]


def test_closing_makes_what_an_earlier_close_had_no_time_for(unsketched: Path) -> None:
    """The spread is written anew, with what was written since."""
    with open_at(unsketched) as memory:
        memory.add("One more.")
    assert [made == first == second for made, first, second in sketched(unsketched)] == [True]


def test_a_memory_that_stays_open_makes_what_is_missing_by_itself(unsketched: Path) -> None:
    """Without a write, in the first rest after it was opened."""
    with Memory.open(unsketched, settings=Settings(rest_after_s=0.0, sleep=False)) as memory:
        until = time.monotonic() + 60
        while memory.stats()["sketches"]["missing"] and time.monotonic() < until:
            time.sleep(0.05)
        assert memory.stats()["sketches"] == {"made": 40, "missing": 0}


def test_no_dream_writes_spreads_anew_while_the_breaker_is_open(unsketched: Path) -> None:
    """It says how many sketches wait; the next one makes them once the breaker was cleared."""
    with open_at(unsketched, settings=NO_TIME) as memory:
        trip(memory._store)
        told = memory.dream(in_process=True).reasons
        assert told["the breaker is open: sketches wait to be made"] == 40
        memory.clear_breaker()
        memory.dream(in_process=True)
        assert memory.stats()["sketches"] == {"made": 40, "missing": 0}


def test_sketches_that_were_not_there_for_a_moment_are_looked_for_again(tmp_path: Path) -> None:
    """Their files are replaced by others now and then; who looked just then does not keep the nothing."""
    folder, clock = tmp_path / "memory", SimulatedClock()
    dreaming.fill(folder, 12, every=1_000, settings=dreaming.PATIENT)
    with dreaming.open_at(folder, clock=clock) as memory:
        copies = memory._parts.exact.copies
        seqs = {each.seq: each.text for each in memory.list(limit=100) if len(each.text) < 90}
        files = {path: path.read_bytes() for path in dreaming.parity_files(folder)}
        dreaming.lose(files)
        assert [copies.text(seq) for seq in seqs] == [None] * len(seqs)
        for path, data in files.items():
            path.write_bytes(data)
        clock.advance(2.0)
        assert {seq: copies.text(seq) for seq in seqs} == seqs
