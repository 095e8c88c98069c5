"""A memory of 300 fragments at rest, to be damaged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from carma.config import Settings
from carma.healing.beacon import Beacon
from carma.healing.exact import Exact
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.store import Store, open_store
from carma.testing import SeededEntropy

from .damaging import LONG_AGO, open_at

FRAGMENTS = 300
Watched = tuple[Path, Store, Beacon]


def text_of(number: int) -> str:
    """Every third text is too long and too strange for a short copy."""
    if number % 3:
        return f"Fragment {number} says {'something ' * (number % 9)}of the river."
    return f"Fragment {number} {Random(number).randbytes(200 + number).hex()}"


@pytest.fixture(scope="session")
def resting_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is made once."""
    folder = tmp_path_factory.mktemp("resting") / "memory"
    with open_at(folder, settings=Settings(linger_s=0.0)) as memory:
        memory.add_many(text_of(at) for at in range(FRAGMENTS))
        memory.flush()
        memory.rest()
    return folder


@pytest.fixture
def rested(resting_template: Path, tmp_path: Path) -> Path:
    """A copy of it, whose files are old."""
    folder = tmp_path / "memory"
    shutil.copytree(resting_template, folder)
    for path in folder.rglob("*"):
        os.utime(path, LONG_AGO)
    return folder


@pytest.fixture
def watched(rested: Path) -> Iterator[Watched]:
    """Folder, store and beacon, open before anything is damaged: opening would mend some of it."""
    store = open_store(LocalDisk(), str(rested), Settings(), SystemClock(), SystemEntropy())
    yield rested, store, Beacon(store, Exact(store), SeededEntropy(1))
    store.close()
