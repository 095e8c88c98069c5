"""What lies on disk is for its owner alone, and what comes from a file writes nowhere else."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from carma import Memory
from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.errors import CarmaError
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder


@pytest.mark.parametrize("encrypted", [False, True])
def test_others_reach_no_file_of_a_memory(tmp_path: Path, encrypted: bool) -> None:
    """Whatever the umask: every file lies below a folder that is closed to group and others."""
    vault = Vault(Journal(LocalDisk(), str(tmp_path / "vault")), KeyEncryptionKey(bytes(32)))
    more = {"vault": vault, "owner": "ada"} if encrypted else {}
    before = os.umask(0)
    try:
        (tmp_path / "memory").mkdir(mode=0o755)
        with Memory.open(tmp_path / "memory", embedder=HashEmbedder(), **more) as memory:
            memory.add("The boat.")
            memory.flush(10)
            memory.rest()
            memory.snapshot(tmp_path / "copy")
    finally:
        os.umask(before)
    for root in ("memory", "copy", "vault"):
        for path in (tmp_path / root).rglob("*"):
            if path.is_dir():
                continue
            closed = [each for each in (path, *path.parents) if _is_closed(each) and tmp_path in each.parents]
            assert closed, f"{path.relative_to(tmp_path)} can be read by others"


def _is_closed(path: Path) -> bool:
    return not stat.S_IMODE(path.lstat().st_mode) & 0o077


def _archive(path: Path, *members: tuple[str, str, bytes]) -> None:
    """A tar file of (kind, name, content or target)."""
    with tarfile.open(path, "w") as archive:
        for kind, name, content in members:
            about = tarfile.TarInfo(name)
            if kind == "link":
                about.type, about.linkname = tarfile.SYMTYPE, content.decode()
                archive.addfile(about)
            elif kind == "device":
                about.type = tarfile.CHRTYPE
                archive.addfile(about)
            else:
                about.size, about.mode = len(content), 0o6755
                archive.addfile(about, io.BytesIO(content))


@pytest.mark.parametrize(
    "members",
    [
        [("file", "../evil", b"x")],
        [("file", "memory/../../evil", b"x")],
        [("file", "/tmp/carma-evil", b"x")],
        [("link", "memory/segments", b"/etc")],
        [("link", "memory", b".."), ("file", "memory/evil", b"x")],
        [("device", "memory/memory.json", b"")],
    ],
    ids=["above", "through", "absolute", "link", "through a link", "device"],
)
def test_a_hostile_archive_writes_nowhere_else(tmp_path: Path, members: list[tuple[str, str, bytes]]) -> None:
    """It is refused with a typed error; nothing appears beside the memory, and the memory is as before."""
    (tmp_path / "work").mkdir()
    _archive(tmp_path / "work" / "hostile.tar", *members)
    with Memory.open(tmp_path / "memory", embedder=HashEmbedder()) as memory:
        memory.add("The boat.")
        with pytest.raises(CarmaError):
            memory.import_(tmp_path / "work" / "hostile.tar")
        assert [each.text for each in memory.list()] == ["The boat."]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["memory", "work"]
    assert not Path("/tmp/carma-evil").exists()
