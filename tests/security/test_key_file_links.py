"""Two names of one key file: what is overwritten for good is never the key that is still needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from carma.access.vault import rotation
from carma.access.vault.kek import KekPlace, create_kek, load_kek


class Killed(BaseException):
    """The process ends here."""


def test_a_rotation_that_dies_twice_while_it_replaces_the_file_keeps_a_key_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first death the old key has two names; the second attempt takes one away and overwrites
    nothing, so wherever it dies, the file can be loaded and the successor stands beside it.
    """
    place = KekPlace(path=tmp_path / "kek")
    old, _ = create_kek(place)

    def die(*_: object) -> None:
        raise Killed

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", die)
            with pytest.raises(Killed):
                rotation.rotate_key_file(place, [], lambda code: None)
        assert place.path.stat().st_nlink == 2, "the key's file and its second name"
        assert load_kek(place).knows(old.key_id), "the old key still opens what it wrapped"
    new, _ = rotation.rotate_key_file(place, [], lambda code: None)
    assert load_kek(place).key_id == new.key_id and not load_kek(place).knows(old.key_id)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kek"]
