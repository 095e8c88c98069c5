"""`tools/read_memory.py`, which knows docs/FORMAT.md and not CARMA, reads encrypted memories by their key."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carma import Memory
from carma.access.vault.vault import Vault
from carma.ports.cipher import Cipher
from carma.store.record import RecordKind, encode_header
from tests.faults.test_stand_alone_reader import LOADED, READER

from .conftest import Open
from .readable import telling_text


@pytest.fixture
def secret(vault: Vault) -> bytes:
    """The data key of the owner."""
    return vault.cipher("ada").hand_over()


@pytest.fixture
def resting(tmp_path: Path, vault: Vault, open_memory: Open, secret: bytes) -> Path:
    """An encrypted memory with updates, deletions and metadata, spread and in the log; a copy of it."""
    with open_memory(vault=vault, owner="ada") as memory:
        made = [memory.add(telling_text(n), metadata={"n": n}) for n in range(40)]
        memory.compact(linger_s=0)
        memory.update(made[3].id, telling_text(100))
        memory.delete(made[4].id)
        memory.add(telling_text(101), parent=made[0].id)
        shutil.copytree(tmp_path / "memory", tmp_path / "copy")
    return tmp_path / "copy"


def shown(memory: Memory) -> dict[str, tuple[int, str]]:
    return {each.id: (each.version, each.text) for each in memory.list(limit=100)}


def read(folder: Path, secret: bytes) -> dict[str, tuple[int, str]]:
    return {each["id"]: (each["version"], each["text"]) for each in LOADED.live(folder, secret)}


def test_it_agrees_with_the_store(resting: Path, vault: Vault, open_memory: Open, secret: bytes) -> None:
    """Texts, versions and deletions; also with three files gone, without index, and without memory.json."""
    found = read(resting, secret)
    chance = random.Random(2)
    for _ in range(4):
        files = sorted(path for path in resting.rglob("c*.seg") if path.parent.name == "segments")
        hurt = resting.with_name("hurt")
        shutil.copytree(resting, hurt)
        for path in chance.sample([*files, *sorted((resting / "parity").iterdir())], 3):
            (hurt / path.relative_to(resting)).unlink()
        (hurt / "memory.json").unlink()
        assert read(hurt, secret) == found
        shutil.rmtree(hurt)
    with open_memory("copy", vault=vault, owner="ada") as memory:
        assert shown(memory) == found
        assert len(found) == 40


def test_run_as_a_program_it_takes_the_key_from_a_file(resting: Path, secret: bytes, tmp_path: Path) -> None:
    """Or from standard input; without the key, or with another one, it says so and shows nothing."""
    (tmp_path / "key").write_text(secret.hex() + "\n")
    (tmp_path / "other").write_text(bytes(32).hex())

    def run(*arguments: object, input: str = "") -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(READER), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, input=input, check=False)

    told = run(resting, tmp_path / "key")
    assert told.returncode == 0 and len(told.stdout.splitlines()) == 40
    assert telling_text(100) in told.stdout
    assert run(resting, "-", input=secret.hex()).stdout == told.stdout
    for refused in (run(resting), run(resting, tmp_path / "other"), run(resting, READER)):
        assert refused.returncode == 1 and refused.stdout == ""
        assert "key" in refused.stderr and "Traceback" not in refused.stderr


def test_a_deletion_that_the_owner_did_not_seal_deletes_nothing(resting: Path, secret: bytes) -> None:
    """A forged tombstone behind the log: the fragment is a blank, as the store says too."""
    id = next(iter(read(resting, secret)))
    log = max((resting / "segments").glob("0*.seg"))
    end, number = log.stat().st_size, int(log.stem)
    forged = encode_header(
        RecordKind.TOMBSTONE, 9, 999, 1, bytes.fromhex(id), number, end, bytes(40), flags=1
    )
    for place in ("segments", "mirror"):
        with (resting / place / log.name).open("ab") as file:
            file.write(forged + bytes(40))
    assert read(resting, secret)[id] == (9, "")


def test_what_it_opens_is_what_the_cipher_seals(vault: Vault) -> None:
    """The two implementations of XAES-256-GCM and of contexts agree."""
    cipher: Cipher = vault.cipher("ada")
    key = LOADED.key_of(vault.cipher("ada").hand_over(), "m" * 32)
    for data in (b"", b"x", bytes(1000)):
        context = b"".join(len(each).to_bytes(4) + each for each in (b"one", b"", b"two"))
        sealed = cipher.seal(data, context)
        assert key.open(sealed, b"one", b"", b"two") == data
        assert key.open(sealed, b"one", b"two") is None
