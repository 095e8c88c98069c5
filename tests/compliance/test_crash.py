"""An erasure dies at every single call of the disk, and by power loss: the next call ends it, once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from carma.access.audit.trail import AuditTrail, log_folder, published_keys
from carma.access.data import DataFolder
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.compliance.begun import Erasures
from carma.compliance.certificate import check_certificate
from carma.compliance.erasure import erase, settle
from carma.compliance.estate import Estate
from carma.errors import AuditDamaged, NothingHeld, OwnerNotFound
from carma.ports.cipher import Cipher
from carma.serve.accounts import Account, Accounts
from carma.testing import Crash, SeededEntropy, SimulatedClock, SimulatedCrash, SimulatedDisk

ROOT = "/data"
FOLDER = DataFolder(Path(ROOT))
KEK = KeyEncryptionKey(bytes(range(32)))
STRIDE = 43
"""Every so many calls in a normal run, from another beginning in each test; all of them nightly."""


def _estate(disk: SimulatedDisk, seed: int = 1) -> Estate:
    clock, entropy = SimulatedClock(), SeededEntropy(seed)
    vault = Vault(Journal(disk, FOLDER.vault, clock=clock), KEK, clock=clock, entropy=entropy)

    def cipher_of(owner: str) -> Cipher | None:
        try:
            return vault.cipher(owner, create=False)
        except OwnerNotFound:
            return None

    trail = AuditTrail(FOLDER.audit, disk=disk, clock=clock, entropy=entropy, kek=KEK, cipher_of=cipher_of)
    accounts = Accounts(disk, FOLDER.accounts, clock=clock, entropy=entropy)
    keys = KeyStore(Journal(disk, FOLDER.keys, clock=clock), KEK, clock=clock, entropy=entropy)
    alice = next((each for each in accounts.all() if each.name == "alice"), None)
    return Estate(
        owner=alice.id if alice is not None else "alice", folder=FOLDER, vault=vault, keys=keys, trail=trail,
        accounts=accounts, disk=disk, account=alice.to_dict() if alice is not None else None,
    )  # fmt: skip


def _lived(disk: SimulatedDisk) -> Account:
    """Two users with data keys and keys."""
    disk.mkdir(ROOT)
    disk.sync_dir("/")
    estate = _estate(disk, seed=2)
    assert isinstance(estate.accounts, Accounts) and estate.vault is not None and estate.keys is not None
    for name in ("alice", "bob"):
        account = estate.accounts.add(name)
        estate.vault.cipher(account.id)
        estate.keys.create(account.id, "rw")
    estate.copy_waiting()
    return next(each for each in estate.accounts.all() if each.name == "alice")


def _erased(disk: SimulatedDisk, seed: int = 1) -> dict[str, Any]:
    return erase(_estate(disk, seed), clock=SimulatedClock())


def _assert_over(disk: SimulatedDisk, alice: Account, document: dict[str, Any]) -> None:
    """Alice is in no file, Bob has everything, the certificate verifies, and each event was logged once."""
    keys = published_keys(disk, log_folder(FOLDER.audit))
    body, _ = check_certificate(json.dumps(document).encode(), keys)
    assert body["owner"] == alice.id and body["data_key"] is not None and len(body["keys"]) == 1
    settle(_estate(disk))
    estate = _estate(disk)
    assert isinstance(estate.accounts, Accounts) and estate.vault is not None and estate.keys is not None
    assert [each.name for each in estate.accounts.all()] == ["bob"]
    bob = estate.accounts.all()[0].id
    assert estate.vault.owners() == [bob] and {each.owner for each in estate.keys.keys().values()} == {bob}
    for word in (b"alice", alice.id.encode()):
        assert [path for path in disk.paths() if word in disk.contents(path)] == []
    assert estate.trail is not None
    entries = b"".join(entry for _, entry in estate.trail.log.reader().entries())
    assert all(entries.count(event.encode()) == 1 for event in body["events"].values())
    assert not Erasures(disk, FOLDER).all()


def _dies(step: int, first: int, *, power: bool) -> int:
    """How many calls an erasure makes; it died at each `step`th of them from `first` on, and was ended."""
    template = SimulatedDisk()
    alice = _lived(template)
    whole = template.copy()
    before = whole.calls
    _assert_over(whole, alice, _erased(whole))
    ran = len(whole.log[before:])
    for number in range(first, ran + 1, step):
        disk = template.copy()
        disk.faults = [Crash(at=disk.calls + number, when="middle")]
        document = None
        with suppress(SimulatedCrash):
            document = _erased(disk)
        if power:
            disk = disk.power_loss(number)
        disk.restart()
        if document is None:
            document = _again(disk, alice, number)
        _assert_over(disk, alice, document)
    return ran


def _again(disk: SimulatedDisk, alice: Account, number: int) -> dict[str, Any]:
    """The erasure, by whichever name is still known."""
    try:
        return _erased(disk, seed=number + 10)
    except NothingHeld:
        raise AssertionError(f"died at call {number}: nothing is held, and there is no certificate") from None


def test_a_process_that_dies_at_a_call_is_gone_on_with() -> None:
    """Whatever was written stays in the page cache."""
    assert _dies(STRIDE, 1, power=False) > 200


def test_a_power_loss_at_a_call_is_gone_on_with() -> None:
    """What was not synced may be lost; what was destroyed stays destroyed."""
    _dies(STRIDE, 4, power=True)


@pytest.mark.nightly
@pytest.mark.parametrize("power", [False, True])
def test_death_at_every_call_is_gone_on_with(power: bool) -> None:
    """All of them."""
    _dies(1, 1, power=power)


def test_a_certificate_of_another_log_proves_nothing() -> None:
    """The keys of a log that was made elsewhere did not sign it."""
    disk, fresh = SimulatedDisk(), SimulatedDisk()
    _lived(disk)
    document = _erased(disk)
    fresh.mkdir(ROOT)
    AuditTrail(FOLDER.audit, disk=fresh, clock=SimulatedClock(), entropy=SeededEntropy(77), kek=KEK).close()
    with pytest.raises(AuditDamaged):
        check_certificate(document, published_keys(fresh, log_folder(FOLDER.audit)))
