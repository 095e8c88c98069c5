"""Data directories and servers that are measured: made, filled, started on a core of their own, looked at."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from carma.access.data import DataFolder, unlock
from carma.embed import MiniLM
from carma.memory.memory import Memory
from carma.serve.accounts import Account
from carma.serve.household import Household, open_household

SERVER_CORE, CLIENT_CORE = 0, 1
"""Where the server and whoever asks it run; the same core if there is only one."""


@contextmanager
def household(folder: Path) -> Iterator[Household]:
    """The data directory of a measurement."""
    found = open_household(unlock(DataFolder(folder / "data"), {"CARMA_KEK_FILE": str(folder / "kek")}))
    try:
        yield found
    finally:
        found.close()


def account_of(house: Household, name: str) -> Account:
    """The account of that name; a new one if there is none."""
    known = [each for each in house.accounts.all() if each.name == name]
    return known[0] if known else house.churn().join(name, "rwha").account


def fill(house: Household, account: Account, texts: list[str], vectors: Any = None) -> list[str]:
    """Put texts into the memory of an account and let it rest; their ids. Nothing if it holds some."""
    with memory_of(house, account) as memory:
        if memory.count():
            return [each.id for each in memory.list(limit=1_000)]
        given = [None] * len(texts) if vectors is None else vectors
        items = [{"text": text, "vector": vector} for text, vector in zip(texts, given, strict=True)]
        added = memory.add_many(items)
        memory.flush()
        memory.rest()
    return [each.id for each in added]


def texts_of(wanted: int) -> list[str]:
    """So many different paragraphs of English prose, the same each time on one machine.

    They are the docstrings of Python's standard library, which every machine has and which are read in
    seconds; where they do not suffice, they are numbered and taken again.
    """
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        with suppress(SyntaxError, UnicodeDecodeError, ValueError):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    paragraphs = (ast.get_docstring(node) or "").split("\n\n")
                    found |= dict.fromkeys(" ".join(each.split()) for each in paragraphs)
    known = [text for text in found if 40 <= len(text) <= 1_000]
    random.Random(7).shuffle(known)
    rounds = range(wanted // len(known) + 1)
    return [f"{text} ({each})" if each else text for each in rounds for text in known][:wanted]


def vectors_of(folder: Path, texts: list[str]) -> Any:
    """Their vectors by the packaged embedder; the folder keeps them too."""
    path = folder / f"vectors-{len(texts)}.npy"
    if not path.exists():
        np.save(path, MiniLM(2).embed(texts))
    return np.load(path)


def memory_of(house: Household, account: Account) -> Memory:
    """The memory of an account, in this process."""
    return Memory.open(house.seats / account.folder, vault=house.vault, owner=account.id)


@contextmanager
def served(folder: Path, core: int | None = SERVER_CORE) -> Iterator[tuple[int, int]]:
    """A `carma serve` over the data directory, on one core (None: all); its port and process id."""
    environ = {**os.environ, "CARMA_KEK_FILE": str(folder / "kek"), "CARMA_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "carma", "serve", "--port", "0", "--no-dashboard"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_pinned(core), *command], env=environ, stdout=subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["ready"].rpartition(":")[2]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def generate(module: str, told: dict[str, Any], core: int | None = CLIENT_CORE) -> dict[str, Any]:
    """What a load generator finds, in a process of its own, on a core of its own (None: on all)."""
    done = subprocess.run(
        [*_pinned(core), sys.executable, "-m", module], input=json.dumps(told).encode(),
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _pinned(core: int | None) -> list[str]:
    """What a command begins with to run on one core; nothing where that cannot be had."""
    cores = sorted(os.sched_getaffinity(0))
    if core is None or len(cores) < 2 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", str(cores[core % len(cores)])]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """This process on one core, for the length of the block."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """Processor time that a process has used; unlike a rate it does not depend on its neighbours."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
