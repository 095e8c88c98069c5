"""Several real processes on one memory: written at once, killed at system calls, stopped, forked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carma.config import Settings
from carma.errors import MemoryBusy, MemoryClosed
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.store import Store, open_store

from .scenario import Promised, Writer, check_all, everything, seen

SCRIPT = str(Path(__file__).with_name("acknowledging.py"))
ROUNDS = 12
KILLS = 16
"""Sampled system calls at which the writing process is killed; the nightly run takes every one."""
SHARDS = 4
TRACED = "pwrite64,fsync,fdatasync,ftruncate,rename,unlink,openat,mkdir,flock,write"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are traced as on Linux")


def start(folder: Path, name: str, what: str, *before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, SCRIPT, str(folder), name, what], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def open_here(folder: Path, **options: Any) -> Store:
    return open_store(
        LocalDisk(), str(folder), Settings(turn_wait_ms=300), SystemClock(), SystemEntropy(), **options
    )


def promises(lines: list[str]) -> tuple[Promised, list[int]]:
    """What the processes' words promise, and the numbers of the acknowledged writes."""
    promised, seqs = Promised(), []
    for line in lines:
        word = json.loads(line)
        if word[0] == "asked":
            promised.asked.setdefault(bytes.fromhex(word[1]), set()).add((word[2], word[3]))
        elif word[0] == "said":
            id, said = bytes.fromhex(word[1]), (word[2], word[3])
            seqs.append(word[4])
            promised.said[id] = max(promised.said.get(id, (0, None)), said, key=lambda s: s[0])
    for id, (version, _) in promised.said.items():
        promised.asked[id] = {asked for asked in promised.asked.get(id, set()) if asked[0] > version}
    return promised, seqs


Call = tuple[str, int]
"""The how-manieth call of a system call in its thread: so strace counts."""


def killed_at(folder: Path, call: Call | None) -> list[str]:
    """What the script said until it was killed at a system call (None: it never was)."""
    inject = [] if call is None else ["-e", f"inject={call[0]}:signal=SIGKILL:when={call[1]}"]
    options = ["-f", "-qq", "-o", str(folder.with_suffix(".strace")), "-e", f"trace={TRACED}", *inject]
    with start(folder, "a", str(ROUNDS), "strace", *options) as process:
        assert process.stdout is not None
        return process.stdout.read().splitlines()


def calls_of_the_script(tmp_path: Path) -> list[Call]:
    """The system calls of one run from where it first touches the memory."""
    folder = tmp_path / "counted"
    killed_at(folder, None)
    counts: Counter[tuple[str, str]] = Counter()
    found, touched = [], False
    for line in folder.with_suffix(".strace").read_text().splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match:
            counts[match[1], match[2]] += 1
            touched = touched or str(folder) in line.replace(SCRIPT, "")
            if touched:
                found.append((match[2], counts[match[1], match[2]]))
    return sorted(set(found))


def check_kills(tmp_path: Path, calls: list[Call]) -> int:
    """Kill the script at each of the calls and look at what it leaves; how often it really died."""
    died = 0
    for name, number in calls:
        folder = tmp_path / f"killed-{name}-{number}"
        lines = killed_at(folder, (name, number))
        died += '"closed"' not in lines
        store = open_here(folder)
        promised, seqs = promises(lines)
        check_all(store, promised)
        assert len(seqs) == len(set(seqs))
        before = everything(store)
        store.close()
        store = open_here(folder)
        assert everything(store) == before
        store.close()
    return died


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_at_a_system_call_loses_nothing_acknowledged(tmp_path: Path, shard: int) -> None:
    """`kill -9` at sampled system calls: all that the process had said was acknowledged is there, nothing is
    torn.
    """
    calls = calls_of_the_script(tmp_path)
    sampled = calls[:: len(calls) // KILLS][shard::SHARDS]
    assert check_kills(tmp_path, sampled) > len(sampled) // 2


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_killed_at_every_system_call_loses_nothing_acknowledged(
    tmp_path: Path, cases: Callable[[int], None]
) -> None:
    """The same at each."""
    calls = calls_of_the_script(tmp_path)
    check_kills(tmp_path, calls)
    cases(len(calls))


def test_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """Three writers and a reader: each acknowledged write is there, no number was given twice, no text is
    torn.
    """
    folder = tmp_path / "memory"
    open_here(folder).close()
    writers = [start(folder, name, str(ROUNDS), *()) for name in "abc"]
    store = open_here(folder)
    while any(writer.poll() is None for writer in writers):
        store.settle()
        for (id,) in store.registry.rows("SELECT DISTINCT id FROM fragments"):
            what = seen(store, id)
            assert what is not None
            assert what[1] is None or " " in what[1]
        time.sleep(0.02)
    lines = [line for writer in writers for line in writer.communicate()[0].splitlines()]
    assert lines.count('"closed"') == len(writers)
    promised, seqs = promises(lines)
    check_all(store, promised)
    assert len(seqs) == len(set(seqs))
    store.close()
    store = open_here(folder)
    check_all(store, promised)
    store.close()


def test_a_stopped_holder_of_the_turn_is_named(tmp_path: Path) -> None:
    """Writing beside a stopped process raises MemoryBusy with its id in bounded time; reading goes on."""
    folder = tmp_path / "memory"
    store, promised = open_here(folder), Promised()
    writer = Writer(store, promised)
    writer.say((1, "first"))
    holder = start(folder, "h", "hold")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == '"held"\n'
        holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(MemoryBusy) as busy:
            writer.say((2, "second"))
        assert busy.value.pid == holder.pid
        assert time.monotonic() - began < 5
        check_all(store, promised)
    finally:
        holder.kill()
        holder.communicate()
    writer.say((2, "second"))
    check_all(store, promised)
    store.close()


def test_a_forked_child_must_open_for_itself(tmp_path: Path) -> None:
    """After a fork the child gets MemoryClosed, and the parent goes on writing."""
    store, promised = open_here(tmp_path / "memory"), Promised()
    writer = Writer(store, promised)
    writer.say((1, "first"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"wrote"
        try:
            writer.say((1, "from the child"))
        except MemoryClosed:
            answer = b"closed"
        finally:
            store.close()
            os.write(writing, answer)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"closed"
    os.close(reading)
    os.close(writing)
    writer.say((1, "second"))
    check_all(store, promised)
    store.close()


def test_a_reader_that_touches_nothing_follows_a_writer(tmp_path: Path) -> None:
    """A memory opened read-only beside a writer sees each acknowledged write, and leaves no file behind."""
    folder = tmp_path / "memory"
    store, promised = open_here(folder), Promised()
    writer = Writer(store, promised)
    writer.say((1, "first"), (2, "second"))
    store.settle()
    reader = open_here(folder, read_only=True)
    check_all(reader, promised)
    for number in range(3, 40):
        writer.say((number, f"text {number}"), (1, f"changed {number}"))
        check_all(reader, promised)
    store.close()
    before = sorted(path.name for path in folder.rglob("*"))
    check_all(reader, promised)
    reader.close()
    reader = open_here(folder, read_only=True)
    check_all(reader, promised)
    reader.close()
    assert sorted(path.name for path in folder.rglob("*")) == before
