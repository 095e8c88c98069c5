"""Accounts: who has which seat, what joining and leaving leave behind, and what the next owner can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from carma.access.data import DataFolder, unlock
from carma.cli.app import app
from carma.errors import AccountExists, AccountNotFound, BlockFull, CarmaError, InvalidInput
from carma.memory.memory import Memory
from carma.serve.accounts import Accounts
from carma.serve.churn import Churn
from carma.serve.household import Household, open_household
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

SECRET = "Zanzibarian quartermasters whisper of Quoddamville"


def _household(folder: Path, *, encrypted: bool = True, seats: int = 60) -> Household:
    environ = {"CARMA_KEK_FILE": str(folder / "kek")}
    return open_household(unlock(DataFolder(folder / "data"), environ), encrypted=encrypted, seats=seats)


def _remember(household: Household, name: str, text: str) -> None:
    """Write into an account's seat as the server does."""
    account = household.accounts.find(name)
    owner = account.id if household.vault is not None else None
    folder = household.seats / account.folder
    with Memory.open(folder, embedder=HashEmbedder(64), vault=household.vault, owner=owner) as memory:
        memory.add(text, metadata={"text": text})
        memory.add_many(f"{text} {n}" for n in range(30))


def _files_with(folder: Path, *secrets: str) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


def _accounts(seats: int = 3) -> Accounts:
    return Accounts(
        SimulatedDisk(), "/accounts", seats=seats, clock=SimulatedClock(), entropy=SeededEntropy(1)
    )


def test_the_lowest_free_seat_is_given() -> None:
    """Seats are filled from 0; a freed one is given again, as the next generation."""
    accounts = _accounts()
    first, second = accounts.add("ada"), accounts.add("bob")
    assert [(each.seat, each.generation) for each in (first, second)] == [(0, 1), (1, 1)]
    accounts.begin_leaving(first.id)
    accounts.end_leaving(first.id)
    third = accounts.add("eve")
    assert (third.seat, third.generation, third.folder) == (0, 2, "0000-2")
    assert third.id != first.id and [each.name for each in accounts.all()] == ["eve", "bob"]


def test_a_block_has_so_many_seats_and_no_more() -> None:
    """The one too many is refused, and gets the seat that becomes free."""
    accounts = _accounts(seats=3)
    ids = [accounts.add(name).id for name in ("a", "b", "c")]
    with pytest.raises(BlockFull):
        accounts.add("d")
    accounts.begin_leaving(ids[1])
    with pytest.raises(BlockFull):
        accounts.add("d")  # Until it is destroyed, what is there belongs to somebody.
    accounts.end_leaving(ids[1])
    assert accounts.add("d").seat == 1


@pytest.mark.parametrize("name", ["", " ", "x" * 121, "a\nb", "\x1b[31m"])
def test_a_name_can_be_shown(name: str) -> None:
    """Empty, too long or unprintable names are refused; two accounts never have the same."""
    accounts = _accounts()
    with pytest.raises(InvalidInput):
        accounts.add(name)
    accounts.add("ada")
    with pytest.raises(AccountExists):
        accounts.add(" ada ")


def test_an_id_is_not_mistaken_for_a_name() -> None:
    """Somebody named like another's id is not removed in their place."""
    accounts = _accounts()
    first = accounts.add("ada")
    accounts.add(first.id)
    assert accounts.find(first.id).name == "ada"


@pytest.mark.parametrize("removed_by", ["an encrypted server", "a plain server", "the command line"])
def test_nothing_of_who_left_is_left(removed_by: str, tmp_path: Path) -> None:
    """No text, name, id or key of a removed account is in any file, and their folder is gone; those who
    stay have lost nothing. The command does not know whether the server encrypts its seats.
    """
    encrypted = removed_by == "an encrypted server"
    household = _household(tmp_path, encrypted=encrypted)
    churn = household.churn()
    gone, stays = churn.join(f"gone {SECRET}", "rwha"), churn.join("stays", "rwha", static=True)
    key = household.keys.create(gone.account.id, "r", kind="static")[0]
    _remember(household, gone.account.id, SECRET)
    _remember(household, "stays", "What stays.")
    if removed_by == "the command line":
        household.close()
        household = _household(tmp_path, encrypted=True)
    household.churn().leave(gone.account.name)
    household.close()
    secrets = (SECRET, gone.account.id, gone.key.name, key.name, gone.key.text[-49:])
    assert _files_with(tmp_path, *secrets) == []
    assert not (household.seats / gone.account.folder).exists()
    again = _household(tmp_path, encrypted=encrypted)
    assert [each.name for each in again.accounts.all()] == ["stays"]
    assert set(again.keys.keys()) == {stays.key.name}
    owner = stays.account.id if encrypted else None
    folder = again.seats / stays.account.folder
    with Memory.open(folder, embedder=HashEmbedder(64), vault=again.vault, owner=owner) as memory:
        assert memory.count() == 31 and memory.search("What stays", limit=1)[0].text == "What stays."
    again.close()


def test_a_stolen_copy_of_a_seat_is_unreadable_when_its_owner_has_left(tmp_path: Path) -> None:
    """The folder copied before, put where the next owner's memory lies, opens for nobody."""
    household = _household(tmp_path)
    churn = household.churn()
    first = churn.join("first", "rwha").account
    _remember(household, "first", SECRET)
    folder = household.seats / first.folder
    copy = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    churn.leave("first")
    second = churn.join("second", "rwha").account
    assert (second.seat, second.generation) == (first.seat, first.generation + 1)
    for name, data in copy.items():
        place = household.seats / second.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    for owner in (second.id, first.id):
        with pytest.raises(CarmaError):
            Memory.open(household.seats / second.folder, vault=household.vault, owner=owner)
    household.close()


@pytest.mark.parametrize(("step", "encrypted"), [*((step, True) for step in range(5)), (3, False)])
def test_a_removal_that_was_cut_off_is_finished(
    step: int, encrypted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two steps the account is admitted no more, its seat is not given away, and the next
    start destroys the rest.
    """
    household = _household(tmp_path, encrypted=encrypted)
    household.churn().join("stays", "r")
    account = household.churn().join("gone", "rwha").account
    _remember(household, "gone", SECRET)
    steps = [
        (household.keys, "revoke"), (household.keys, "forget"), (household.vault, "shred"),
        (Churn, "_erase"), (household.accounts, "end_leaving"),
    ]  # fmt: skip

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*steps[step], killed)
        with pytest.raises(KeyboardInterrupt):
            household.churn().leave("gone")
    household.close()
    again = _household(tmp_path)
    with pytest.raises(AccountNotFound):
        again.accounts.get(account.id)
    assert again.churn().join("next", "r").account.seat == 2
    assert again.churn().finish() == 1
    assert [each.name for each in again.accounts.all()] == ["stays", "next"]
    assert not (again.seats / account.folder).exists()
    assert all(key.owner != account.id for key in again.keys.keys().values())
    again.close()
    assert _files_with(tmp_path, SECRET, account.id) == []


def test_a_lost_journal_costs_nobody_their_memory(tmp_path: Path) -> None:
    """Where the accounts are gone, folders that no journal speaks of are not swept away."""
    household = _household(tmp_path)
    account = household.churn().join("ada", "r").account
    _remember(household, "ada", SECRET)
    household.close()
    for path in (tmp_path / "data" / "accounts").iterdir():
        path.unlink()
    again = _household(tmp_path)
    assert not again.accounts.had(account.folder)
    new = again.churn().join("bob", "r").account
    assert (new.seat, new.generation) == (0, 2), "the folder on the disk is not taken over"
    assert (again.seats / account.folder).exists()
    again.close()


def test_users_are_added_listed_and_removed(tmp_path: Path) -> None:
    """`carma users` does the same from the command line, and `keys create` knows the accounts by name."""

    def carma(*arguments: str) -> Any:
        environ = {"HOME": str(tmp_path), "CARMA_DATA": str(tmp_path / "data"), "XDG_CONFIG_HOME": None}
        done = CliRunner().invoke(app, [*arguments, "--json"], env=environ)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    added = carma("users", "add", "ada", "--static")
    assert str(added["key"]).startswith("carma_static_") and added["seat"] == 0
    assert len(str(added["server_key"])) == 1622 and added["server_key_fingerprint"]
    assert carma("keys", "create", "--user", "ada")["user"] == added["id"]
    (listed,) = carma("users", "list")["users"]
    assert (listed["name"], listed["id"]) == ("ada", added["id"])
    assert "key" not in listed
    assert carma("users", "remove", "ada")["removed"] is True
    assert carma("users", "list") == {"users": []}
    assert carma("keys", "list") == {"keys": []}
