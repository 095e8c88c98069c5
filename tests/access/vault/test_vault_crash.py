"""The vault dies at every single call of the disk, and by power loss: nobody's key is lost or comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.errors import CarmaError, KekWrong, OwnerNotFound, Shredded, StorageError
from carma.testing import Crash, Refuse, SeededEntropy, SimulatedClock, SimulatedCrash, SimulatedDisk

OLD, NEW = KeyEncryptionKey(b"\x01" * 32), KeyEncryptionKey(b"\x02" * 32)
Change = Callable[[Vault], object]

CHANGES: dict[str, Change] = {
    "first key": lambda vault: vault.cipher("ada"),
    "another key": lambda vault: vault.cipher("new"),
    "rotation": lambda vault: vault.rotate_kek(NEW),
    "shredding": lambda vault: vault.shred("bob"),
    "coming back": lambda vault: vault.readmit("gone"),
}


def _vault(disk: SimulatedDisk, kek: KeyEncryptionKey = OLD) -> Vault:
    clock = SimulatedClock()
    return Vault(Journal(disk, "/vault", clock=clock), kek, clock=clock, entropy=SeededEntropy(1))


def _prepared(change: str) -> tuple[SimulatedDisk, dict[str, bytes]]:
    """A disk on which the change can be made, and the key ids of the owners there."""
    disk = SimulatedDisk()
    disk.mkdir("/vault")
    disk.sync_dir("/")
    if change == "first key":
        return disk, {}
    vault = _vault(disk)
    owners = {owner: vault.cipher(owner).key_id for owner in ("ada", "bob", "gone")}
    vault.shred("gone")
    return disk, owners


def _calls(change: str) -> list[str]:
    """What the change calls the disk for, in order."""
    disk, _ = _prepared(change)
    before = disk.calls
    CHANGES[change](_vault(disk))
    return [action for action, _ in disk.log[before:]]


def _survivors(disk: SimulatedDisk, seed: int) -> Iterator[SimulatedDisk]:
    """What the next process may find: the page cache, or what a power loss left."""
    dead = disk.copy()
    dead.restart()
    yield dead
    yield disk.power_loss(seed)


def _opened(disk: SimulatedDisk) -> tuple[Vault, KeyEncryptionKey]:
    """The vault under whichever of the two keys wraps it."""
    for kek in (OLD, NEW):
        vault = _vault(disk, kek)
        try:
            vault.owners()
        except KekWrong:
            continue
        return vault, kek
    raise AssertionError("neither key opens the vault")


def _holds(change: str, vault: Vault, kek: KeyEncryptionKey, before: dict[str, bytes]) -> bool:
    """Whether the change happened. Asserts that nothing else did."""
    happened = {
        "first key": lambda: vault.owners() == ["ada"],
        "another key": lambda: "new" in vault.owners(),
        "rotation": lambda: kek is NEW,
        "shredding": lambda: vault.shredding("bob") is not None,
        "coming back": lambda: "gone" in vault.owners(),
    }[change]()
    for owner, key_id in before.items():
        if owner == "gone" or (owner == "bob" and change == "shredding" and happened):
            if not (change == "coming back" and happened):
                with pytest.raises(Shredded):
                    vault.cipher(owner)
            continue
        assert vault.cipher(owner, create=False).key_id == key_id
    known = {*before, "ada", "new"} if happened else set(before)
    assert set(vault.owners()) <= known
    vault.check()  # Mends what the crash left.
    assert vault.check() == []
    return bool(happened)


@pytest.mark.parametrize("change", CHANGES)
def test_a_process_that_dies_at_any_call_leaves_all_or_nothing_of_a_change(change: str) -> None:
    """Before each call, and in the middle of each write; then the change can be repeated."""
    for number, action in enumerate(_calls(change), 1):
        for when in ("before", "middle") if action == "write" else ("before",):
            disk, before = _prepared(change)
            disk.faults = [Crash(at=disk.calls + number, when=when)]  # type: ignore[arg-type]
            with pytest.raises(SimulatedCrash):
                CHANGES[change](_vault(disk))
            for found in _survivors(disk, seed=number):
                vault, kek = _opened(found)
                if not _holds(change, vault, kek, before):
                    CHANGES[change](vault)
                    again, kek = _opened(found)
                    assert _holds(change, again, kek, before)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_was_acknowledged_outlives_a_power_loss(change: str) -> None:
    """When the call has returned, no power loss takes it back."""
    disk, before = _prepared(change)
    CHANGES[change](_vault(disk))
    for seed in range(10):
        vault, kek = _opened(disk.power_loss(seed))
        assert _holds(change, vault, kek, before)


@pytest.mark.parametrize("reason", ["full", "io"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_disk_that_refuses_at_any_call_loses_nothing(change: str, reason: str) -> None:
    """After the error the change was made or not, nothing else is different, and it can be repeated."""
    for number, action in enumerate(_calls(change), 1):
        if reason == "full" and action not in ("write", "create", "sync"):
            continue
        disk, before = _prepared(change)
        vault, kek = _vault(disk), OLD
        disk.faults = [Refuse(at=disk.calls + number, reason=reason)]  # type: ignore[arg-type]
        with suppress(StorageError):
            CHANGES[change](vault)
        disk.faults = []
        if change == "rotation":
            vault, kek = _opened(disk)
        if not _holds(change, vault, kek, before):
            CHANGES[change](vault)
            assert _holds(change, *_opened(disk), before)


def test_shredding_twice_and_unknown_owners_survive_a_crash_too() -> None:
    """A crash while shredding can be repeated until it is done; the second answer is the first one."""
    disk, _ = _prepared("shredding")
    done = _vault(disk).shred("bob")
    assert _vault(disk).shred("bob") == done
    with pytest.raises(OwnerNotFound):
        _vault(disk).shred("nobody")
    with pytest.raises(CarmaError):
        _vault(disk).cipher("bob")
