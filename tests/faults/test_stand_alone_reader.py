"""`tools/read_memory.py`, which knows docs/FORMAT.md and not CARMA, agrees with the store."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from carma.ports.disk import LocalDisk
from carma.store.losses import Rebuilt, pack_rebuilt
from carma.store.record import HEADER_BYTES, RecordKind
from carma.store.rest import respread
from carma.store.store import Store
from carma.store.sweep import sweep_files
from carma.testing import SimulatedClock, SimulatedDisk

from .scenario import Promised, Writer, everything, id_of, open_on, run, text_of

READER = Path(__file__).parents[2] / "tools" / "read_memory.py"


def read(folder: Path) -> dict[bytes, tuple[int, str]]:
    done = subprocess.run(
        [sys.executable, str(READER), str(folder)], capture_output=True, text=True, check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {bytes.fromhex(item["id"]): (item["version"], item["text"]) for item in found}


def loaded() -> Any:
    """The reader as a module, for tests that read often."""
    sys.path.insert(0, str(READER.parent))  # As if it were run: its other files lie beside it.
    spec = importlib.util.spec_from_file_location("read_memory", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclass-like types look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LOADED = loaded()


def read_here(folder: Path) -> dict[bytes, tuple[int, str]]:
    return {bytes.fromhex(item["id"]): (item["version"], item["text"]) for item in LOADED.live(folder)}


def unpacked(disk: SimulatedDisk, folder: Path) -> Path:
    """The files of a simulated disk, on the real one."""
    for path in disk.paths():
        target = folder / Path(path).relative_to("/memory")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(disk.contents(path))
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A memory with updates, deletions, compactions and several segments, on the real disk."""
    disk, promised = SimulatedDisk(), Promised()
    run(disk, promised).close()
    return unpacked(disk, tmp_path / "memory")


def sleep(store: Store) -> None:
    """Spread what is new, and remove what was replaced."""
    respread(store, None, dead_share=1.0)
    sweep_files(store, 0.0)


@pytest.fixture
def resting(tmp_path: Path) -> Path:
    """A memory at rest: sixty fragments in two spreads, some updated or deleted, nothing left over."""
    disk, promised = SimulatedDisk(), Promised()
    store = open_on(disk)
    writer = Writer(store, promised)
    # Larger than a spread that every rest takes along.
    writer.say(*((number, text_of(number, 1) * 30) for number in range(1, 51)))
    writer.say(*((number, text_of(number, 2)) for number in range(5, 10)))
    writer.say((11, None), (12, None))
    sleep(store)
    writer.say((3, text_of(3, 2)), (13, None), *((number, text_of(number, 1)) for number in range(51, 53)))
    sleep(store)
    assert len(store.spreads.manifests()) == 2
    store.close()
    return unpacked(disk, tmp_path / "memory")


def as_the_store_says(folder: Path) -> dict[bytes, tuple[int, str]]:
    store = open_on(LocalDisk(), SimulatedClock(), str(folder))
    state = everything(store)
    store.close()
    return {id: (said[0], said[1]) for id, said in state.items() if said is not None and said[1] is not None}


@pytest.mark.parametrize("gone", [None, "index", "parity", "mirror", "memory.json"])
def test_the_stand_alone_reader_agrees_with_the_store(memory: Path, gone: str | None) -> None:
    """Also without the index, without memory.json, and without either half of the redundancy."""
    expected = as_the_store_says(memory)
    assert len(expected) > 5
    if gone is not None:
        target = memory / gone
        target.unlink() if target.is_file() else shutil.rmtree(target)
    assert read(memory) == expected


def test_the_stand_alone_reader_flags_what_the_store_flags(memory: Path) -> None:
    """Without the whole folder of segments: the same blanks, and the same texts from mirror and parity."""
    expected = as_the_store_says(memory)
    shutil.rmtree(memory / "segments")
    found = read(memory)
    assert found.keys() == expected.keys()
    assert any(text == "" for _, text in found.values())
    assert any(text for _, text in found.values())
    shutil.rmtree(memory / "index", ignore_errors=True)
    assert found == as_the_store_says(memory)


def test_the_stand_alone_reader_decodes_any_three_lost_files(resting: Path, tmp_path: Path) -> None:
    """A sample of choices of three files of a memory at rest."""
    expected = as_the_store_says(resting)
    assert read(resting) == expected
    assert len(expected) == 49
    files = [path for path in sorted(resting.rglob("*")) if path.is_file() and path.parent.name != "index"]
    chance = random.Random(3)
    for number in range(25):
        other = tmp_path / str(number)
        shutil.copytree(resting, other)
        for path in chance.sample(files, 3):
            (other / path.relative_to(resting)).unlink()
        assert read_here(other) == expected


def test_the_stand_alone_reader_decodes_damaged_records(resting: Path, tmp_path: Path) -> None:
    """One bit in each of three files, anywhere."""
    expected = as_the_store_says(resting)
    files = [path for path in sorted(resting.rglob("*")) if path.suffix in (".seg", ".par")]
    files = [path for path in files if path.parent.name == "parity" or path.name.startswith("c")]
    chance = random.Random(4)
    for number in range(15):
        other = tmp_path / str(number)
        shutil.copytree(resting, other)
        for path in chance.sample(files, 3):
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            (other / path.relative_to(resting)).write_bytes(data)
        assert read_here(other) == expected


@pytest.mark.parametrize("named_by", ["manifest", "header"])
def test_the_stand_alone_reader_says_blank_where_too_much_is_lost(resting: Path, named_by: str) -> None:
    """A record and all its shards: named by its header or by the manifest alone, never its older text."""
    expected = as_the_store_says(resting)
    wanted = text_of(7, 2).encode()
    (path,) = [path for path in (resting / "segments").glob("c*") if wanted in path.read_bytes()]
    if named_by == "manifest":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(wanted, b"\0" * len(wanted)))
    for column in (resting / "parity").iterdir():
        data = bytearray(column.read_bytes())
        for item in LOADED.records([bytes(data)], LOADED.COLUMN + number_of(column)):
            if item.header is not None and item.header.kind == LOADED.PARITY:
                end = item.offset + HEADER_BYTES + item.header.length
                data[item.offset : end] = bytes(end - item.offset)
        column.write_bytes(data)
    found = read(resting)
    assert found[id_of(7)] == (2, "")
    assert found.keys() == expected.keys()
    assert {id: text for id, (_, text) in found.items() if text} == {
        id: text for id, (_, text) in expected.items() if found[id][1]
    }
    assert found == as_the_store_says(resting)


def number_of(column: Path) -> int:
    spread, at = column.stem.split("-")
    return int(spread) * 16 + int(at)


def test_the_stand_alone_reader_shows_a_reconstruction_as_one(tmp_path: Path) -> None:
    """Marked, with its confidence, the best of several; not when the write can be read, nor when a fragment
    that it quotes was deleted.
    """
    folder = tmp_path / "memory"
    store = open_on(LocalDisk(), SimulatedClock(), str(folder))
    writer = Writer(store, Promised())
    writer.say(*((number, f"something that rots {number}") for number in range(1, 5)))
    seqs = {id: store.head(id_of(id)).seq for id in range(1, 5)}  # type: ignore[union-attr]
    for lost, score, source in ((1, 0.5, 9), (1, 0.9, 9), (1, 0.7, 9), (2, 0.9, 3), (4, 0.9, 9)):
        rebuilt = Rebuilt(
            f"like {lost} at {score}", seqs[lost], "compose", False, score, 0.25, sources=(id_of(source),)
        )
        store.append(RecordKind.RECONSTRUCTION, pack_rebuilt(rebuilt))
    writer.say((3, None))
    store.close()
    for copy in ("segments", "mirror"):
        path = folder / copy / "000001.seg"
        data = path.read_bytes()
        for lost in (1, 2):
            data = data.replace(
                f"something that rots {lost}".encode(), f"something that rotz {lost}".encode()
            )
        path.write_bytes(data)
    found = {int(item["id"], 16): item for item in LOADED.live(folder)}
    assert [(id, item["state"], item["text"]) for id, item in found.items()] == [
        (1, "reconstructed", "like 1 at 0.9"),
        (2, "blank", ""),
        (4, "intact", "something that rots 4"),
    ]
    assert found[1]["confidence"] == 0.25


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
        for path in READER.parent.glob("read_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert not any(name.split(".")[0] == "carma" for name in names)
