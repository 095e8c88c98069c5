"""A flipped bit anywhere in the vault's journal: nothing is lost, and no wrong key ever comes out of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from carma.access.journal import Journal
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.vault import Vault
from carma.errors import CarmaError, Shredded, VaultKeyWrong
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk

FOLDER = "/vault"
COPIES = [f"{FOLDER}/{number}.log" for number in range(4)]
KEK = KeyEncryptionKey(bytes(range(32)))


def opened(disk: SimulatedDisk) -> Vault:
    clock = SimulatedClock()
    return Vault(Journal(disk, FOLDER, clock=clock), KEK, clock=clock, entropy=SeededEntropy(1))


@pytest.fixture(scope="module")
def filled() -> tuple[SimulatedDisk, dict[str, bytes]]:
    """A vault with two owners and one who was shredded; the key ids of the two."""
    disk = SimulatedDisk()
    vault = opened(disk)
    for owner in ("ada", "gone", "bob"):
        vault.cipher(owner)
    vault.shred("gone")
    return disk, {owner: vault.cipher(owner).key_id for owner in ("ada", "bob")}


def flipped(disk: SimulatedDisk, paths: list[str], at: int) -> SimulatedDisk:
    """A copy of the disk with one bit of the byte flipped, in each of these files."""
    other = disk.copy()
    for path in paths:
        data = bytearray(disk.contents(path))
        data[at] ^= 1 << at % 8
        other.put(path, bytes(data))
    return other


def test_in_any_byte_of_one_file_it_costs_nothing_and_is_mended(
    filled: tuple[SimulatedDisk, dict[str, bytes]],
) -> None:
    """Every byte of every file, the one that counts records too: all keys are there, and no other."""
    disk, keys = filled
    for path in (*COPIES, f"{FOLDER}/newest"):
        whole = disk.contents(path)
        for at in range(len(whole)):
            other = flipped(disk, [path], at)
            vault = opened(other)
            assert vault.owners() == sorted(keys)
            assert {owner: vault.cipher(owner, create=False).key_id for owner in keys} == keys
            with pytest.raises(Shredded):
                vault.cipher("gone")
            assert other.contents(path) == whole


def test_in_the_same_byte_of_all_files_it_is_named_and_nothing_wrong_is_given(
    filled: tuple[SimulatedDisk, dict[str, bytes]],
) -> None:
    """No copy is left to mend by: the others' keys still open, and nobody gets a new key in the old one's
    place; who was shredded does not come back.
    """
    disk, keys = filled
    named = 0
    for at in range(len(disk.contents(COPIES[0]))):
        vault = opened(flipped(disk, COPIES, at))
        calls: list[Callable[[], object]] = [
            lambda vault=vault: vault.cipher("gone"), lambda vault=vault: vault.cipher("new"),
            lambda vault=vault: vault.shred("ada"),
        ]  # type: ignore[misc]  # fmt: skip
        for call in calls:
            with pytest.raises(CarmaError) as caught:
                call()
            named += isinstance(caught.value, VaultKeyWrong)
        for owner, key in keys.items():
            try:
                assert vault.cipher(owner).key_id == key
            except CarmaError:
                continue
        assert vault.owners() in (["ada"], ["bob"], ["ada", "bob"], [])
        assert vault.check()
    assert named > len(disk.contents(COPIES[0]))
