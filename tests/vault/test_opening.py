"""Who may open an encrypted memory: the right key and nobody else, and a refusal touches nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from carma import AsyncMemory, Memory
from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.errors import (
    CarmaError,
    InvalidInput,
    MemoryNotFound,
    NotAMemory,
    NotEncrypted,
    Shredded,
    VaultNeeded,
    VaultWrong,
)
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, StandInCipher

from .conftest import Open


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder with its bytes and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(kind: type[CarmaError], folder: Path, **options: object) -> CarmaError:
    """The error with which opening is refused; no file is another afterwards."""
    before = contents(folder.parent)
    with pytest.raises(kind) as caught:
        Memory.open(folder, embedder=HashEmbedder(), **options)  # type: ignore[arg-type]
    assert contents(folder.parent) == before
    return caught.value


def other_vault(folder: Path) -> Vault:
    return Vault(Journal(LocalDisk(), str(folder)), KeyEncryptionKey(bytes(32)))


def test_a_vault_and_an_owner_open_what_they_made(open_memory: Open, vault: Vault) -> None:
    """The owner is `local` unless named; memories of two owners know nothing of each other."""
    with open_memory("a", vault=vault, owner="alice") as memory:
        fragment = memory.add("alice was here")
    with open_memory("b", vault=vault) as memory:
        memory.add("somebody was here")
    with open_memory("a", vault=vault, owner="alice", create=False) as memory:
        assert memory.get(fragment.id).text == "alice was here"
    assert vault.owners() == ["alice", "local"]


def test_opening_needs_the_vault_and_the_right_owner(tmp_path: Path, vault: Vault, open_memory: Open) -> None:
    """No vault, another owner, an unknown one, another vault: an error each, and nothing is touched."""
    folder = tmp_path / "memory"
    open_memory(vault=vault, owner="alice").close()
    open_memory("other", vault=vault, owner="bob").close()
    for read_only in (False, True):
        refused(VaultNeeded, folder, read_only=read_only)
        refused(VaultWrong, folder, vault=vault, owner="bob", read_only=read_only)
        refused(VaultWrong, folder, vault=vault, owner="alyce", read_only=read_only)
        refused(VaultWrong, folder, cipher=StandInCipher(), read_only=read_only)
    assert vault.owners() == ["alice", "bob"]
    error = refused(VaultWrong, folder, vault=other_vault(tmp_path / "elsewhere"), owner="alice")
    assert (error.exit_code, error.status) == (36, 403) and "--owner" in error.hint


def test_a_plain_memory_is_not_opened_with_a_vault(tmp_path: Path, vault: Vault, open_memory: Open) -> None:
    """It would look as if it were encrypted; no key is made for the owner either."""
    open_memory(cipher=None).close()
    refused(NotEncrypted, tmp_path / "memory", vault=vault, owner="alice")
    refused(NotEncrypted, tmp_path / "memory", cipher=StandInCipher())
    assert vault.owners() == []


def test_what_is_not_there_is_not_made(tmp_path: Path, vault: Vault) -> None:
    """Where no memory may be made, none is, nor a key."""
    (tmp_path / "empty").mkdir()
    refused(MemoryNotFound, tmp_path / "empty" / "memory", vault=vault, owner="alice", create=False)
    assert vault.owners() == []


def test_a_shredded_owner_opens_nothing(tmp_path: Path, vault: Vault, open_memory: Open) -> None:
    """Neither their old memory nor a new one; who is let in again gets a new key, which opens neither."""
    open_memory(vault=vault, owner="alice").close()
    vault.shred("alice")
    refused(Shredded, tmp_path / "memory", vault=vault, owner="alice")
    refused(Shredded, tmp_path / "new", vault=vault, owner="alice")
    vault.readmit("alice")
    refused(VaultWrong, tmp_path / "memory", vault=vault, owner="alice")


def test_a_memory_that_is_open_ends_when_its_key_is_shredded(vault: Vault, open_memory: Open) -> None:
    """Every verb says so from then on, and nothing is written any more."""
    memory = open_memory(vault=vault, owner="alice")
    fragment = memory.add("soon unreadable")
    vault.shred("alice")
    for verb in (
        lambda: memory.get(fragment.id), lambda: memory.add("more"), lambda: memory.search("soon"),
        memory.dream, memory.rest, memory.stats,
    ):  # fmt: skip
        with pytest.raises(Shredded):
            verb()


@pytest.mark.parametrize("gone", ["memory.json", "log", "both"])
def test_which_key_it_is_outlives_memory_json(tmp_path: Path, open_memory: Open, gone: str) -> None:
    """The log repeats key and commitment, and so does each manifest, readable without the key."""
    folder = tmp_path / "memory"
    with open_memory() as memory:
        for number in range(30):
            memory.add(f"text {number}")
    if gone in ("memory.json", "both"):
        (folder / "memory.json").unlink()
    if gone in ("log", "both"):
        for place in ("segments", "mirror"):
            for path in (folder / place).glob("0*.seg"):
                path.unlink()
    refused(VaultNeeded, folder)
    refused(VaultWrong, folder, cipher=StandInCipher("bob"))
    with open_memory() as memory:
        assert memory.count() == 30


def test_without_anything_that_names_it_a_memory_is_left_alone(tmp_path: Path, open_memory: Open) -> None:
    """Seals name the memory, so a new name would make all of it unreadable."""
    folder = tmp_path / "memory"
    with open_memory() as memory:
        memory.add("text")
    (folder / "memory.json").unlink()
    shutil.rmtree(folder / "parity")
    for place in ("segments", "mirror"):
        for path in (folder / place).glob("0*.seg"):
            path.unlink()
    refused(NotAMemory, folder, cipher=StandInCipher())


def test_arguments_that_contradict_each_other_are_refused(tmp_path: Path, vault: Vault) -> None:
    """A cipher and a vault; an owner and no vault; nothing to encrypt with."""
    for options in ({"cipher": StandInCipher(), "vault": vault}, {"owner": "alice"}):
        with pytest.raises(InvalidInput):
            Memory.open(tmp_path / "memory", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Memory.encrypt(tmp_path / "memory")


def test_it_works_for_asyncio_too(tmp_path: Path, vault: Vault) -> None:
    """`AsyncMemory.open` and `AsyncMemory.encrypt` take the same arguments."""

    async def use() -> str:
        path = tmp_path / "memory"
        async with await AsyncMemory.open(path, embedder=HashEmbedder()) as memory:
            fragment = await memory.add("awaited")
        await AsyncMemory.encrypt(path, vault=vault, owner="alice")
        options = {"embedder": HashEmbedder(), "vault": vault, "owner": "alice"}
        async with await AsyncMemory.open(path, **options) as memory:
            return (await memory.get(fragment.id)).text

    assert asyncio.run(use()) == "awaited"


def test_read_only_opening_touches_nothing(tmp_path: Path, open_memory: Open) -> None:
    """Closed and at rest, it is read without a byte written, registry included."""
    with open_memory() as memory:
        fragment = memory.add("a heron on the pier")
        memory.flush()
    before = contents(tmp_path / "memory")
    with open_memory(read_only=True) as memory:
        assert memory.get(fragment.id).text == "a heron on the pier"
        assert [hit.id for hit in memory.search("heron").hits] == [fragment.id]
        assert memory.scan(deep=True).healthy
    assert contents(tmp_path / "memory") == before
