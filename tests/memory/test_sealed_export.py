"""Exports for a recipient: who has the identity imports them, and a changed file gives nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from carma import Memory
from carma.access.vault.recipients import create_identity
from carma.errors import IdentityWrong, InvalidInput, SealedDamaged, SealedTruncated
from carma.testing import HashEmbedder

IDENTITY = create_identity()
TEXTS = [f"the {number}th thing that was said in confidence" for number in range(1_200)]


def _memory(path: Path) -> Memory:
    return Memory.open(path, embedder=HashEmbedder())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with _memory(tmp_path / "source") as memory:
        memory.add_many(TEXTS)
    return tmp_path / "source"


@pytest.mark.parametrize("format", ["jsonl", "archive"])
def test_a_sealed_export_is_imported_by_who_has_the_identity(
    source: Path, tmp_path: Path, format: str
) -> None:
    """Both formats; the file shows no text, and everything arrives."""
    with _memory(source) as memory:
        memory.export(tmp_path / "out", format=format, to=IDENTITY.recipient)
    assert b"confidence" not in (tmp_path / "out").read_bytes()
    assert not (tmp_path / "out.part").exists()
    with _memory(tmp_path / "target") as memory:
        assert memory.import_(tmp_path / "out", identity=IDENTITY)["imported"] == len(TEXTS)
        assert memory.count() == len(TEXTS)


@pytest.mark.parametrize("format", ["jsonl", "archive"])
def test_nothing_of_a_damaged_sealed_export_is_taken_in(source: Path, tmp_path: Path, format: str) -> None:
    """Cut, or changed in its last piece: refused before the first fragment."""
    with _memory(source) as memory:
        memory.export(tmp_path / "out", format=format, to=IDENTITY.recipient)
    whole = (tmp_path / "out").read_bytes()
    assert len(whole) > 3 * 64 * 2**10
    cut, changed = tmp_path / "cut", tmp_path / "changed"
    cut.write_bytes(whole[:-1])
    changed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with _memory(tmp_path / "target") as memory:
        with pytest.raises(SealedTruncated):
            memory.import_(cut, identity=IDENTITY)
        with pytest.raises(SealedDamaged):
            memory.import_(changed, identity=IDENTITY)
        with pytest.raises(IdentityWrong):
            memory.import_(tmp_path / "out", identity=create_identity())
        with pytest.raises(InvalidInput, match="sealed"):
            memory.import_(tmp_path / "out")
        assert memory.count() == 0


def test_an_identity_is_for_sealed_files_only(source: Path, tmp_path: Path) -> None:
    """An open export with an identity is refused, because somebody expected a sealed one."""
    with _memory(source) as memory:
        memory.export(tmp_path / "out")
        with pytest.raises(InvalidInput, match="not sealed"):
            memory.import_(tmp_path / "out", identity=IDENTITY)
