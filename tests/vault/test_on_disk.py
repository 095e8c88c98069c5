"""Nothing that the owner wrote can be read in any file, and when the key is gone nothing brings it back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carma import Memory
from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.config import Settings
from carma.errors import CarmaError, KekWrong, Shredded, VaultNeeded, VaultWrong
from carma.memory.handed import handed_out
from carma.models import Source
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder, StandInCipher

from .conftest import Open
from .readable import files_below, found_in, telling_text

COUNT = 40
SMALL = Settings(exact_below=32, linger_s=0.0)
"""An index is trained, so that there is a file of it."""
FIRST, NEXT = KeyEncryptionKey(bytes(range(32))), KeyEncryptionKey(bytes(32))
"""The key-encryption key of the vault of this folder's tests, and another one."""


def fill(memory: Memory) -> list[str]:
    """Use everything that can leave text in a file; what was written."""
    texts = [telling_text(number) for number in range(COUNT)]
    fragments = [
        memory.add(
            text, metadata={telling_text(1000 + at)[:20]: telling_text(2000 + at)},
            user=telling_text(3000 + at), session=telling_text(4000 + at), agent=telling_text(5000 + at),
            kind=telling_text(6000 + at)[:12], source=Source(path=telling_text(7000 + at), span=(0, 9)),
        )
        for at, text in enumerate(texts)
    ]  # fmt: skip
    changed = memory.update(fragments[0].id, telling_text(8000))
    memory.delete(fragments[1].id)
    memory.add(telling_text(8001), vector=np.ones(HashEmbedder().fingerprint.dimension))
    assert memory.flush(30)
    for mode in ("words", "vector", "hybrid"):
        memory.search(texts[5], mode=mode)  # type: ignore[arg-type]
    memory.scan(deep=True)
    memory.dream(in_process=True)
    memory.rest()
    said = [changed.text, telling_text(8001)]
    for base in (0, 1000, 2000, 3000, 4000, 5000, 6000, 7000):
        said += [telling_text(base + at) for at in range(COUNT)]
    return said


def test_nothing_readable_is_on_disk_while_open_or_closed(tmp_path: Path, open_memory: Open) -> None:
    """Texts, metadata, names, paths, words, vectors: in no file, the write-ahead log included."""
    folder = tmp_path / "memory"
    with open_memory(settings=SMALL) as memory:
        said = fill(memory)
        open_files = files_below(folder)
        vectors = HashEmbedder().embed(said[6 : COUNT + 2]).astype("<f4")
    closed = files_below(folder)
    names = {name.rpartition("/")[2].rpartition(".")[2] for name in open_files}
    assert {"f32", "faiss", "sqlite", "sqlite-wal", "json", "seg", "par"} <= names
    for files in (open_files, closed):
        assert found_in(files, said) == []
        for piece in (*pieces(vectors), *pieces(vectors.astype("<f2"))):
            assert not any(piece in data for data in files.values())


def pieces(vectors: NDArray[np.floating]) -> list[bytes]:
    """Some numbers in a row of each vector, of which not all are zero."""
    first = [int(np.flatnonzero(vector)[0]) for vector in vectors]
    told = [vector[at : at + 16].tobytes() for vector, at in zip(vectors, first, strict=True)]
    return [each for each in told if len(set(each)) > 4]


def test_the_search_for_readable_texts_finds_them_in_a_plain_memory(
    tmp_path: Path, open_memory: Open
) -> None:
    """The proof itself can fail: without a cipher every kind of file gives something away."""
    with open_memory(cipher=None, settings=SMALL) as memory:
        said = [*fill(memory), memory.add(telling_text(9000)).text]
        files = files_below(tmp_path / "memory")
        vectors = HashEmbedder().embed(said[6:16]).astype("<f4")
    folders = {name.partition("/")[0] for name, _ in found_in(files, said)}
    assert {"segments", "mirror", "index"} <= folders
    assert all(any(piece in data for data in files.values()) for piece in pieces(vectors))


def test_a_short_text_is_not_confirmed_by_its_digest(tmp_path: Path, open_memory: Open) -> None:
    """Digests in headers, manifests, registry and answers are keyed: guessing a PIN proves nothing."""
    with open_memory() as memory:
        first = memory.add("PIN 4711")
    with open_memory("plain", cipher=None) as memory:
        plain = memory.add("PIN 4711")
    with open_memory("bob", cipher=StandInCipher("bob")) as memory:
        other = memory.add("PIN 4711")
    assert len({first.digest, plain.digest, other.digest}) == 3
    files = files_below(tmp_path / "memory")
    assert plain.digest is not None
    assert not any(bytes.fromhex(plain.digest)[:8] in data for data in files.values())


# Shredding


@pytest.fixture
def shredded(tmp_path: Path, vault: Vault, open_memory: Open) -> tuple[Path, list[str]]:
    """A memory whose owner's key was destroyed, with copies of its files from before beside it."""
    folder = tmp_path / "memory"
    memory = open_memory(vault=vault, owner="alice", settings=SMALL)
    said = fill(memory)
    memory.snapshot(tmp_path / "snapshot")
    memory.export(tmp_path / "archive.tar", format="archive")
    shutil.copytree(folder, tmp_path / "copy of the open one")
    memory.close()
    shutil.copytree(folder, tmp_path / "copy")
    vault.shred("alice")
    return folder, said


def test_after_shredding_no_file_holds_anything(tmp_path: Path, shredded: tuple[Path, list[str]]) -> None:
    """No term and no piece of any text or vector, in any file of the owner, of the vault, or in any copy of
    them; nor a byte of what was wrapped.
    """
    _, said = shredded
    files = files_below(tmp_path)
    assert len(files) > 100
    assert found_in(files, said) == []
    vectors = HashEmbedder().embed(said[6 : COUNT + 2]).astype("<f4")
    for piece in (*pieces(vectors), *pieces(vectors.astype("<f2"))):
        assert not any(piece in data for data in files.values())


def test_after_shredding_nothing_opens_the_memory_or_a_copy(
    tmp_path: Path, vault: Vault, shredded: tuple[Path, list[str]]
) -> None:
    """Not the owner, not another one, not nobody, not who is let in again under the old name."""
    for name in ("memory", "copy", "snapshot", "copy of the open one"):
        with pytest.raises(Shredded):
            Memory.open(tmp_path / name, embedder=HashEmbedder(), vault=vault, owner="alice")
        with pytest.raises(VaultWrong):
            Memory.open(tmp_path / name, embedder=HashEmbedder(), vault=vault, owner="bob")
        with pytest.raises(VaultNeeded):
            Memory.open(tmp_path / name, embedder=HashEmbedder())


def test_after_shredding_no_dream_or_import_brings_anything_back(
    tmp_path: Path, vault: Vault, open_memory: Open, shredded: tuple[Path, list[str]]
) -> None:
    """Old copies as sources of a dream, as mirrors put back, as archives: they say nothing to anybody."""
    folder, said = shredded
    vault.readmit("alice")
    memory = open_memory("new", vault=vault, owner="alice")
    kept = memory.add("written after she came back")
    with pytest.raises(VaultWrong):
        memory.import_(tmp_path / "archive.tar")
    sources = [tmp_path / name for name in ("memory", "copy", "snapshot", "archive.tar")]
    report = memory.dream(sources=sources, in_process=True)
    assert report.status == "completed" and report.reconstructed == 0
    memory.close()
    # The old files put into the new memory: nobody's.
    put = 0
    for path in [*(tmp_path / "copy" / "segments").glob("c*"), *(tmp_path / "copy" / "parity").iterdir()]:
        target = tmp_path / "new" / path.parent.name / path.name
        if not target.exists():
            shutil.copy(path, target)
            put += 1
    assert put > 10
    memory = open_memory("new", vault=vault, owner="alice")
    memory.repair_index("registry")
    memory.dream(in_process=True)
    assert memory.get(kept.id).text == "written after she came back"
    shown = [memory.get(each.id).text for each in memory.list()]
    assert not set(shown) & set(said)
    for text in said[:5]:
        assert not any(hit.text in said for hit in memory.search(text).hits)
    memory.export(tmp_path / "out.jsonl")
    assert found_in({"out.jsonl": (tmp_path / "out.jsonl").read_bytes()}, said) == []
    with pytest.raises(CarmaError):
        open_memory("restored", cipher=None).import_(tmp_path / "archive.tar")
    assert folder.exists()


def test_an_old_mirror_brings_back_nothing_that_was_purged(
    tmp_path: Path, vault: Vault, open_memory: Open
) -> None:
    """Every file of before, put back beside those of now, under the same key: deletions outrank them."""
    folder, old = tmp_path / "memory", tmp_path / "old"
    with open_memory(vault=vault, owner="alice", settings=SMALL) as memory:
        kept = [memory.add(telling_text(number)) for number in range(20)]
        gone = memory.add(telling_text(500))
        memory.rest()
        shutil.copytree(folder, old)
        memory.delete(gone.id, purge=True)
    for place in ("segments", "mirror", "parity"):
        for path in (old / place).iterdir():
            if not (folder / place / path.name).exists():
                shutil.copy(path, folder / place / path.name)
    shutil.rmtree(folder / "index")
    with open_memory(vault=vault, owner="alice", settings=SMALL) as memory:
        memory.dream(in_process=True, sources=[old])
        assert {each.id: each.text for each in memory.list()} == {each.id: each.text for each in kept}
        assert not memory.search(telling_text(500), mode="words").hits
        memory.export(tmp_path / "out.jsonl", history=True)
    assert found_in({"out.jsonl": (tmp_path / "out.jsonl").read_bytes()}, [telling_text(500)]) == []


def test_a_backup_of_the_vault_brings_a_shredded_key_back_until_the_next_rotation(
    tmp_path: Path, vault: Vault, open_memory: Open
) -> None:
    """What the guide says of backups: with the key-encryption key of its time, and not with a later one."""
    data, backup = tmp_path / "data" / "vault", tmp_path / "backup"
    open_memory(vault=vault, owner="alice").close()
    shutil.copytree(data, backup)
    vault.shred("alice")
    vault.rotate_kek(NEXT)
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    for kek, refused in ((NEXT, KekWrong), (FIRST, None)):
        restored = Vault(Journal(LocalDisk(), str(data)), kek)
        if refused is not None:
            with pytest.raises(refused):
                open_memory(vault=restored, owner="alice")
        else:
            open_memory(vault=restored, owner="alice").close()


def test_what_was_handed_out_before_is_as_plain_as_it_was(
    tmp_path: Path, vault: Vault, open_memory: Open
) -> None:
    """A snapshot of the plain memory stays readable for anyone when it is encrypted; later ones are not."""
    with open_memory(cipher=None) as memory:
        memory.add(telling_text(1))
        memory.snapshot(tmp_path / "plain")
    Memory.encrypt(tmp_path / "memory", vault=vault, owner="alice")
    with open_memory(vault=vault, owner="alice") as memory:
        memory.snapshot(tmp_path / "sealed")
        memory.export(tmp_path / "out.jsonl")
        told = {Path(each.target).name: each.readable_by for each in handed_out(memory)}
    assert told == {"plain": "anyone", "sealed": "nobody", "out.jsonl": "anyone"}
    assert found_in(files_below(tmp_path / "plain"), [telling_text(1)])
    assert found_in(files_below(tmp_path / "sealed"), [telling_text(1)]) == []
