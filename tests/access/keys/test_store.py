"""The key store keeps keys through crashes and rot, gives nothing away, and is the same for every process."""

from __future__ import annotations

import re
from dataclasses import replace

import msgpack
import pytest

from carma.access.frames import frames_in
from carma.access.journal import Journal
from carma.access.keys.record import StoredKey, StoreSecret
from carma.access.keys.store import KeyStore
from carma.access.keys.text import SECRET, RootKey, StaticKey
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import (
    CarmaError,
    FormatTooNew,
    InvalidInput,
    JournalDamaged,
    KekWrong,
    KeyNotFound,
    KeyStoreDamaged,
    RotationRefused,
)
from carma.testing import Crash, SimulatedClock, SimulatedCrash, SimulatedDisk

from .asking import FOLDER, KEK, NOW, key_store, root_key

OTHER_KEK = KeyEncryptionKey(bytes(32))
DAY_S = 86_400.0


def all_bytes(disk: SimulatedDisk) -> bytes:
    return b"".join(disk.contents(path) for path in disk.paths())


def states(store: KeyStore) -> dict[str, str]:
    return {name: key.state for name, key in store.keys().items()}


def test_a_key_is_stored_and_found_by_name_and_fingerprint(disk: SimulatedDisk, store: KeyStore) -> None:
    """By another process too, with everything but its text."""
    key, stored = store.create("ada", "wr", expires=NOW + DAY_S)
    other = key_store(disk)
    assert other.get(key.name) == other.get(key.fingerprint) == stored
    assert other.fingerprint(stored) == key.fingerprint
    assert (stored.owner, stored.permissions, stored.state, stored.expires) == (
        "ada", "rw", "active", NOW + DAY_S,
    )  # fmt: skip
    assert isinstance(key, RootKey) and other.unwrap(stored) == key.secret
    with pytest.raises(KeyNotFound):
        other.get("aaaaaaaa")


def test_nothing_stored_makes_a_key_again(disk: SimulatedDisk, store: KeyStore) -> None:
    """Neither a key nor its secret stands in any file, of root and static keys."""
    root, static = root_key(store), store.create("ada", "r", kind="static")[0]
    held = all_bytes(disk)
    for key in (root, static):
        assert key.text.encode() not in held
        assert key.text[-49:-6].encode() not in held
    assert not re.search(SECRET.encode(), held)
    assert store.is_true(root) and store.is_true(static)


def test_a_static_key_is_stored_as_its_sha256_alone(disk: SimulatedDisk, store: KeyStore) -> None:
    """No key-encryption key gives it back."""
    key, stored = store.create("ada", "r", kind="static")
    assert isinstance(key, StaticKey)
    assert stored.secret == key.digest and len(stored.secret) == 32


@pytest.mark.parametrize("kek", [OTHER_KEK, KeyEncryptionKey(b"x" * 32)])
def test_another_key_encryption_key_is_refused(
    disk: SimulatedDisk, store: KeyStore, kek: KeyEncryptionKey
) -> None:
    """Reading and writing fail with its own error, nothing is changed, and the right one still works."""
    key = root_key(store)
    before = all_bytes(disk)
    wrong = key_store(disk, kek=kek)
    for _ in range(2):
        with pytest.raises(KekWrong):
            wrong.keys()
        with pytest.raises(KekWrong):
            wrong.create("eve", "rwha")
    assert all_bytes(disk) == before
    assert key_store(disk).is_true(key)


def test_what_cannot_be_read_yet_is_not_lost(disk: SimulatedDisk, store: KeyStore) -> None:
    """A process whose key-encryption key comes late sees every key once it is there."""
    keys = [root_key(store) for _ in range(3)]
    late = [OTHER_KEK, OTHER_KEK, KEK]
    other = KeyStore(Journal(disk, FOLDER, clock=SimulatedClock()), OTHER_KEK, reload=lambda: late.pop(0))
    for _ in range(2):
        with pytest.raises(KekWrong):
            other.keys()
    assert set(other.keys()) == {key.name for key in keys}


def test_revoking_is_final_and_seen_by_others(disk: SimulatedDisk, store: KeyStore, key: RootKey) -> None:
    """Twice is the same as once."""
    other = key_store(disk)
    assert states(other) == {key.name: "active"}
    store.revoke(key.fingerprint)
    assert states(other) == {key.name: "revoked"}
    assert other.revoke(key.name) == store.get(key.name)
    with pytest.raises(RotationRefused):
        other.rotate(key.name)


def test_rotation_makes_a_successor_and_leaves_the_old_key_in_grace(store: KeyStore, key: RootKey) -> None:
    """The successor has the same owner and permissions; the old key has seven days."""
    new, stored = store.rotate(key.name)
    old = store.get(key.name)
    assert (stored.owner, stored.permissions, stored.state) == ("ada", "rw", "active")
    assert (old.state, old.successor, old.until()) == ("grace", new.name, NOW + 7 * DAY_S)
    assert new.text != key.text


def test_repeating_an_unfinished_rotation_replaces_the_unused_successor(
    store: KeyStore, key: RootKey
) -> None:
    """The first answer was lost; nobody has that key, so it ends."""
    lost, _ = store.rotate(key.name)
    found, _ = store.rotate(key.name)
    assert states(store) == {key.name: "grace", lost.name: "revoked", found.name: "active"}
    assert store.get(key.name).successor == found.name


def test_a_successor_in_use_is_not_replaced(store: KeyStore, key: RootKey) -> None:
    """Rotating the old key again is refused and says which key took its place."""
    new, _ = store.rotate(key.name)
    assert store.note_use(new.name)
    assert not store.note_use(new.name)
    with pytest.raises(RotationRefused, match=new.name):
        store.rotate(key.name)
    assert states(store) == {key.name: "grace", new.name: "active"}


def test_there_is_one_generation_of_grace(store: KeyStore, key: RootKey) -> None:
    """Rotating the successor ends the key that was in grace."""
    second, _ = store.rotate(key.name)
    store.note_use(second.name)
    third, _ = store.rotate(second.name)
    assert states(store) == {key.name: "revoked", second.name: "grace", third.name: "active"}


def test_grace_ends_by_time(disk: SimulatedDisk, key: RootKey) -> None:
    """After it the old key cannot even be rotated."""
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    store.rotate(key.name, grace_s=60)
    clock.advance(61)
    with pytest.raises(RotationRefused):
        store.rotate(key.name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": " "}, {"owner": "x" * 201}, {"permissions": "q"}, {"permissions": ""},
        {"expires": NOW - 1}, {"expires": float("nan")}, {"expires": float("inf")},
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_writes_nothing(store: KeyStore, wrong: dict[str, object]) -> None:
    """Owners, permissions and times out of range."""
    with pytest.raises(InvalidInput):
        store.create(**{"owner": "ada", "permissions": "r", **wrong})
    assert store.keys() == {}


def test_history_tells_what_happened_in_order(store: KeyStore) -> None:
    """Numbers grow over all keys, events have names of their own, and a rewrite changes neither."""
    first = root_key(store)
    second, _ = store.rotate(first.name, by="carma_admin")
    store.revoke(first.name)
    told = [(event.number, event.operation, event.by, key.name) for event, key in store.events()]
    assert told == [
        (1, "keys.create", "", first.name),
        (2, "keys.rotate", "carma_admin", first.name),
        (3, "keys.create", "carma_admin", second.name),
        (4, "keys.revoke", "", first.name),
    ]
    names = [event.event for event, _ in store.events()]
    assert len(set(names)) == 4 and all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    store.rewrap(KEK)
    assert [event.event for event, _ in store.events(2)] == names[2:]
    store.forget("ada")
    root_key(store)
    assert store.events()[0][0].number == 5


def test_forgetting_an_owner_leaves_no_byte_of_their_keys(disk: SimulatedDisk, store: KeyStore) -> None:
    """Name, owner and wrapped secret are in no file; other owners' keys are untouched."""
    gone, stays = root_key(store, "secret-owner"), root_key(store, "bob")
    wrapped = store.get(gone.name).secret
    assert store.forget("secret-owner") == 1
    held = all_bytes(disk)
    assert gone.name.encode() not in held and b"secret-owner" not in held and wrapped not in held
    assert set(key_store(disk).keys()) == {stays.name}
    assert store.forget("secret-owner") == 0


def test_rewrapping_moves_every_secret_to_another_key(disk: SimulatedDisk, store: KeyStore) -> None:
    """The new key-encryption key opens them, the old one does not, and a running process reloads."""
    keys = [root_key(store) for _ in range(3)]
    running = KeyStore(Journal(disk, FOLDER, clock=SimulatedClock()), KEK, reload=lambda: OTHER_KEK)
    assert running.is_true(keys[0])
    assert store.rewrap(OTHER_KEK.beside(KEK)) == 4
    assert all(running.is_true(key) for key in keys)
    assert all(key_store(disk, kek=OTHER_KEK).is_true(key) for key in keys)
    with pytest.raises(KekWrong):
        key_store(disk).keys()


def test_superseded_records_are_cleared_away(disk: SimulatedDisk, store: KeyStore, key: RootKey) -> None:
    """Many changes of few keys do not let the journal grow without end."""
    longest = 0
    for _ in range(230):
        store.rotate(key.name)
        longest = max(longest, len(list(frames_in(disk.contents(f"{FOLDER}/0.log")))))
    assert 600 < longest <= 2 * 231 + 200 + 2 < 3 * 230
    assert set(states(store).values()) == {"grace", "revoked", "active"}
    assert states(key_store(disk)) == states(store)


def test_killed_at_any_call_a_key_is_there_or_not(disk: SimulatedDisk) -> None:
    """Creating, rotating and revoking are each whole or not begun, and what was answered stays."""

    def workload(disk: SimulatedDisk, done: list[str]) -> None:
        store = key_store(disk)
        first = root_key(store)
        done.append(f"{first.name} active")
        second, _ = store.rotate(first.name)
        done[:] = [f"{first.name} grace", f"{second.name} active"]
        store.revoke(first.name)
        done[0] = f"{first.name} revoked"

    workload(disk, [])
    for at in range(1, disk.calls + 1):
        broken, done = SimulatedDisk([Crash(at, "middle")], seed=at), list[str]()
        try:
            workload(broken, done)
        except SimulatedCrash:
            broken.restart()
        found = [f"{name} {state}" for name, state in states(key_store(broken)).items()]
        names = [each.split()[0] for each in found]
        assert len(set(names)) == len(names) <= 2
        for each in done:
            name, state = each.split()
            assert any(other.startswith(name) for other in found)
            later = {"active": "active grace revoked", "grace": "grace revoked", "revoked": "revoked"}[state]
            assert states(key_store(broken))[name] in later.split()


def test_any_flipped_bit_in_a_copy_costs_nothing(disk: SimulatedDisk, store: KeyStore) -> None:
    """Of every byte of a file one bit: all keys are there and true."""
    keys = [root_key(store), root_key(store, "bob")]
    for path in (f"{FOLDER}/0.log", f"{FOLDER}/2.log"):
        data = disk.contents(path)
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << at % 8
            damaged = disk.copy()
            damaged.put(path, bytes(flipped))
            assert set(key_store(damaged).keys()) == {key.name for key in keys}
            assert damaged.contents(path) == data


FIELDS = [
    "kind", "name", "id", "owner", "permissions", "state", "created", "expires", "grace_until", "successor",
    "used", "revision", "history", "secret",
]  # fmt: skip
ALTERED = {
    "kind": "static", "name": "aaaaaaaa", "id": b"i" * 16, "owner": "eve", "permissions": "rwha",
    "state": "active", "created": 1.0, "expires": 2.0, "grace_until": 1e12, "successor": "aaaaaaaa",
    "used": True, "revision": 99, "history": [], "secret": b"s" * 91,
}  # fmt: skip


def put_record(disk: SimulatedDisk, change: dict[str, object]) -> None:
    """Alter the newest record in all copies, with right digests, as someone would who can write there."""
    journal = Journal(disk, FOLDER, clock=SimulatedClock())
    with journal.turn():
        opening, *records = journal.news()
        body = msgpack.unpackb(records[-1][16:])
        for name, value in change.items():
            body[1 + FIELDS.index(name)] = value
        journal.rewrite([opening, *records[:-1], records[-1][:16] + msgpack.packb(body)])


@pytest.mark.parametrize("field", FIELDS)
def test_an_altered_field_is_a_clear_error_and_loses_nothing(field: str) -> None:
    """Someone who can write the files and makes all digests right changes one field: no key is accepted, not
    even a revoked one again, until someone says what to do; the other key is still there.
    """
    disk = SimulatedDisk()
    store = key_store(disk)
    stays, changed = root_key(store), root_key(store, "mallory", "r")
    store.revoke(changed.name)
    put_record(disk, {field: ALTERED[field]})
    other = key_store(disk)
    with pytest.raises(KeyStoreDamaged):
        other.keys()
    with pytest.raises(KeyStoreDamaged):
        other.create("ada", "r")
    assert any("not what CARMA wrote" in finding for finding in other.check())
    other.accept_loss()
    assert other.is_true(stays)
    assert other.check() == []
    assert other.get(changed.name).permissions == "r"


def test_a_record_lost_in_all_copies_stops_everything_until_it_is_accepted(
    disk: SimulatedDisk, store: KeyStore
) -> None:
    """It may have been a revocation."""
    key = root_key(store)
    before = len(disk.contents(f"{FOLDER}/0.log"))
    store.revoke(key.name)
    root_key(store)
    for number in range(4):
        data = bytearray(disk.contents(f"{FOLDER}/{number}.log"))
        data[before + 60] ^= 1
        disk.put(f"{FOLDER}/{number}.log", bytes(data))
    other = key_store(disk)
    with pytest.raises(KeyStoreDamaged):
        other.keys()
    assert other.accept_loss() == 2
    assert states(other) == states(key_store(disk))


def test_all_copies_gone_is_an_error_of_its_own(disk: SimulatedDisk, store: KeyStore, key: RootKey) -> None:
    """Nothing begins anew beside keys that may still be somewhere."""
    for number in range(4):
        disk.remove(f"{FOLDER}/{number}.log")
    with pytest.raises(JournalDamaged):
        key_store(disk).create("ada", "r")


def test_a_lost_opening_is_said_to_be_the_end(disk: SimulatedDisk, store: KeyStore, key: RootKey) -> None:
    """Without the store's secret no record can be believed."""
    for number in range(4):
        data = bytearray(disk.contents(f"{FOLDER}/{number}.log"))
        data[160] ^= 1
        disk.put(f"{FOLDER}/{number}.log", bytes(data))
    other = key_store(disk)
    with pytest.raises(KeyStoreDamaged):
        other.keys()
    with pytest.raises(KeyStoreDamaged, match="opens"):
        other.accept_loss()


def test_a_newer_format_is_left_alone(disk: SimulatedDisk) -> None:
    """An opening record of a later version is named as such."""
    journal = Journal(disk, FOLDER, clock=SimulatedClock())
    with journal.turn():
        journal.append([msgpack.packb(["keys", 2, 1.0, 0, b"", "more"])])
    with pytest.raises(FormatTooNew):
        key_store(disk).keys()


def test_a_record_of_another_store_is_not_taken() -> None:
    """Its seal is under another secret."""
    key = StoredKey(name="aaaaaaaa", kind="root", id=b"i", owner="ada", permissions="r", created=1.0)
    one, two = StoreSecret(b"1" * 32), StoreSecret(b"2" * 32)
    assert one.parse(one.to_bytes(key)) == key
    assert one.parse(one.to_bytes(replace(key, expires=2.0))).expires == 2.0
    for data in (two.to_bytes(key), b"", b"short", one.to_bytes(key)[:-1]):
        with pytest.raises(CarmaError):
            one.parse(data)
