"""A rotation goes through everything that a data directory holds: nothing wrapped is left behind."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from carma.access.data import DataFolder, Unlocked, unlock
from carma.access.keys.text import RootKey
from carma.access.rewrapping import rewraps_of
from carma.access.vault.kek import KekPlace
from carma.access.vault.rotation import rotate_key_file
from carma.errors import KekMissing, KekWrong
from carma.ports.disk import LocalDisk
from carma.serve.household import Household, open_household


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def _unlock(folder: DataFolder, create: bool = True) -> Unlocked:
    """The data directory as a process finds it that starts now."""
    place = {"CARMA_KEK_FILE": str(folder.root.parent / "config" / "kek")}
    return unlock(folder, place, create=create)


def _secrets(household: Household, key: str) -> list[object]:
    """Something of every secret that the directory keeps wrapped."""
    assert household.vault is not None
    keys = household.keys
    return [
        household.vault.cipher("ada").key_id, keys.unwrap(keys.get(key)), household.sealing.public.text,
        household.trail.log.signer.verifiers()[0].vkey,
    ]  # fmt: skip


def test_after_a_rotation_everything_of_a_server_opens_and_only_by_the_new_key(folder: DataFolder) -> None:
    """Data keys, root keys, the key for sealed bodies, the keys that sign the audit log."""
    first = open_household(_unlock(folder))
    key, stored = first.keys.create("ada", "rw")
    assert isinstance(key, RootKey)
    before = _secrets(first, stored.name)
    first.close()
    unlocked = _unlock(folder)
    assert isinstance(unlocked.source, KekPlace)
    old = unlocked.kek
    new, count = rotate_key_file(unlocked.source, rewraps_of(unlocked), lambda code: None)
    assert count >= 4
    second = open_household(_unlock(folder, create=False))
    assert not second.unlocked.kek.knows(old.key_id)
    assert second.unlocked.kek.key_id == new.key_id
    assert _secrets(second, stored.name) == before
    second.close()
    old_way = Unlocked(folder, unlocked.disk, unlocked.source, old, None, lambda: old)
    with pytest.raises(KekWrong):
        _secrets(open_household(old_way), stored.name)


def test_no_wrapped_byte_of_before_is_left_in_the_directory(folder: DataFolder) -> None:
    """The old key's id stands in front of all that it wrapped, as bytes or in base64; then nowhere."""
    first = open_household(_unlock(folder))
    first.keys.create("ada", "rw")
    assert first.vault is not None
    first.vault.cipher("ada")
    first.close()
    unlocked = _unlock(folder)
    assert any(base64.b64encode(unlocked.kek.key_id)[:8] in path.read_bytes()
               for path in folder.root.rglob("signing-key"))  # fmt: skip
    assert isinstance(unlocked.source, KekPlace)
    rotate_key_file(unlocked.source, rewraps_of(unlocked), lambda code: None)
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    assert len(files) > 12
    id = unlocked.kek.key_id
    for path in files:
        data = path.read_bytes()
        assert id not in data and base64.b64encode(id)[:8] not in data, path


def test_without_its_key_a_directory_of_a_server_gets_no_other_one(folder: DataFolder) -> None:
    """A missing file is refused as soon as anything is wrapped, also by who may make keys."""
    assert not folder.holds_secrets(LocalDisk())
    unlocked = _unlock(folder)
    assert unlocked.recovery_code is not None
    open_household(unlocked).close()
    assert folder.holds_secrets(LocalDisk())
    assert isinstance(unlocked.source, KekPlace)
    unlocked.source.path.unlink()
    with pytest.raises(KekMissing):
        _unlock(folder)
