"""`tools/read_memory.py`, which knows docs/FORMAT.md and not CARMA, agrees with the store."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carma.ports.disk import LocalDisk
from carma.store.record import HEADER_BYTES
from carma.testing import SimulatedClock, SimulatedDisk

from .scenario import Promised, everything, open_on, run

READER = Path(__file__).parents[2] / "tools" / "read_memory.py"


def read(folder: Path) -> dict[bytes, tuple[int, str]]:
    done = subprocess.run(
        [sys.executable, str(READER), str(folder)], capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {bytes.fromhex(item["id"]): (item["version"], item["text"]) for item in found}


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A memory with updates, deletions, compactions and several segments, on the real disk."""
    folder = tmp_path / "memory"
    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    for path in disk.paths():
        target = folder / Path(path).relative_to("/memory")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(disk.contents(path))
    return folder


def as_the_store_says(folder: Path) -> dict[bytes, tuple[int, str]]:
    store = open_on(LocalDisk(), SimulatedClock(), str(folder))
    state = everything(store)
    store.close()
    return {id: (said[0], said[1]) for id, said in state.items() if said is not None and said[1] is not None}


@pytest.mark.parametrize("gone", [None, "index", "segments", "mirror", "memory.json"])
def test_the_stand_alone_reader_agrees_with_the_store(memory: Path, gone: str | None) -> None:
    """Also without the index, without memory.json, and from either copy alone."""
    expected = as_the_store_says(memory)
    assert len(expected) > 5
    if gone is not None:
        target = memory / gone
        target.unlink() if target.is_file() else shutil.rmtree(target)
    assert read(memory) == expected


def test_the_stand_alone_reader_takes_each_record_from_the_copy_that_has_it(memory: Path) -> None:
    """Different records rotted in the two copies cost nothing; one that rotted in both is a blank, for both
    readers.
    """
    expected = as_the_store_says(memory)
    (last,) = sorted((memory / "segments").glob("0*.seg"))[-1:]
    for copy, at in (("segments", HEADER_BYTES + 10), ("mirror", last.stat().st_size - 5)):
        path = memory / copy / last.name
        data = bytearray(path.read_bytes())
        data[at] ^= 0x40
        path.write_bytes(data)
    assert read(memory) == expected
    data = bytearray(last.read_bytes())
    data[-5] ^= 0x40
    last.write_bytes(data)
    blank = {id: what for id, what in read(memory).items() if what != expected[id]}
    assert [text for _, text in blank.values()] == [""]
    assert read(memory) == as_the_store_says(memory)


def test_the_stand_alone_reader_never_imports_carma() -> None:
    """It proves that the format is enough."""
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(READER.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert not any(name.split(".")[0] == "carma" for name in names)
