"""A dream as a process of its own: started, listened to, ended.

A thread that computes lifts the slowest reads of its process a thousandfold; another process does not. It
runs at the lowest sensible priority and with one thread for each library, so that whoever reads has the
machine. What it does it tells as lines of JSON on its standard error, and its report is the one line on its
standard output. The key of an encrypted memory comes through a pipe of its own, which is read once and
closed: a command line and an environment can be read by others.

Its standard input is a pipe that its parent holds. One line comes through it: which losses readers have met.
When the parent is gone the pipe ends, and the dream ends after the step it is in. Rejected: a shared queue
(`multiprocessing` would import the caller's main module again).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from carma.config import Settings
from carma.embed.by_name import NAME_VARIABLE
from carma.errors import CarmaError, DreamFailed, InvalidInput
from carma.healing.cycle import Progress
from carma.healing.dream import Wishes
from carma.healing.dreamlog import report_of
from carma.reports import DreamReport

__all__ = [
    "DreamProcess",
    "Orders",
    "cancelled_by_signals",
    "command",
    "key_from",
    "reads_from",
    "settings_of",
    "teller",
]

_NICE = 10
_KILL_AFTER_S = 10.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ORT_NUM_THREADS")
_ERROR_BYTES = 4096
_KEY_BYTES = 32
_READS_WAIT_S = 1.0
_MOST_READS_BYTES = 1 << 16
"""As much as a pipe takes without being read: 1,024 ids and their counts."""

Orders = Callable[[], bool]
"""Asked before every step whether to stop."""


def command(folder: str, wishes: Wishes, settings: Settings, key_pipe: int | None = None) -> list[str]:
    """The command line of the process. key_pipe: the descriptor that the data key comes from."""
    line = [sys.executable, "-m", "carma", "dream", "--store", folder, "--json", "--in-process", "--tell"]
    if wishes.budget_s is not None:
        line += ["--budget", repr(float(wishes.budget_s))]
    line += ["--dry-run"] if wishes.dry_run else []
    line += ["--key-pipe", str(key_pipe)] if key_pipe is not None else []
    line += [] if wishes.exact else ["--no-exact"]
    for source in wishes.sources:
        line += ["--source", source]
    changed = _changed(settings)
    return [*line, "--settings", json.dumps(changed)] if changed else line


def _changed(settings: Settings) -> dict[str, Any]:
    usual = asdict(Settings())
    return {name: value for name, value in asdict(settings).items() if value != usual[name]}


def settings_of(text: str) -> Settings:
    """The settings that `command` passed on, for a process that uses one thread."""
    return Settings(**{**json.loads(text), "embed_threads": 1})


class DreamProcess:
    """One dream in a process of its own. Made by whoever waits for it; `stop` may be called from anywhere.

    key: the data key of an encrypted memory. embedder: its name, where it was opened by name.
    """

    def __init__(
        self,
        folder: str,
        wishes: Wishes,
        settings: Settings,
        key: bytes | None = None,
        embedder: str | None = None,
    ) -> None:
        self._folder = folder
        self._named = {NAME_VARIABLE: embedder} if embedder is not None else {}
        self._wishes, self._settings, self._key = wishes, settings, key
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._said = b""

    def run(self, progress: Progress | None = None) -> DreamReport:
        """Start it and wait for its report. Raises what the dream raised, DreamFailed."""
        with self._lock:
            if self._stopped:
                raise DreamFailed("The dream was stopped before it began.")
            process = self._process = self._start()
        assert process.stdout is not None and process.stderr is not None and process.stdin is not None
        with suppress(OSError):  # It has ended already, and says why.
            process.stdin.write(json.dumps(dict(self._wishes.reads)).encode() + b"\n")
            process.stdin.flush()
        listener = threading.Thread(
            target=self._listen, args=(process.stderr, progress), name="carma-dream-news", daemon=True
        )
        listener.start()
        try:
            output = process.stdout.read()
            process.wait()
        except BaseException:
            self.stop()
            raise
        finally:
            listener.join()
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()
        return self._report(output, process.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = _pipe_with(self._key) if self._key is not None else None
        try:
            return subprocess.Popen(
                command(self._folder, self._wishes, self._settings, pipe), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=() if pipe is None else (pipe,),
                env={**os.environ, **self._named, **dict.fromkeys(_THREADS, "1")},
            )  # fmt: skip
        finally:
            if pipe is not None:
                os.close(pipe)

    def stop(self) -> None:
        """Ask it to end after the step it is in, and see that it does."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _listen(self, stream: IO[bytes], progress: Progress | None) -> None:
        for line in stream:
            try:
                done, total, what = json.loads(line)["dream"]
            except (ValueError, KeyError, TypeError):
                self._said = (self._said + line)[-_ERROR_BYTES:]
                continue
            if progress is not None:
                progress(done, total, what)

    def _report(self, output: bytes, code: int) -> DreamReport:
        try:
            return report_of(json.loads(output))
        except (ValueError, TypeError):
            raise _error(self._said, code) from None


def _pipe_with(key: bytes) -> int:
    """A descriptor from which `key` can be read once."""
    reading, writing = os.pipe()
    try:
        os.write(writing, key)  # A pipe takes so few bytes at once, whoever reads.
    finally:
        os.close(writing)
    return reading


def _error(said: bytes, code: int) -> CarmaError:
    """The error that the process ended with, as its own class where it is one of the error tree."""
    try:
        problem: Mapping[str, Any] = json.loads(said.splitlines()[-1])
        name = str(problem["type"]).rpartition(":")[2]
        found = next((kind for kind in _kinds(CarmaError) if kind.code == name), DreamFailed)
        return found(str(problem["detail"]), hint=str(problem["hint"]))
    except (ValueError, KeyError, TypeError, IndexError):
        return DreamFailed(f"The process of the dream ended with {code} and without a report.")


def _kinds(kind: type[CarmaError]) -> Sequence[type[CarmaError]]:
    return [kind, *(below for each in kind.__subclasses__() for below in _kinds(each))]


# In the process itself


def key_from(pipe: int) -> bytes:
    """The data key that `DreamProcess` passed on. Raises InvalidInput."""
    try:
        with os.fdopen(pipe, "rb") as file:
            key = file.read(_KEY_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"There is no pipe {pipe} with a data key.") from error
    if len(key) != _KEY_BYTES:
        raise InvalidInput(f"What came through the pipe {pipe} is no data key.")
    return key


def reads_from(stream: int) -> dict[str, int]:
    """How often losses were met, as `DreamProcess` tells it in the first line of standard input."""
    line = b""
    with suppress(OSError, ValueError):
        while len(line) < _MOST_READS_BYTES and select.select([stream], [], [], _READS_WAIT_S)[0]:
            part = os.read(stream, 1)
            if part in (b"", b"\n"):
                break
            line += part
        return {str(id): int(count) for id, count in json.loads(line).items()}
    return {}


def cancelled_by_signals(*, with_parent: bool) -> Orders:
    """Take the lowest sensible priority, and end in an orderly way when asked to.

    with_parent: also when standard input ends, which the parent holds. Only the main thread of a process of
    its own may call it.
    """
    with suppress(OSError):
        os.nice(_NICE)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    if with_parent:
        threading.Thread(target=_until_parent_is_gone, args=(asked,), daemon=True).start()
    return asked.is_set


def _until_parent_is_gone(asked: threading.Event) -> None:
    with suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    asked.set()


def teller(stream: IO[str]) -> Progress:
    """Progress as lines of JSON."""

    def tell(done: int, total: int, what: str) -> None:
        with suppress(OSError, ValueError):
            print(json.dumps({"dream": [done, total, what]}), file=stream, flush=True)

    return tell
