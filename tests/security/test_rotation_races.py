"""A process that was started before a rotation never wraps its first secret by the key that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from carma.access.data import DataFolder, Unlocked, unlock
from carma.access.rewrapping import rewraps_of
from carma.access.vault.kek import KekPlace, KeyEncryptionKey
from carma.access.vault.rotation import rotate_key_file
from carma.errors import KekWrong
from carma.serve.household import open_household


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data directory in which nothing was written yet."""
    return DataFolder(tmp_path / "data")


def _unlock(folder: DataFolder) -> Unlocked:
    return unlock(folder, {"CARMA_KEK_FILE": str(folder.root.parent / "config" / "kek")})


def _rotate(folder: DataFolder) -> None:
    unlocked = _unlock(folder)
    assert isinstance(unlocked.source, KekPlace)
    rotate_key_file(unlocked.source, rewraps_of(unlocked), lambda code: None)


def test_the_first_secrets_after_a_rotation_are_wrapped_by_the_key_of_now(folder: DataFolder) -> None:
    """While nothing is stored nothing says which key is right; what an old process then makes opens for
    whoever starts later: the data key, the root key, and the key for sealed bodies.
    """
    running = _unlock(folder)
    idle = open_household(running)
    _rotate(folder)
    assert idle.vault is not None
    data_key = idle.vault.cipher("ada").key_id
    key, stored = idle.keys.create("ada", "rw")
    idle.close()
    later = open_household(_unlock(folder))
    assert later.vault is not None
    assert later.vault.cipher("ada", create=False).key_id == data_key
    assert later.keys.is_true(key) and later.keys.get(stored.name) == stored
    assert later.sealing.public.text == idle.sealing.public.text
    later.close()


def test_a_process_that_opens_a_server_with_the_key_of_before_finds_the_key_of_now(
    folder: DataFolder,
) -> None:
    """Between its look at the key's file and its first secret somebody rotated."""
    early = _unlock(folder)
    _rotate(folder)
    vault = early.vault()
    made = vault.cipher("ada").key_id
    assert _unlock(folder).vault().cipher("ada", create=False).key_id == made


def test_what_appears_while_a_rotation_is_under_way_is_wrapped_by_the_successor(folder: DataFolder) -> None:
    """A part that was not there when the rotation was planned is looked for again when its turn comes."""
    unlocked = _unlock(folder)
    assert isinstance(unlocked.source, KekPlace)
    planned = rewraps_of(unlocked)
    made: list[bytes] = []

    def meanwhile(new: KeyEncryptionKey) -> int:
        made.append(unlocked.vault().cipher("ada").key_id)
        return 0

    rotate_key_file(unlocked.source, [meanwhile, *planned], lambda code: None)
    later = _unlock(folder)
    assert not later.kek.knows(unlocked.kek.key_id)
    assert later.vault().cipher("ada", create=False).key_id == made[0]


def test_without_a_way_to_ask_anew_a_vault_keeps_to_the_key_it_was_given(folder: DataFolder) -> None:
    """Then it is the caller's to know which key is right; another one is refused."""
    unlocked = _unlock(folder)
    fixed = Unlocked(folder, unlocked.disk, unlocked.source, unlocked.kek, None, lambda: unlocked.kek)
    fixed.vault().cipher("ada")
    _rotate(folder)
    with pytest.raises(KekWrong):
        fixed.vault().cipher("ada")
