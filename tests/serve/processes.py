"""Servers in processes of their own, measured and ended from outside, and clients of bare sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from carma.access.data import DataFolder, unlock
from carma.serve.household import Household, open_household

SCRIPT = str(Path(__file__).with_name("serving.py"))
READY_S = 60.0


@dataclass
class Estate:
    """A data directory that several servers use one after the other."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def kek(self) -> Path:
        return self.folder / "data-kek"  # Where `running` looks for it too.

    @contextmanager
    def household(self) -> Iterator[Household]:
        """Its accounts and keys, as a command beside the server opens them."""
        found = open_household(unlock(DataFolder(self.data), {"CARMA_KEK_FILE": str(self.kek)}))
        try:
            yield found
        finally:
            found.close()

    def join(self, name: str, *, static: bool = True) -> str:
        """The key of a new account."""
        with self.household() as house:
            return house.churn().join(name, "rwha", static=static).key.text


@dataclass
class Process:
    """A server that runs. log: the file it writes its log to."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int | None
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def resident_mb(self) -> float:
        """Memory that it holds now."""
        return _kilobytes(self.process.pid, "VmRSS") / 1024

    @property
    def peak_mb(self) -> float:
        """The most it has held since `forget_peak`."""
        return _kilobytes(self.process.pid, "VmHWM") / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def kill(self) -> None:
        """As if the power had failed for this process: no handler runs."""
        self.process.kill()
        self.process.wait()

    def end(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


def _kilobytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def serving(estate: Estate, **settings: Any) -> Iterator[Process]:
    """A server over an estate, by `serving.py`; ended at the end of the block, if it still runs."""
    command = [sys.executable, SCRIPT, str(estate.data), str(estate.kek), json.dumps(settings)]
    with started(estate, command) as process:
        yield process


@contextmanager
def carma_serve(estate: Estate, *options: str) -> Iterator[Process]:
    """A server over an estate, as its users start it."""
    command = [sys.executable, "-m", "carma", "serve", "--port", "0", "--no-dashboard"]
    with started(estate, [*command, "--embedder", "hash", *options]) as process:
        yield process


@contextmanager
def started(estate: Estate, command: list[str]) -> Iterator[Process]:
    """A server by some command that says its port on its first line."""
    log = estate.folder / f"log-{time.monotonic_ns()}"
    environ = {
        **os.environ, "CARMA_KEK_FILE": str(estate.kek), "CARMA_DATA": str(estate.data),
        "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        told = json.loads(line)
        port = told.get("port") or int(told["ready"].rpartition(":")[2])
        yield Process(process, port, told.get("metrics_port"), log)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@dataclass
class Bystander:
    """An honest client that asks all the while. It is unharmed if every answer is right and in time."""

    url: str
    key: str
    every_s: float = 0.02
    answers: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[Bystander]:
        """Ask for a fragment again and again while the block runs."""
        headers = {"authorization": f"Bearer {self.key}"}
        over = threading.Event()
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            text = f"What the bystander remembers, at {time.monotonic_ns()}."
            made = client.post("/v1/fragments", json={"text": text})
            assert made.status_code == 201, made.text
            id = made.json()["items"][0]["id"]

            def ask() -> None:
                while not over.wait(self.every_s):
                    self._ask(client, id, text)

            thread = threading.Thread(target=ask)
            thread.start()
            try:
                yield self
            finally:
                over.set()
                thread.join()

    def _ask(self, client: httpx.Client, id: str, text: str) -> None:
        began = time.perf_counter()
        try:
            answer = client.get(f"/v1/fragments/{id}")
            if answer.status_code != 200 or answer.json()["text"] != text:
                self.failures.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
        self.answers += 1
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def check(self, *, slowest_s: float = 5.0, least: int = 3) -> None:
        """Nothing went wrong for it."""
        assert not self.failures, self.failures[:3]
        assert self.answers >= least
        assert self.slowest_s <= slowest_s


def connect(port: int, timeout_s: float = 10.0) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_all(wire: socket.socket) -> bytes:
    """What comes until the other side closes."""
    pieces = []
    with suppress(ConnectionError):
        while piece := wire.recv(2**16):
            pieces.append(piece)
    return b"".join(pieces)


def ask_raw(port: int, request: bytes, timeout_s: float = 10.0) -> bytes:
    """What the server answers to these bytes until it closes; asked from a connection of its own."""
    with connect(port, timeout_s) as wire:
        with suppress(ConnectionError):
            wire.sendall(request)
        return read_all(wire)


def status_of(answer: bytes) -> int:
    """The status of the first answer in what came; 0 if none came."""
    head = answer.partition(b"\r\n")[0].split(b" ")
    return int(head[1]) if len(head) > 1 and head[0].startswith(b"HTTP/1.") else 0
