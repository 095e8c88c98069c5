"""A real disk that is full, read-only, or on the network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from carma.config import Settings
from carma.errors import DiskFull, ReadOnlyMemory
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.store import Store, open_store

from .scenario import Promised, Writer, check_all

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0,
    reason="mounting needs root",
)  # fmt: skip


def open_here(folder: Path) -> Store:
    return open_store(LocalDisk(), str(folder), Settings(), SystemClock(), SystemEntropy())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@needs_root
def test_a_full_disk_refuses_writes_and_keeps_what_was_acknowledged(small_disk: Path) -> None:
    """Real ENOSPC: DiskFull, everything readable then and after reopening, and writes again when there is
    room.
    """
    filler = small_disk / "filler"
    store, promised = open_here(small_disk / "memory"), Promised()
    writer = Writer(store, promised)
    number = 0
    full = False
    while not full:
        number += 1
        try:
            writer.say((number, f"text {number} " * 700))
        except DiskFull:
            full = True
        with suppress(OSError):
            filler.write_bytes(bytes(number * 4_096))
    check_all(store, promised)
    store.close()
    store = open_here(small_disk / "memory")
    check_all(store, promised)
    filler.unlink(missing_ok=True)
    Writer(store, promised).say((number, "there is room"))
    check_all(store, promised)
    store.close()


@needs_root
def test_a_read_only_file_system_is_read(tmp_path: Path) -> None:
    """A memory on a read-only mount can be read, with its registry or without, and says that it cannot be
    written.
    """
    folder = tmp_path / "memory"
    store, promised = open_here(folder), Promised()
    Writer(store, promised).say((1, "first"), (2, "second"))
    store.close()
    for again in range(2):
        view = tmp_path / f"view{again}"
        view.mkdir()
        subprocess.run(["mount", "--bind", str(folder), str(view)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
            store = open_here(view)
            check_all(store, promised)
            with pytest.raises(ReadOnlyMemory):
                Writer(store, promised).say((3, "third"))
            store.close()
        finally:
            subprocess.run(["umount", "-l", str(view)], check=True)
        for file in (folder / "index").iterdir():
            file.unlink()
