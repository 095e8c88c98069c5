"""One system in one process of its own, told by the parent what to do next.

Every system keeps its process for a whole measurement and works only when it is its turn, so that the rounds
can alternate between systems while none disturbs another's threads, caches or memory. A measurement on one
thread is pinned to one processor: the thread pools of Rust and OpenMP obey that, whatever their settings
are.

The work itself is a function of the form `work(peer, corpus, *arguments)` at the top of a measure's module;
it takes its own times with `time.perf_counter`, so what passes through the pipe is never part of a figure.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

CONTEXT = multiprocessing.get_context("spawn")


class WorkFailed(Exception):
    """The work raised, died or took too long; the text says which."""


class Worker:
    """The parent's end: starts the process, hands over work, waits for what it returns."""

    def __init__(
        self, system: str, corpus: Path, *, cores: int | None = None, embedder: str | None = None
    ) -> None:
        """cores: how many processors it may use (all if None). embedder: see `bench.embedders`."""
        self.system = system
        self._pipe, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_serve, args=(other, system, str(corpus), embedder), daemon=True
        )
        with _confined(cores):
            self._process.start()
        other.close()

    @property
    def pid(self) -> int:
        """The process number."""
        assert self._process.pid is not None
        return self._process.pid

    def do(self, work: Callable[..., Any], *arguments: Any, timeout_s: float = 900.0) -> Any:
        """What `work(peer, corpus, *arguments)` returned in the other process. Raises WorkFailed."""
        try:
            self._pipe.send((work, arguments))
            if not self._pipe.poll(timeout_s):
                self._process.kill()
                raise WorkFailed(f"{self.system}: no answer within {timeout_s:.0f} s")
            good, value = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._process.join(5)
            raise WorkFailed(f"{self.system}: the process died (exit {self._process.exitcode})") from error
        if not good:
            raise WorkFailed(f"{self.system}: {value}")
        return value

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextlib.contextmanager
def _confined(cores: int | None) -> Iterator[None]:
    """Lets children started inside use only `cores` of the processors (the last ones: the first serves
    interrupts).
    """
    allowed = os.sched_getaffinity(0)
    if cores is None or cores >= len(allowed):
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(cores)
    os.sched_setaffinity(0, set(sorted(allowed)[-cores:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        del os.environ["OMP_NUM_THREADS"]


def _serve(pipe: Connection, system: str, folder: str, embedder: str | None) -> None:
    from bench.corpus import Corpus
    from bench.embedders import make_embedder
    from bench.peers import make

    peer = corpus = None
    while (order := pipe.recv()) is not None:
        work, arguments = order
        try:
            if peer is None:
                peer, corpus = make(system), Corpus.read(Path(folder))
                peer.embed = make_embedder(embedder) if embedder else None
            pipe.send((True, work(peer, corpus, *arguments)))
        except Exception as error:
            last = traceback.format_exc(limit=-3)
            pipe.send((False, f"{type(error).__name__}: {error}\n{last}"))
