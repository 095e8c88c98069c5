"""The command line on encrypted memories: every verb takes `--vault`, `--data` and `--owner`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Carma, carma, spawn, store  # noqa: F401

from .readable import files_below, found_in, telling_text

TEXT = telling_text(1)


@pytest.fixture
def alice(
    carma: Carma,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Carma:
    """The command line with a new data directory and key-encryption key."""
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_KEK_FILE", str(tmp_path / "kek"))
    for name in ("CARMA_KEK", "CARMA_OWNER"):
        monkeypatch.delenv(name, raising=False)
    return carma


def test_a_memory_is_made_found_and_moved_by_its_owner(alice: Carma, tmp_path: Path) -> None:
    """From the first text to an export, with the owner's name as the only thing to say."""
    made = alice("add", TEXT, "--owner", "alice")
    assert made.code == 0 and "CARMA-" in made.err
    id = made.out.strip()
    mine = ("--owner", "alice")
    assert "CARMA-" not in alice("add", telling_text(2), *mine).err
    assert json.loads(alice("get", id, "--json", *mine).out)["items"][0]["text"] == TEXT
    assert id in alice("search", TEXT.split()[3], *mine).out
    assert alice("update", id, telling_text(3), *mine).code == 0
    assert alice("history", id, *mine).code == 0
    assert alice("doctor", *mine).code == 0
    assert alice("topology", "--out", str(tmp_path / "map.html"), *mine).code == 0
    assert alice("scan", "--deep", *mine).code == 0
    assert alice("repair-index", "registry", *mine).code == 0
    assert alice("snapshot", str(tmp_path / "snapshot"), *mine).code == 0
    assert alice("export", str(tmp_path / "out.jsonl"), *mine).code == 0
    assert alice("list", "--store", str(tmp_path / "snapshot"), *mine).code == 0
    said = [telling_text(number) for number in (1, 2, 3)]
    assert found_in(files_below(tmp_path / "memory"), said) == []
    assert found_in(files_below(tmp_path / "snapshot"), said) == []
    assert found_in({"out": (tmp_path / "out.jsonl").read_bytes()}, said)


def test_the_wrong_key_is_named_and_nothing_is_made(alice: Carma, tmp_path: Path) -> None:
    """Exit codes of the error tree, and where to look for the right one."""
    alice("add", TEXT, "--owner", "alice")
    for arguments in (("list",), ("list", "--owner", "bob"), ("add", "more", "--vault")):
        ran = alice(*arguments)
        assert ran.code == 36 and "--owner" in ran.err and TEXT not in ran.err
    assert alice("vault", "owners").out.split() == ["alice"]
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "kek").unlink()
    assert alice("list", "--owner", "alice").code == 30


def test_a_plain_memory_is_not_taken_for_an_encrypted_one(alice: Carma, tmp_path: Path) -> None:
    """Whoever says `--vault` is told, and nothing of the vault is made."""
    alice("add", TEXT)
    assert alice("list", "--vault").code == 37
    assert alice("list").code == 0


def test_looking_needs_no_key_and_says_so(alice: Carma, tmp_path: Path) -> None:
    """Without the key the bytes are proven; who says that they have the key is told that they have not."""
    alice("add", TEXT, "--owner", "alice")
    ran = alice("scan", "--deep")
    assert ran.code == 0 and "without the key" in ran.err
    report = alice("scan", "--deep", "--json").json()
    assert report["healthy"] and report["without_key"] and report["records"] > 0
    assert alice("scan", "--json", "--owner", "alice").json()["without_key"] is False
    assert alice("scan", "--owner", "bob").code == 36
    segment = next(path for path in sorted((tmp_path / "memory" / "parity").iterdir()))
    data = bytearray(segment.read_bytes())
    data[200] ^= 1
    segment.write_bytes(bytes(data))
    ran = alice("scan", "--deep")
    assert ran.code == 12 and segment.name in ran.out


def test_a_plain_memory_becomes_an_encrypted_one(alice: Carma, tmp_path: Path) -> None:
    """`carma vault encrypt`, once; the second time there is nothing to do."""
    id = alice("add", TEXT).out.strip()
    folder = str(tmp_path / "memory")
    ran = alice("vault", "encrypt", folder, "--owner", "alice", "--json")
    assert ran.code == 0 and "CARMA-" in ran.err
    assert ran.json()["encrypted"] and ran.json()["records"] == 1
    assert found_in(files_below(tmp_path / "memory"), [TEXT]) == []
    assert alice("list").code == 36
    assert id in alice("list", "--owner", "alice").out
    assert not alice("vault", "encrypt", folder, "--owner", "alice", "--json").json()["encrypted"]
    assert alice("vault", "encrypt", folder, "--owner", "bob").code == 3
    assert alice("vault", "encrypt", str(tmp_path / "nowhere")).code in (3, 30)


def test_a_shredded_owner_is_told_so(alice: Carma, tmp_path: Path) -> None:
    """By every verb but the look at bytes."""
    alice("add", TEXT, "--owner", "alice")
    assert alice("vault", "shred", "alice", "--yes").code == 0
    for verb in (("list",), ("add", "again"), ("search", "x"), ("dream",), ("export", str(tmp_path / "x"))):
        assert alice(*verb, "--owner", "alice").code == 32
    assert alice("scan", "--deep").code == 0


def test_a_dream_that_is_asked_for_opens_the_vault_once(alice: Carma, tmp_path: Path) -> None:
    """`carma dream` as people type it, in processes of their own."""
    alice("add", TEXT, "--owner", "alice")
    ran = spawn(["dream", "--owner", "alice", "--json"])
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["status"] == "completed"
    assert alice("dreams", "--owner", "alice").code == 0
