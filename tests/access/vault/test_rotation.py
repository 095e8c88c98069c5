"""The key-encryption key is exchanged, and whoever is killed on the way leaves everything readable."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from carma.access.journal import Journal
from carma.access.vault.kek import KekPlace, KeyEncryptionKey, create_kek, load_kek, recover_kek
from carma.access.vault.rotation import rotate_key_file
from carma.access.vault.vault import Vault
from carma.ports.disk import LocalDisk

OWNERS = [f"owner {number}" for number in range(20)]


class Killed(BaseException):
    """The process died here."""


@pytest.fixture
def place(tmp_path: Path) -> KekPlace:
    return KekPlace(path=tmp_path / "config" / "kek", outside=(tmp_path / "data",))


def _vault(place: KekPlace, name: str = "vault") -> Vault:
    """The vault as a process finds it that starts now."""
    folder = place.outside[0] / name
    folder.parent.mkdir(exist_ok=True)
    return Vault(Journal(LocalDisk(), str(folder)), load_kek(place), reload=lambda: load_kek(place))


def _filled(place: KekPlace, name: str = "vault") -> dict[str, bytes]:
    vault = _vault(place, name)
    return {owner: vault.cipher(owner).key_id for owner in OWNERS}


def _all_there(place: KekPlace, before: dict[str, bytes], name: str = "vault") -> bool:
    vault = _vault(place, name)
    return {owner: vault.cipher(owner, create=False).key_id for owner in OWNERS} == before


def test_after_a_rotation_only_the_new_key_opens_anything(place: KekPlace) -> None:
    """Both journals are wrapped anew, the code recovers the new key, and nothing is left of the old file."""
    old = create_kek(place)[0]
    before = {name: _filled(place, name) for name in ("vault", "keys")}
    told: list[str] = []
    new, count = rotate_key_file(place, [_vault(place, name).rotate_kek for name in before], told.append)
    assert count == 2 * len(OWNERS)
    assert [path.name for path in place.path.parent.iterdir()] == ["kek"]
    assert load_kek(place).key_id == new.key_id != old.key_id
    assert not load_kek(place).knows(old.key_id)
    assert all(_all_there(place, before[name], name) for name in before)
    place.path.unlink()
    assert recover_kek(place, told[0]).key_id == new.key_id


@pytest.mark.parametrize("dies_at", ["tell", "first", "between", "last"])
def test_a_rotation_that_was_cut_off_is_finished_by_the_next(place: KekPlace, dies_at: str) -> None:
    """Meanwhile everybody reads and writes; the next rotation goes on to the same new key."""
    create_kek(place)
    before = {name: _filled(place, name) for name in ("vault", "keys")}
    codes: list[str] = []

    def dying(name: str, at: str) -> Callable[[KeyEncryptionKey], int]:
        def rewrap(new: KeyEncryptionKey) -> int:
            if dies_at == at:
                raise Killed
            return _vault(place, name).rotate_kek(new)

        return rewrap

    def tell(code: str) -> None:
        codes.append(code)
        if dies_at == "tell":
            raise Killed

    def last(new: KeyEncryptionKey) -> int:
        raise Killed

    with pytest.raises(Killed):
        rotate_key_file(place, [dying("vault", "first"), dying("keys", "between"), last], tell)
    for name in before:
        assert _all_there(place, before[name], name)
        before[name]["late"] = _vault(place, name).cipher("late").key_id
    new, count = rotate_key_file(place, [_vault(place, name).rotate_kek for name in before], codes.append)
    assert codes[0] == codes[1]
    assert count == 2 * len(OWNERS) + 2
    assert load_kek(place).key_id == new.key_id
    for name, keys in before.items():
        vault = _vault(place, name)
        assert {owner: vault.cipher(owner, create=False).key_id for owner in keys} == keys


def test_the_last_steps_with_the_files_can_be_cut_off_too(place: KekPlace) -> None:
    """The old key's second name stays behind a kill in the last moment; the next rotation removes it."""
    create_kek(place)
    before = _filled(place)
    left_over = place.path.with_name("kek.old")
    left_over.write_bytes(place.path.read_bytes())
    rotate_key_file(place, [_vault(place).rotate_kek], lambda code: None)
    assert not left_over.exists()
    assert _all_there(place, before)


PROGRAM = """
import sys
from pathlib import Path
from carma.access.journal import Journal
from carma.access.vault.kek import KekPlace, load_kek
from carma.access.vault.rotation import rotate_key_file
from carma.access.vault.vault import Vault
from carma.ports.disk import LocalDisk

place = KekPlace(path=Path(sys.argv[1]))
print("ready", flush=True)
while True:
    vault = Vault(Journal(LocalDisk(), sys.argv[2]), load_kek(place))
    rotate_key_file(place, [vault.rotate_kek], lambda code: None)
"""


def test_a_process_that_rotates_on_and_on_may_be_killed_at_any_moment(place: KekPlace) -> None:
    """After each SIGKILL every key opens, and one more rotation finishes what was begun."""
    create_kek(place)
    before = _filled(place)
    chance = random.Random(4)
    for _ in range(6):
        arguments = [sys.executable, "-c", PROGRAM, str(place.path), str(place.outside[0] / "vault")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() * 0.1)
            process.kill()
        assert _all_there(place, before)
    rotate_key_file(place, [_vault(place).rotate_kek], lambda code: None)
    assert _all_there(place, before)
    assert _vault(place).check() == []
