"""`carma vault`, and exports for a recipient, as people type them."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest

from .conftest import Carma

CODE = re.compile(r"CARMA(?:-[0-9A-Z]{4}){14}")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory and a place for the key-encryption key, both new."""
    for name in ("CARMA_KEK", "CARMA_KEK_NEXT", "CARMA_KEK_PASSPHRASE", "CARMA_OWNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_KEK_FILE", str(tmp_path / "config" / "kek"))
    return tmp_path / "data"


@pytest.fixture
def kek(tmp_path: Path) -> Path:
    return tmp_path / "config" / "kek"


def _owner(carma: Carma) -> str:
    """An encrypted memory of ada; the recovery code that was shown."""
    ran = carma("add", "a secret thing", "--vault", "--owner", "ada")
    assert ran.code == 0
    (code,) = CODE.findall(ran.err)
    assert not CODE.findall(ran.out)
    return str(code)


def test_an_empty_data_directory_has_no_key_and_gets_none(carma: Carma, data: Path, kek: Path) -> None:
    """Looking makes nothing; verbs that need a key say that there is none."""
    assert carma("vault", "status", "--json").json()["key"] is None
    for verb in ("owners", "rotate"):
        assert carma("vault", verb).code == 30
    assert not data.exists()
    assert not kek.exists()


def test_the_recovery_code_is_shown_once_and_recovers_the_key(carma: Carma, data: Path, kek: Path) -> None:
    """Without the file everything is refused; the code brings the same key back; another code does not."""
    code = _owner(carma)
    key = carma("vault", "status", "--json").json()["key"]
    assert "CARMA-" not in carma("vault", "status").out
    assert carma("vault", "recover", stdin=code).code == 2
    kek.rename(kek.with_name("away"))
    for arguments in (("vault", "owners"), ("list", "--owner", "ada"), ("add", "more", "--owner", "ada")):
        assert carma(*arguments).code == 30
    assert not kek.exists()
    other = carma("add", "x", "--store", str(kek.parent.parent / "m"), "--vault", "--data",
                  str(kek.parent.parent / "d"))  # fmt: skip
    (wrong,) = CODE.findall(other.err)
    kek.unlink()
    assert carma("vault", "recover", stdin=wrong).code == 31
    assert carma("vault", "recover", stdin=code[:-1]).code == 2
    assert not kek.exists()
    ran = carma("vault", "recover", "--json", stdin=f"{code.lower()}\n")
    assert ran.json() == {"key": key, "file": str(kek)}
    assert carma("list", "--owner", "ada").code == 0


def test_where_only_keys_are_wrapped_another_code_is_refused_too(carma: Carma, data: Path, kek: Path) -> None:
    """Without an encrypted memory it is the key store that says which code is right."""
    made = carma("keys", "create", "--user", "ada")
    (code,) = CODE.findall(made.err)
    kek.unlink()
    other = carma("add", "x", "--store", str(kek.parent.parent / "m"), "--vault", "--data",
                  str(kek.parent.parent / "d"))  # fmt: skip
    (wrong,) = CODE.findall(other.err)
    kek.unlink()
    assert carma("vault", "recover", stdin=wrong).code == 31
    assert not kek.exists()
    assert carma("vault", "recover", stdin=code).code == 0
    assert carma("keys", "check").code == 0


def test_a_key_file_that_others_may_read_is_refused(carma: Carma, data: Path, kek: Path) -> None:
    """The message says what to type."""
    _owner(carma)
    kek.chmod(0o644)
    ran = carma("vault", "owners")
    assert ran.code == 30
    assert f"chmod 600 {kek}" in ran.err


def test_rotating_leaves_everything_readable(carma: Carma, data: Path, kek: Path) -> None:
    """A new key, a new code that recovers it, the same owners, and the memory opens."""
    _owner(carma)
    before = carma("vault", "status", "--json").json()["key"]
    ran = carma("vault", "rotate", "--json")
    value = ran.json()
    assert value["key"] != before
    assert value["wrapped"] == 1
    assert carma("vault", "status", "--json").json()["healthy"]
    assert "a secret thing" in carma("list", "--owner", "ada", "--json").out
    kek.unlink()
    assert carma("vault", "recover", "--json", stdin=value["recovery_code"]).json()["key"] == value["key"]
    shown = CODE.findall(carma("vault", "rotate").err)
    assert len(shown) == 1
    assert shown[0] != value["recovery_code"]


def test_a_key_of_the_environment_rotates_to_the_next_one(
    carma: Carma, data: Path, kek: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is made; while both are set both open; afterwards the next one alone does."""
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    monkeypatch.setenv("CARMA_KEK", first)
    assert carma("add", "text", "--vault", "--owner", "ada").code == 0
    assert carma("vault", "rotate").code == 2
    monkeypatch.setenv("CARMA_KEK_NEXT", second)
    assert carma("vault", "rotate").code == 0
    assert carma("vault", "owners").out == "ada\n"
    monkeypatch.setenv("CARMA_KEK", second)
    monkeypatch.delenv("CARMA_KEK_NEXT")
    assert carma("vault", "owners").out == "ada\n"
    monkeypatch.setenv("CARMA_KEK", first)
    ran = carma("vault", "owners")
    assert ran.code == 31
    assert first not in ran.err
    assert not kek.exists()


def test_shredding_ends_a_memory_and_says_what_was_destroyed(carma: Carma, data: Path) -> None:
    """It asks first; afterwards every verb is 32; who comes back gets another key."""
    _owner(carma)
    assert carma("vault", "shred", "ada", stdin="n\n").code == 130
    assert carma("list", "--owner", "ada").code == 0
    done = carma("vault", "shred", "ada", "--yes", "--json").json()
    assert done["owner"] == "ada"
    assert (len(done["key_id"]), len(done["commitment"])) == (32, 64)
    assert carma("list", "--owner", "ada").code == 32
    assert carma("vault", "shred", "bob", "--yes").code == 3
    status = carma("vault", "status", "--json").json()
    assert (status["owners"], status["shredded"]) == (0, 1)
    again = carma("vault", "readmit", "ada", "--json").json()
    assert again["key_id"] != done["key_id"]
    assert carma("vault", "owners", "--json").json() == {"owners": ["ada"]}


def test_findings_have_their_own_exit_code(carma: Carma, data: Path) -> None:
    """A copy that differs is told and mended, and the next look finds nothing."""
    _owner(carma)
    log = data / "vault" / "2.log"
    log.write_bytes(log.read_bytes()[:-30] + bytes(30))
    ran = carma("vault", "status")
    assert ran.code == 12
    assert "2.log" in ran.out
    assert carma("vault", "status").code == 0


def test_an_export_for_a_recipient_goes_to_who_has_the_identity(
    carma: Carma, data: Path, tmp_path: Path
) -> None:
    """The pair is made, the export sealed, imported with the identity, refused without and when changed."""
    _owner(carma)
    identity, out, other = (str(tmp_path / name) for name in ("me", "out", "other"))
    made = carma("vault", "recipient", "--out", identity, "--json").json()
    assert made["recipient"] == f"{identity}.pub"
    assert carma("vault", "recipient", "--out", identity).code == 2
    assert carma("export", out, "--owner", "ada", "--to", f"{identity}.pub").code == 0
    assert b"secret" not in Path(out).read_bytes()
    assert carma("import", out, "--store", other).code == 2
    assert carma("import", out, "--store", other, "--identity", f"{identity}.pub").code != 0
    assert carma("import", out, "--store", other, "--identity", identity).code == 0
    assert "a secret thing" in carma("list", "--store", other, "--json").out
    someone = str(tmp_path / "someone")
    carma("vault", "recipient", "--out", someone)
    assert carma("import", out, "--store", other, "--identity", someone).code == 33
    Path(out).write_bytes(Path(out).read_bytes()[:-1])
    assert carma("import", out, "--store", other, "--identity", identity).code == 11
