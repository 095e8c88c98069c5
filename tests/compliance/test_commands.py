"""`carma compliance …`: export, erase, verify and retain as their users type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Carma, carma, store  # noqa: F401
from tests.vault.readable import files_below, found_in, telling_text


@pytest.fixture
def ada(
    carma: Carma,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Carma:
    """The command line with a new data directory; Ada has an encrypted memory and a key."""
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_KEK_FILE", str(tmp_path / "kek"))
    for name in ("CARMA_KEK", "CARMA_OWNER"):
        monkeypatch.delenv(name, raising=False)
    assert carma("add", telling_text(1), "--vault", "--owner", "ada", "--metadata", "case=17").code == 0
    assert carma("add", telling_text(2), "--owner", "ada", "--created", "2020-01-01").code == 0
    assert carma("keys", "create", "--user", "ada", "--permissions", "rw").code == 0
    return carma


def rules(folder: Path, **more: object) -> Path:
    path = folder / "rules.json"
    value = {"format": "carma retention 1", "rules": [{"name": "old", "older_than": "365d"}], **more}
    path.write_text(json.dumps(value))
    return path


def test_an_export_is_made_and_verified(ada: Carma, tmp_path: Path) -> None:
    """Counts, digest and leaf; a changed one exits with 11; a taken target with 4, and nobody with 3."""
    out = tmp_path / "out"
    told = ada("compliance", "export", str(out), "--owner", "ada", "--json").json()
    assert (told["fragments"], told["keys"], told["memories"]) == (2, 1, 1)
    checked = ada("compliance", "verify", str(out), "--json").json()
    assert checked["digest"] == told["digest"] and checked["valid"]
    assert ada("compliance", "export", str(out), "--owner", "ada").code == 4
    assert ada("compliance", "export", str(tmp_path / "no"), "--owner", "nobody").code == 3
    (out / "README.txt").write_text("changed")
    ran = ada("compliance", "verify", str(out))
    assert ran.code == 11 and "README.txt" in ran.err


def test_a_sealed_export_is_verified_with_its_identity(ada: Carma, tmp_path: Path) -> None:
    """Without it there is nothing to see."""
    key = tmp_path / "home.key"
    assert ada("vault", "recipient", "--out", str(key)).code == 0
    out = str(tmp_path / "out.sealed")
    assert ada("compliance", "export", out, "--owner", "ada", "--to", f"{key}.pub").code == 0
    assert ada("compliance", "verify", out).code == 2
    assert ada("compliance", "verify", out, "--identity", str(key)).code == 0


def test_an_erasure_is_certified_and_verified(ada: Carma, store: Path, tmp_path: Path) -> None:  # noqa: F811
    """It asks first; the certificate verifies; a changed one exits with 41; then nothing is held."""
    certificate = tmp_path / "certificate.json"
    arguments = ("compliance", "erase", "--owner", "ada", "--out", str(certificate))
    assert ada(*arguments, stdin="n\n").code == 130 and store.exists()
    ran = ada(*arguments, "--yes")
    assert ran.code == 0 and "erasing: shred" in ran.err
    assert not store.exists() and certificate.stat().st_mode & 0o077 == 0
    assert found_in(files_below(tmp_path / "data"), [telling_text(1), telling_text(2)]) == []
    told = ada("compliance", "verify", str(certificate), "--json").json()
    assert told["valid"] and told["owner"] == "ada" and not told["keys_trusted"]
    vkeys = tmp_path / "data" / "audit" / "log" / "vkeys"
    assert ada("compliance", "verify", str(certificate), "--keys", str(vkeys)).code == 0
    document = json.loads(certificate.read_text())
    document["certificate"]["owner"] = "eve"
    certificate.write_text(json.dumps(document))
    assert ada("compliance", "verify", str(certificate)).code == 41
    assert ada(*arguments, "--yes").code in (2, 3)
    assert ada("audit", "verify").code == 0


def test_retention_is_tried_and_carried_out(ada: Carma, tmp_path: Path) -> None:
    """A dry run names what is due and removes nothing; without a file of rules it says so."""
    mine = ("--owner", "ada")
    assert ada("compliance", "retain", *mine).code == 2
    file = rules(tmp_path)
    tried = ada("compliance", "retain", "--rules", str(file), "--dry-run", "--json", *mine).json()
    assert tried["dry_run"] and tried["memories"][0]["by_rule"] == {"old": 1}
    assert len(tried["memories"][0]["ids"]) == 1
    assert len(ada("list", "--json", *mine).json()["items"]) == 2
    done = ada("compliance", "retain", "--rules", str(file), "--json", *mine).json()["memories"][0]
    assert (done["deleted"], done["purged"], done["changed"]) == (1, 1, 0)
    assert [each["text"] for each in ada("list", "--json", *mine).json()["items"]] == [telling_text(1)]


def test_a_hold_stops_an_erasure(ada: Carma, store: Path, tmp_path: Path) -> None:  # noqa: F811
    """With exit code 59, until it is told to go on in spite of it. The data directory's rules are asked."""
    file = rules(tmp_path, holds=[{"name": "case", "where": {"case": 17}}])
    (tmp_path / "data" / "retention.json").write_bytes(file.read_bytes())
    arguments = ("compliance", "erase", "--owner", "ada", "--yes", "--json")
    ran = ada(*arguments)
    assert ran.code == 59 and "case" in ran.err and store.exists()
    kept = ada("compliance", "retain", "--owner", "ada", "--dry-run", "--json").json()["memories"][0]
    assert kept["on_hold"] == {} and kept["due"] == 1
    assert ada(*arguments, "--despite-holds").code == 0 and not store.exists()


def test_a_plain_memory_is_purged_and_the_certificate_says_what_that_means(
    carma: Carma,  # noqa: F811
    store: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No data key is named in it, and what may remain on flash is."""
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_KEK_FILE", str(tmp_path / "kek"))
    assert carma("add", telling_text(1)).code == 0
    ran = carma("compliance", "erase", "--owner", "local", "--store", str(store), "--yes", "--json")
    assert ran.code == 0, ran.err
    body = ran.json()["certificate"]
    assert body["data_key"] is None and body["memories"][0]["encrypted"] is False
    assert any("Flash" in each for each in body["remnants"]) and not store.exists()
