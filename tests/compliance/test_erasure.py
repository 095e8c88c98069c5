"""An erasure leaves nothing of an owner, goes on after a kill anywhere, and its certificate verifies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from carma import Memory
from carma.access.audit.trail import log_folder, published_keys
from carma.access.vault.recipients import create_identity
from carma.compliance.begun import Erasures
from carma.compliance.certificate import check_certificate
from carma.compliance.erasure import STEPS, erase, settle
from carma.compliance.estate import Estate
from carma.errors import (
    AuditDamaged,
    CarmaError,
    ErasureUnfinished,
    InvalidInput,
    NothingHeld,
    OnHold,
    Shredded,
    VaultWrong,
)
from carma.ports.disk import LocalDisk
from carma.testing import HashEmbedder
from tests.vault.readable import files_below, found_in

from .conftest import House


class Killed(BaseException):
    """The process ended here."""


def verified(estate: Estate, document: dict[str, Any]) -> dict[str, Any]:
    """What a certificate says, checked with the keys that the log published."""
    keys = published_keys(LocalDisk(), log_folder(estate.folder.audit))
    return check_certificate(json.dumps(document).encode(), keys).body


def assert_gone(house: House, name: str, id: str, said: list[str]) -> None:
    """No file of the data directory has a piece of a text, the name or the id, and nobody has a key."""
    files = files_below(house.root)
    assert found_in(files, said) == []
    for word in (name.encode(), id.encode()):
        assert [path for path, data in files.items() if word in data] == []
    estate = house.estate(name)
    assert estate.account is None
    assert not any(key.owner == id for key in estate.keys.keys().values())  # type: ignore[union-attr]
    assert not Erasures(estate.disk, estate.folder).all()


@pytest.mark.parametrize("plain", [False, True], ids=["encrypted", "plain"])
def test_nothing_of_the_owner_is_left_and_the_neighbour_is_whole(house: House, plain: bool) -> None:
    """No byte sequence of any text, no name, no key; the certificate verifies; the other user reads on."""
    alice, said = house.join("alice-the-first", 0, plain=plain)
    bob, others = house.join("bob", 500, plain=plain)
    readable = found_in(files_below(house.seat(alice)), said)
    assert bool(readable) == plain, "the search finds what is there"

    estate = house.estate("alice-the-first", plain=plain)
    document = erase(estate)
    body = verified(estate, document)
    settle(estate)

    assert body["owner"] == alice.id and body["account"]["name"] == "alice-the-first"
    assert body["memories"][0]["versions"] >= body["memories"][0]["fragments"] > 10
    assert (body["data_key"] is None) == plain
    assert not house.seat(alice).exists()
    assert_gone(house, "alice-the-first", alice.id, said)
    neighbour = house.estate("bob", plain=plain)
    with neighbour.opened(house.seat(bob)) as memory:
        assert others[2] in {each.text for each in memory.list()}
        assert memory.scan(deep=True).healthy
    with pytest.raises(NothingHeld):
        erase(house.estate("alice-the-first", plain=plain))


@pytest.mark.parametrize("point", STEPS)
def test_a_kill_before_any_step_goes_on(house: House, point: str) -> None:
    """The same call, in another process and by the owner's name, ends it; one leaf for each event."""
    alice, said = house.join("alice-the-first", 0)

    def kill(step: str) -> None:
        if step == point:
            raise Killed

    with pytest.raises(Killed):
        erase(house.estate("alice-the-first"), step=kill)
    estate = house.estate("alice-the-first")
    document = erase(estate)
    body = verified(estate, document)
    assert body["memories"][0]["fragments"] > 10 and body["data_key"] is not None
    settle(estate)
    assert_gone(house, "alice-the-first", alice.id, said)
    entries = b"".join(entry for _, entry in estate.trail.log.reader().entries())  # type: ignore[union-attr]
    for event in body["events"].values():
        assert entries.count(event.encode()) == 1


def test_a_kill_within_each_step_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after the first thing that each step destroys, one after the other, in one erasure."""
    alice, said = house.join("alice-the-first", 0)
    for target in (
        "carma.serve.accounts.Accounts.begin_leaving", "carma.access.keys.store.KeyStore.revoke",
        "carma.access.audit.trail.AuditTrail.note", "carma.access.vault.vault.Vault.shred",
        "carma.access.keys.store.KeyStore.forget", "carma.compliance.folders._erase_file",
        "carma.serve.accounts.Accounts.end_leaving", "carma.access.audit.log.Log.append",
    ):  # fmt: skip
        with monkeypatch.context() as patched:
            kill_after(patched, target)
            with pytest.raises(Killed):
                erase(house.estate("alice-the-first"))
    estate = house.estate("alice-the-first")
    verified(estate, erase(estate))
    settle(estate)
    assert_gone(house, "alice-the-first", alice.id, said)


def kill_after(patched: pytest.MonkeyPatch, target: str) -> None:
    """Let the process end when the function named has returned."""
    import pkgutil

    where, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(where)
    real = getattr(owner, name)

    def killed(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise Killed

    patched.setattr(owner, name, killed)


def test_a_copy_made_before_brings_nothing_back(house: House, tmp_path: Path) -> None:
    """An old copy of the seat, and a snapshot, open for nobody."""
    alice, _ = house.join("alice", 0)
    shutil.copytree(house.seat(alice), tmp_path / "copy")
    estate = house.estate("alice")
    with estate.opened(house.seat(alice)) as memory:
        memory.snapshot(tmp_path / "snapshot")
    erase(estate)
    settle(estate)
    for folder in ("copy", "snapshot"):
        with pytest.raises((Shredded, VaultWrong)):
            Memory.open(tmp_path / folder, vault=estate.vault, owner=alice.id, create=False)


def test_the_certificate_lists_what_stays_readable(house: House, tmp_path: Path) -> None:
    """Exports by form and recipient, a snapshot under the destroyed key, the ingested files."""
    alice, _ = house.join("alice", 0)
    estate = house.estate("alice")
    identity = create_identity()
    with estate.opened(house.seat(alice)) as memory:
        memory.export(tmp_path / "plain.jsonl")
        memory.export(tmp_path / "sealed.jsonl", to=identity.recipient)
        memory.export(tmp_path / "archive.tar", format="archive")
    body = erase(estate)["certificate"]
    told = {(each["what"], each["where"]): each["readable"] for each in body["elsewhere"]}
    assert told["jsonl", str(tmp_path / "plain.jsonl")] == "by anyone who has it"
    assert told["jsonl", str(tmp_path / "sealed.jsonl")] == "by the recipient"
    assert told["archive", str(tmp_path / "archive.tar")].startswith("by nobody")
    assert told["ingested files", "notes"] == "by anyone who has it"
    assert [each["sealed_for"] for each in body["elsewhere"] if "sealed_for" in each] == [
        identity.recipient.fingerprint.hex()
    ]


def test_a_changed_certificate_proves_nothing(house: House) -> None:
    """Whatever member is changed, and a proof of another event."""
    house.join("alice", 0)
    house.join("bob", 500)
    estate = house.estate("alice")
    document = erase(estate)
    verified(estate, document)
    for name in document["certificate"]:
        changed = {**document, "certificate": {**document["certificate"], name: "other"}}
        with pytest.raises(AuditDamaged):
            verified(estate, changed)
    other = erase(house.estate("bob"))
    with pytest.raises(AuditDamaged):
        verified(estate, {**document, "proof": other["proof"]})
    for bad in ({}, {"certificate": 1, "proof": ""}, {**document, "proof": document["proof"][:-40]}):
        with pytest.raises(AuditDamaged):
            verified(estate, bad)


def test_the_same_erasure_gives_the_same_certificate_until_it_is_settled(house: House) -> None:
    """A certificate that was not handed over is not lost."""
    house.join("alice", 0)
    estate = house.estate("alice")
    first = erase(estate)
    again = erase(house.estate("alice"))
    assert again["certificate"] == first["certificate"]
    settle(house.estate("alice"))
    with pytest.raises(NothingHeld):
        erase(house.estate("alice"))


def test_somebody_elses_memory_and_other_folders_are_refused(house: House, tmp_path: Path) -> None:
    """Nothing is destroyed where a folder is not the owner's."""
    from dataclasses import replace

    house.join("alice", 0)
    bob, _ = house.join("bob", 500)
    estate = house.estate("alice")
    with pytest.raises(VaultWrong):
        erase(replace(estate, memories=(*estate.memories, house.seat(bob))))
    (tmp_path / "photos").mkdir()
    with pytest.raises(InvalidInput):
        erase(replace(estate, memories=(tmp_path / "photos",)))
    assert (tmp_path / "photos").is_dir() and house.seat(bob).is_dir()
    assert estate.has_data_key() and not Erasures(estate.disk, estate.folder).all()


def test_a_plain_memory_that_is_open_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has it open could write texts again: the erasure stops and goes on when it is closed."""
    monkeypatch.setattr("carma.compliance.erasure._WAIT_S", 0.2)
    alice, said = house.join("alice-the-first", 0, plain=True)
    with Memory.open(house.seat(alice), embedder=HashEmbedder()), pytest.raises(ErasureUnfinished):
        erase(house.estate("alice-the-first", plain=True))
    estate = house.estate("alice-the-first", plain=True)
    verified(estate, erase(estate))
    settle(estate)
    assert_gone(house, "alice-the-first", alice.id, said)


def test_a_memory_that_cannot_be_read_is_erased_all_the_same(house: House) -> None:
    """After the data key was shredded by hand, the rest can still go; the certificate says why it was not
    looked at.
    """
    alice, _ = house.join("alice", 0)
    estate = house.estate("alice")
    estate.vault.shred(alice.id)  # type: ignore[union-attr]
    body = verified(estate, erase(house.estate("alice")))
    assert body["memories"][0]["unread"] == "shredded"
    assert body["data_key"] is not None and not house.seat(alice).exists()


def test_what_a_hold_keeps_is_not_erased(house: House) -> None:
    """Nothing at all is touched, until the hold is gone."""
    from carma.compliance.rules import Hold, Rules

    alice, _ = house.join("alice", 0)
    rules = Rules(holds=(Hold(name="case", where={"at": 5}),))
    with pytest.raises(OnHold, match="case"):
        erase(house.estate("alice"), rules=rules)
    estate = house.estate("alice")
    assert estate.account is not None and not estate.account["leaving"] and estate.has_data_key()
    assert not Erasures(estate.disk, estate.folder).all()
    other = Rules(holds=(Hold(name="case", where={"at": 500}),))
    verified(estate, erase(estate, rules=other))
    assert not house.seat(alice).exists()


def test_errors_are_ours(house: House) -> None:
    """Whoever is not known is said not to be."""
    with pytest.raises(CarmaError):
        erase(house.estate("nobody"))
