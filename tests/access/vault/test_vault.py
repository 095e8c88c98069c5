"""The vault: one key per owner, for all processes the same; rotation, shredding, and what it never shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.journal import Journal
from carma.access.vault.entries import Entry, Opening, Shredding, parse, to_bytes
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.nonces import HALF_BYTES
from carma.access.vault.vault import Vault
from carma.errors import (
    CarmaError,
    FormatTooNew,
    InvalidInput,
    KekWrong,
    OwnerNotFound,
    Shredded,
    VaultKeyWrong,
)
from carma.ports.cipher import CipherDamaged
from carma.ports.disk import LocalDisk
from carma.testing import SimulatedClock

OpenVault = Callable[..., Vault]
OTHER = KeyEncryptionKey(b"\x07" * 32)


def _files(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((tmp_path / "vault").rglob("*")) if path.is_file()]


def test_an_owner_has_one_key_in_every_process_and_after_every_opening(open_vault: OpenVault) -> None:
    """What one vault object seals, another and a later one open; another owner's cipher does not."""
    first, second = open_vault(), open_vault()
    sealed = first.cipher("ada").seal(b"text", b"here")
    assert second.cipher("ada").open(sealed, b"here") == b"text"
    assert open_vault().cipher("ada", create=False).open(sealed, b"here") == b"text"
    with pytest.raises(CipherDamaged):
        second.cipher("bob").open(sealed, b"here")
    assert first.owners() == second.owners() == ["ada", "bob"]


def test_no_key_is_made_unless_asked(open_vault: OpenVault, tmp_path: Path) -> None:
    """An unknown owner is OwnerNotFound, and looking writes nothing."""
    vault = open_vault()
    with pytest.raises(OwnerNotFound):
        vault.cipher("ada", create=False)
    assert vault.owners() == []
    assert vault.shredding("ada") is None
    assert not (tmp_path / "vault").exists()


@pytest.mark.parametrize("name", ["", "x" * 1_025, "\ud800"])
def test_a_name_that_cannot_be_an_owners_is_refused(open_vault: OpenVault, name: str) -> None:
    """Empty, too long, or not text."""
    with pytest.raises(InvalidInput):
        open_vault().cipher(name)


def test_the_journal_shows_neither_names_nor_keys(open_vault: OpenVault, tmp_path: Path) -> None:
    """No file of the vault holds an owner's name, a data key, or anything that unlocks without the kek."""
    vault = open_vault()
    cipher = vault.cipher("ada.lovelace@example.org")
    for data in _files(tmp_path):
        assert b"lovelace" not in data
        assert cipher._key not in data
        assert vault._secret not in data


def test_another_key_encryption_key_is_refused_and_changes_nothing(
    open_vault: OpenVault, tmp_path: Path
) -> None:
    """With a wrong key every call is KekWrong, again and again, and the files stay as they are."""
    open_vault().cipher("ada")
    before = _files(tmp_path)
    wrong = open_vault(OTHER)
    calls: list[Callable[[], object]] = [
        lambda: wrong.cipher("ada"), lambda: wrong.cipher("new"), wrong.owners, lambda: wrong.shred("ada"),
        lambda: wrong.shredding("ada"), wrong.check, lambda: wrong.rotate_kek(KeyEncryptionKey(bytes(32))),
        lambda: wrong.readmit("ada"),
    ]  # fmt: skip
    for call in calls * 2:
        with pytest.raises(KekWrong):
            call()
    assert _files(tmp_path) == before


def test_rotation_wraps_every_key_anew_and_changes_none(open_vault: OpenVault) -> None:
    """After it the new key opens what was sealed before, the old one opens nothing, nobody is lost."""
    vault = open_vault()
    owners = [f"owner {number}" for number in range(50)]
    sealed = {owner: vault.cipher(owner).seal(owner.encode(), b"") for owner in owners}
    vault.shred("owner 7")
    assert vault.rotate_kek(OTHER) == 49
    assert vault.rotate_kek(OTHER) == 49
    fresh = open_vault(OTHER)
    for owner in owners:
        if owner != "owner 7":
            assert fresh.cipher(owner, create=False).open(sealed[owner], b"") == owner.encode()
    with pytest.raises(Shredded):
        fresh.cipher("owner 7")
    with pytest.raises(KekWrong):
        open_vault().owners()
    assert vault.check() == fresh.check() == []


def test_a_process_that_missed_a_rotation_asks_for_the_new_key(
    open_vault: OpenVault, kek: KeyEncryptionKey
) -> None:
    """With `reload` it goes on; without, it is KekWrong and wraps nothing by the old key."""
    vault = open_vault()
    sealed = vault.cipher("ada").seal(b"text", b"")
    asks, stays = open_vault(reload=lambda: OTHER), open_vault()
    assert asks.owners() == stays.owners() == ["ada"]
    vault.rotate_kek(OTHER)
    assert asks.cipher("ada").open(sealed, b"") == b"text"
    asks.cipher("bob")
    assert open_vault(OTHER).owners() == ["ada", "bob"]
    with pytest.raises(KekWrong):
        stays.cipher("carol")
    assert open_vault(OTHER).check() == []


def test_shredding_leaves_no_byte_of_the_wrapped_key_in_any_file(
    open_vault: OpenVault, tmp_path: Path
) -> None:
    """After it no file holds 8 bytes in a row of the wrapped key; its id and commitment stay."""
    vault = open_vault(clock=SimulatedClock())
    for owner in ("ada", "bob"):
        vault.cipher(owner)
    entry = vault._entries[vault._tag("ada")]
    # Behind the kek's id and the half of the nonce, which others share.
    pieces = [entry.wrapped[at : at + 8] for at in range(8 + HALF_BYTES, len(entry.wrapped) - 8)]
    assert all(any(piece in data for data in _files(tmp_path)) for piece in pieces)
    done = vault.shred("ada")
    assert (done.key_id, done.commitment) == (entry.key_id, entry.commitment)
    for data in _files(tmp_path):
        assert not any(piece in data for piece in pieces)
        assert data == b"" or done.commitment in data or len(data) < 200


def test_a_shredded_owner_stays_shredded_for_everybody(open_vault: OpenVault) -> None:
    """Other open vaults notice at the next call; no new key is made by itself; again is the same answer."""
    vault, other = open_vault(), open_vault()
    old = vault.cipher("ada")
    other.cipher("ada")
    other.cipher("bob")
    done = vault.shred("ada")
    for each in (vault, other, open_vault()):
        for create in (True, False):
            with pytest.raises(Shredded):
                each.cipher("ada", create=create)
        assert each.shredding("ada") == done
        assert each.shred("ada") == done
        assert each.owners() == ["bob"]
    assert old.key_id == done.key_id


def test_a_shredded_owner_is_let_in_again_only_by_name(open_vault: OpenVault) -> None:
    """`readmit` gives a new key under which nothing of the old opens; for others it is OwnerNotFound."""
    vault = open_vault()
    old = vault.cipher("ada")
    sealed = old.seal(b"old", b"")
    with pytest.raises(OwnerNotFound):
        vault.readmit("ada")
    vault.shred("ada")
    new = vault.readmit("ada")
    with pytest.raises(CipherDamaged):
        new.open(sealed, b"")
    fresh = open_vault()
    assert fresh.cipher("ada").key_id == new.key_id != old.key_id
    assert fresh.shredding("ada") is None
    with pytest.raises(OwnerNotFound):
        fresh.readmit("ada")
    fresh.rotate_kek(OTHER)
    assert open_vault(OTHER).cipher("ada").key_id == new.key_id
    assert vault_shreds_again(open_vault(OTHER), new.key_id)


def vault_shreds_again(vault: Vault, key_id: bytes) -> bool:
    """Whether the owner who came back can be shredded like any other."""
    return vault.shred("ada").key_id == key_id and vault.owners() == []


def test_shredding_an_unknown_owner_is_told(open_vault: OpenVault) -> None:
    """Nothing is written for a name that has no key, in an empty vault and in one that is not."""
    vault = open_vault()
    for _ in range(2):
        with pytest.raises(OwnerNotFound):
            vault.shred("nobody")
        vault.cipher("ada")
    assert vault.owners() == ["ada"]


def test_three_of_four_files_may_be_lost(open_vault: OpenVault, tmp_path: Path) -> None:
    """Whichever copy is left, every key comes back from it."""
    key_id = open_vault().cipher("ada").key_id
    logs = sorted((tmp_path / "vault").glob("*.log"))
    assert len(logs) == 4
    for kept in logs:
        for log in logs:
            if log != kept:
                log.unlink()
        assert open_vault().cipher("ada", create=False).key_id == key_id


def test_a_record_that_is_lost_in_all_copies_is_told_and_never_replaced(
    open_vault: OpenVault, tmp_path: Path
) -> None:
    """Its owner gets no new key; the others go on; only who accepts the loss can rotate over it."""
    vault = open_vault()
    for owner in ("ada", "bob", "carol"):
        vault.cipher(owner)
    wrapped = vault._entries[vault._tag("bob")].wrapped
    for log in (tmp_path / "vault").glob("*.log"):
        log.write_bytes(log.read_bytes().replace(wrapped, bytes(len(wrapped))))
    hurt = open_vault()
    assert hurt.cipher("ada").key_id
    assert hurt.owners() == ["ada", "carol"]
    assert hurt.check()
    changes: list[Callable[[], object]] = [
        lambda: hurt.cipher("bob", create=False), lambda: hurt.cipher("bob"), lambda: hurt.cipher("new"),
        lambda: hurt.shred("ada"), lambda: hurt.rotate_kek(OTHER),
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(VaultKeyWrong):
            change()
    assert hurt.rotate_kek(OTHER, accept_loss=True) == 2
    assert hurt.cipher("bob").key_id
    assert hurt.check() == []


def test_a_wrapped_key_put_in_anothers_place_does_not_open(open_vault: OpenVault, tmp_path: Path) -> None:
    """A journal in which somebody exchanged two owners' wrapped keys gives neither of them a cipher."""
    vault = open_vault()
    for owner in ("ada", "bob"):
        vault.cipher(owner)
    ada, bob = (vault._entries[vault._tag(owner)] for owner in ("ada", "bob"))
    swapped = [Entry(ada.tag, ada.when, ada.key_id, ada.commitment, bob.wrapped),
               Entry(bob.tag, bob.when, ada.key_id, ada.commitment, ada.wrapped)]  # fmt: skip
    assert vault._opening is not None
    journal = Journal(LocalDisk(), str(tmp_path / "vault"))
    with journal.turn():
        journal.rewrite([to_bytes(each) for each in (vault._opening, *swapped)])
    tampered = open_vault()
    for owner in ("ada", "bob"):
        with pytest.raises(VaultKeyWrong):
            tampered.cipher(owner)
    assert len(tampered.check()) == 2


@given(st.binary(max_size=200))
def test_any_bytes_in_a_record_are_parsed_or_refused(data: bytes) -> None:
    """Whatever stands in a record, the answer is a record or FormatTooNew."""
    try:
        record = parse(data)
    except FormatTooNew:
        return
    assert isinstance(record, (Opening, Entry, Shredding))


def test_a_record_of_a_newer_carma_stops_everything(open_vault: OpenVault, tmp_path: Path) -> None:
    """A record that is not known is FormatTooNew at every call, so that nobody goes on without it."""
    open_vault().cipher("ada")
    journal = Journal(LocalDisk(), str(tmp_path / "vault"))
    with journal.turn():
        journal.append([b"\x93\xa3new\x01\x02"])
    vault = open_vault()
    for _ in range(3):
        with pytest.raises(CarmaError) as caught:
            vault.cipher("ada")
        assert type(caught.value) is FormatTooNew
