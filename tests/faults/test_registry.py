"""The registry rots, vanishes or comes from another time: that costs time and nothing else."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from carma import Memory
from carma.ports.disk import LocalDisk
from carma.store.store import Store

from .scenario import Promised, Writer, check_all, everything, id_of, open_on, text_of

FLIPS = 60
"""Bits flipped in registry.sqlite, one at a time."""


def open_here(folder: Path) -> Store:
    return open_on(LocalDisk(), folder=str(folder))


def filled(folder: Path) -> Promised:
    store, promised = open_here(folder), Promised()
    writer = Writer(store, promised)
    for number in range(1, 13):
        writer.say((number, text_of(number, 1)))
    writer.say((2, text_of(2, 2)), (4, None))
    store.close()
    return promised


def registry_of(folder: Path) -> Path:
    (path,) = (folder / "index").glob("registry-*.sqlite")
    return path


def test_any_bit_of_the_registry_may_flip(tmp_path: Path) -> None:
    """A sampled bit anywhere in the file: every answer is right."""
    promised = filled(tmp_path / "memory")
    whole = registry_of(tmp_path / "memory").read_bytes()
    chance = random.Random(7)
    for flip in range(FLIPS):
        folder = tmp_path / f"copy{flip}"
        shutil.copytree(tmp_path / "memory", folder)
        data = bytearray(whole)
        # Every second one in the first page, where SQLite keeps what it must know to open the file.
        bit = chance.randrange(100 * 8 if flip % 2 else len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        registry_of(folder).write_bytes(data)
        store = open_here(folder)
        check_all(store, promised)
        store.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_cut_registry_is_rebuilt(tmp_path: Path, share: float) -> None:
    """A registry that was truncated anywhere is replaced."""
    promised = filled(tmp_path)
    path = registry_of(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    store = open_here(tmp_path)
    check_all(store, promised)
    store.close()


@pytest.mark.parametrize("what", ["files", "folder"])
def test_the_index_may_vanish_while_the_memory_is_closed(tmp_path: Path, what: str) -> None:
    """A deleted registry, or the whole folder, is built anew."""
    promised = filled(tmp_path)
    shutil.rmtree(tmp_path / "index")
    if what == "files":
        (tmp_path / "index").mkdir()
    store = open_here(tmp_path)
    check_all(store, promised)
    store.close()


@pytest.mark.parametrize("what", ["files", "folder"])
def test_the_index_may_vanish_while_the_memory_is_open(tmp_path: Path, what: str) -> None:
    """Reading and writing go on, and the next opening finds everything."""
    promised = filled(tmp_path)
    store = open_here(tmp_path)
    shutil.rmtree(tmp_path / "index")
    if what == "files":
        (tmp_path / "index").mkdir()
    check_all(store, promised)
    writer = Writer(store, promised)
    writer.say((20, text_of(20, 1)), (2, text_of(2, 3)))
    writer.say((20, None))
    check_all(store, promised)
    store.close()
    store = open_here(tmp_path)
    check_all(store, promised)
    store.close()


def test_the_registry_may_rot_while_the_memory_is_open(tmp_path: Path) -> None:
    """Noise over the whole file under an open memory: writes go on and the next opening finds everything."""
    promised = filled(tmp_path)
    store = open_here(tmp_path)
    path = registry_of(tmp_path)
    path.write_bytes(b"\xa5" * path.stat().st_size)
    writer = Writer(store, promised)
    for number in range(30, 40):
        writer.say((number, text_of(number, 1)))
    store.settle()
    store.close()
    store = open_here(tmp_path)
    check_all(store, promised)
    store.close()


def test_a_registry_that_is_ahead_of_the_log_is_noticed(tmp_path: Path) -> None:
    """After a power loss the log may be shorter than what the registry saw, or have gone on differently."""
    for different in (False, True):
        folder = tmp_path / f"memory{different}"
        promised = filled(folder)
        early = tmp_path / f"early{different}"
        shutil.copytree(folder, early)
        store = open_here(folder)
        Writer(store, Promised()).say((50, "never durable"))
        store.close()
        shutil.rmtree(early / "index")
        if different:
            store = open_here(early)
            Writer(store, promised).say((51, "other text  "))
            store.close()
            shutil.rmtree(early / "index")
        shutil.copytree(folder / "index", early / "index")
        store = open_here(early)
        if not different:
            # Only the registry names it: known by name, a blank, never by text.
            found = everything(store)[id_of(50)]
            assert found is not None
            assert found[1] == ""
            promised.asked[id_of(50)] = {found}
        check_all(store, promised)
        store.close()


def test_an_older_registry_catches_up(tmp_path: Path) -> None:
    """A registry from a backup learns what was written since."""
    promised = filled(tmp_path / "memory")
    shutil.copytree(tmp_path / "memory" / "index", tmp_path / "old")
    store = open_here(tmp_path / "memory")
    Writer(store, promised).say((2, text_of(2, 3)), (5, None), (60, text_of(60, 1)))
    store.close()
    shutil.rmtree(tmp_path / "memory" / "index")
    shutil.copytree(tmp_path / "old", tmp_path / "memory" / "index")
    store = open_here(tmp_path / "memory")
    check_all(store, promised)
    store.close()


def test_a_dream_may_be_the_first_to_meet_a_damaged_registry(tmp_path: Path) -> None:
    """It makes the registry anew and completes."""
    with Memory.open(tmp_path / "memory", embedder="hash:8") as memory:
        memory.add_many([{"text": text_of(number, 1)} for number in range(60)])
    whole = registry_of(tmp_path / "memory").read_bytes()
    chance = random.Random(11)
    for flip in range(FLIPS // 2):
        folder = tmp_path / f"copy{flip}"
        shutil.copytree(tmp_path / "memory", folder)
        data = bytearray(whole)
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        registry_of(folder).write_bytes(data)
        with Memory.open(folder, embedder="hash:8") as memory:
            report = memory.dream(in_process=True)
            assert (report.status, report.still_blank, report.error) == ("completed", 0, None)
            assert len(memory.list(limit=100)) == 60
        shutil.rmtree(folder)
