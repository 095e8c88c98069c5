"""A process that has imported one system and nothing more, and forks for every trial.

Each trial is a process of its own, so a crash is seen as a signal and a hang as a time limit, and no trial
pays for the import (a second or more). What it answers comes through a file. Rejected: one process for many
trials, in which a panic, a poisoned lock or a cache of one trial would be part of the next.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import resource
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.peers import PEERS

__all__ = ["OUT_OF_MEMORY", "Ended", "NotMeasured", "Trials", "wait"]

MOST_RESIDENT_BYTES = 4 * 2**30
"""A flipped length must not take the machine's memory: a trial that holds more is ended. What is in use
counts, not the address space: an allocation that is never touched harms nobody.
"""
WRITTEN = {"carma": "carma_memory.CarmaAtRest", "chroma": "chroma.ChromaWritten"}
"""Adapters that differ from those of the other measurements."""
STEP_S = 0.005
LOG_TAIL = 600
OWN_FAULT = 70
"""Exit code of a child that failed outside the calls that are watched."""
OUT_OF_MEMORY = 71
"""Exit code of a child that ran out of memory, or was ended because it took too much."""


class NotMeasured(Exception):
    """A store could not be filled, or was not read back right undamaged, so its flips would say nothing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended. answer: None if it did not get so far. signal: that killed it (0: none)."""

    answer: dict[str, Any] | None
    signal: int = 0
    hung: bool = False
    exit_code: int = 0
    cpu_s: float = 0.0
    log: str = ""


class Trials:
    """The parent's end."""

    def __init__(self, system: str, corpus: Path, work: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        arguments = (other, WRITTEN.get(system, PEERS[system]), str(corpus), str(work))
        self._process = context.Process(target=_serve, args=arguments)
        self._process.start()
        other.close()

    def do(self, task: str, folder: Path, *arguments: int, limit_s: float) -> Ended:
        """Runs `bench.damage.readback.<task>` on the store in `folder`, in a process of its own."""
        self._pipe.send((task, str(folder), arguments, limit_s))
        ended: Ended = self._pipe.recv()
        if ended.exit_code == OWN_FAULT:
            raise NotMeasured(f"{task} failed outside the calls that are watched: {ended.log}")
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def _serve(pipe: Any, adapter: str, corpus_folder: str, work: str) -> None:
    from bench.corpus import Corpus
    from bench.damage import readback

    module, kind = adapter.split(".")
    peer_type = getattr(importlib.import_module(f"bench.peers.{module}"), kind)
    logging.getLogger("mem0").setLevel(logging.WARNING)
    answer, log = Path(work) / "answer.json", Path(work) / "log.txt"
    while (order := pipe.recv()) is not None:
        task, folder, arguments, limit_s = order
        for path in (answer, log):
            path.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                _confine(log)
                corpus = Corpus.read(Path(corpus_folder))
                seen = getattr(readback, task)(peer_type(), corpus, Path(folder), *arguments)
                answer.with_suffix(".new").write_text(json.dumps(seen, default=repr))
                answer.with_suffix(".new").rename(answer)
                os._exit(0)
            except MemoryError:
                os._exit(OUT_OF_MEMORY)
            finally:
                traceback.print_exc()
                os._exit(OWN_FAULT)
        pipe.send(wait(child, limit_s, answer, log))


def _confine(log: Path) -> None:
    """Limits and a log of its own."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)


def wait(child: int, limit_s: float, answer: Path, log: Path) -> Ended:
    """Waits for a child that leads a process group; ends the group when the time is over. Reads its files."""
    deadline, hung, swollen = time.monotonic() + limit_s, False, False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        hung = hung or (not swollen and time.monotonic() > deadline)
        swollen = swollen or (not hung and _resident_bytes(child) > MOST_RESIDENT_BYTES)
        if hung or swollen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(STEP_S)
    text = log.read_text(errors="replace")[-LOG_TAIL:] if log.exists() else ""
    return Ended(
        answer=json.loads(answer.read_text()) if answer.exists() and not hung and not swollen else None,
        signal=0 if hung or swollen or not os.WIFSIGNALED(status) else os.WTERMSIG(status),
        hung=hung,
        exit_code=OUT_OF_MEMORY if swollen else os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        cpu_s=usage.ru_utime + usage.ru_stime,
        log=text,
    )


def _resident_bytes(pid: int) -> int:
    """Memory in use; 0 where the system has no /proc, and for a process that has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0
