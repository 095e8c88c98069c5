"""Keys that are over leave the store a day later, when the audit log has their fate; nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from carma.access.audit.trail import AuditTrail
from carma.access.journal import Journal
from carma.access.keys.authority import Authority
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.pruning import OVER_KEPT_S, kept
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.errors import CarmaError, KeyRevoked, ReplayedAttempt, RotationRefused, Unauthorized
from carma.ports.disk import LocalDisk
from carma.testing import Crash, SimulatedClock, SimulatedCrash, SimulatedDisk

from .asking import KEK, NOW, Asking, key_store, root_key

SPARE = 4
ALL = 10**9


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store clears its journal often, so that a short test sees it."""
    monkeypatch.setattr("carma.access.keys.book._SPARE_RECORDS", SPARE)


def states(store: KeyStore) -> dict[str, str]:
    return {name: key.state for name, key in store.keys().items()}


def clear(store: KeyStore) -> None:
    """Change something so often that the store clears its journal."""
    spare = root_key(store, "somebody else")
    for _ in range(SPARE + 2 * len(store.keys())):
        store.rotate(spare.name)


def rotated(store: KeyStore, key: RootKey) -> RootKey:
    """The successor of a key, in use."""
    new, _ = store.rotate(key.name)
    assert isinstance(new, RootKey) and store.note_use(new.name)
    return new


def test_keys_that_are_over_leave_the_store(disk: SimulatedDisk) -> None:
    """Replaced, revoked, and out of grace: no byte of them is left, and those that live are as they were."""
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    first, other = root_key(store), root_key(store, "bob")
    second = rotated(store, first)
    third = rotated(store, second)
    revoked = root_key(store)
    store.revoke(revoked.name)
    wrapped = store.get(first.name).secret
    store.copied(ALL)
    clock.advance(8 * 86_400)
    before = store.keys()
    clear(store)
    found = key_store(disk).keys()
    for gone in (first, second, revoked):
        assert gone.name not in found
        with pytest.raises(CarmaError, match="no such key"):
            store.get(gone.name)
    for stays in (third, other):
        assert found[stays.name] == before[stays.name] and store.is_true(stays)
    held = b"".join(disk.contents(path) for path in disk.paths())
    assert wrapped not in held and first.name.encode() not in held


@pytest.mark.parametrize("why", ["in grace", "a day", "not copied", "the newest"])
def test_what_is_not_over_stays(disk: SimulatedDisk, why: str) -> None:
    """A key in grace, one that ended today, and one of which the audit log does not know all."""
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    key = root_key(store)
    new = rotated(store, key)
    if why == "a day":
        store.revoke(key.name)
    newest = store.get(key.name).history[-1].number
    if why != "not copied":
        store.copied(newest if why == "the newest" else ALL)
    clock.advance({"in grace": 6.5 * 86_400, "a day": OVER_KEPT_S - 1}.get(why, 30 * 86_400))
    clear(store)
    assert {key.name, new.name} <= set(key_store(disk).keys())


def test_the_successor_of_a_key_in_grace_stays(disk: SimulatedDisk) -> None:
    """It was used and then revoked: without it the old key could be rotated again, by whoever has it."""
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    key = root_key(store)
    new = rotated(store, key)
    store.revoke(new.name)
    store.copied(ALL)
    clock.advance(3 * 86_400)
    clear(store)
    assert new.name in states(store)
    with pytest.raises(RotationRefused):
        store.rotate(key.name)


def test_an_expired_key_stays() -> None:
    """Nobody ended it: a clock that was wrong must not cost it."""
    store = key_store(SimulatedDisk())
    _, stored = store.create("ada", "r", expires=NOW + 1)
    assert kept({stored.name: stored}, NOW + 10**9, ALL) == [stored]
    assert kept({stored.name: replace(stored, state="revoked")}, NOW + 10**9, ALL) == []


def test_rotating_without_end_keeps_few_keys(disk: SimulatedDisk) -> None:
    """A key an hour for a month: the store has those of some days, and the chain goes on."""
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    key, most = root_key(store), 0
    for _ in range(30 * 24):
        clock.advance(3_600)
        key = rotated(store, key)
        store.copied(ALL)
        most = max(most, len(store.keys()))
    assert most <= 3 * 24 and store.get(key.name).state == "active"


def test_attempts_of_living_keys_are_admitted_once_all_along(disk: SimulatedDisk) -> None:
    """Pruning by this process or another changes no session: what was burnt stays burnt, what was not comes
    through; and a key that is gone is refused as before.
    """
    clock = SimulatedClock()
    store = key_store(disk, clock=clock)
    key, dead = root_key(store), root_key(store)
    authority = Authority(store)
    client, ghost = Asking(key), Asking(dead)
    client.ask(authority)
    ghost.ask(authority)
    store.revoke(dead.name)
    burnt, fresh, late = [client.attempt() for _ in range(5)], client.attempt(), ghost.attempt()
    for head in burnt:
        authority.admit(head, NOW)
    with pytest.raises(KeyRevoked):
        authority.admit(ghost.attempt(), NOW)
    before = authority.state(key.name)
    other = key_store(disk, clock=clock)
    other.copied(ALL)
    clock.advance(2 * 86_400)
    clear(other)
    authority._look_again_at = 0.0
    with pytest.raises(Unauthorized):
        authority.admit(late, NOW)
    assert dead.name not in states(store) and authority.state(key.name) == before
    for head in burnt:
        with pytest.raises(ReplayedAttempt):
            authority.admit(head, NOW)
    assert authority.admit(fresh, NOW).principal.name == key.name
    with pytest.raises(ReplayedAttempt):
        authority.admit(fresh, NOW)
    again = Authority(key_store(disk, clock=clock))
    for head in (*burnt, fresh, late):
        with pytest.raises(Unauthorized):
            again.admit(head, NOW)
    assert Asking(key).ask(again).principal.name == key.name


def test_a_key_that_gets_the_name_of_a_pruned_one_is_another(disk: SimulatedDisk) -> None:
    """A name has eight letters: the old secret must open nothing, though the server knew it a moment ago."""
    store = key_store(disk)
    old = root_key(store)
    authority = Authority(store)
    client = Asking(old)
    client.ask(authority)
    new = root_key(store, "bob")
    stored = store.get(new.name)
    with store._book.turn():
        wrapped = replace(stored, name=old.name)
        wrapped = replace(wrapped, secret=store._book.kek.wrap(new.secret, wrapped.wrap_context))
        store._book.rewrite([wrapped])
    authority._look_again_at = 0.0
    with pytest.raises(Unauthorized):
        authority.admit(client.attempt(), NOW)


def test_killed_at_any_call_no_living_key_is_lost(
    disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is cleared in the middle of it: afterwards every key that lives is there and true, keys
    that are over are gone or over, and nothing that was revoked is valid.
    """

    monkeypatch.setattr("carma.access.keys.book._SPARE_RECORDS", 0)
    begun: list[int] = []

    def workload(disk: SimulatedDisk, done: dict[str, RootKey]) -> None:
        clock = SimulatedClock()
        store = key_store(disk, clock=clock)
        keys = [root_key(store) for _ in range(4)]
        for key in keys[:2]:
            store.revoke(key.name)
        store.copied(ALL)
        clock.advance(2 * OVER_KEPT_S)
        done |= {"living": keys[2], "too": keys[3], "over": keys[0], "also": keys[1]}
        begun.append(disk.calls)
        store.rotate(keys[2].name)

    whole: dict[str, RootKey] = {}
    workload(disk, whole)
    assert whole["over"].name not in states(key_store(disk))
    for at in range(begun[0], disk.calls + 1):
        broken, done = SimulatedDisk([Crash(at, "middle")], seed=at), dict[str, RootKey]()
        try:
            workload(broken, done)
        except SimulatedCrash:
            broken.restart()
        broken.faults.clear()
        store = key_store(broken)
        found = store.keys()
        for name in ("living", "too"):
            if name in done:
                assert store.is_true(done[name]) and found[done[name].name].state != "revoked"
        for name in ("over", "also"):
            if name in done and done[name].name in found:
                assert found[done[name].name].state == "revoked"
        store.check()  # Mends what the crash left, and says so once.
        assert store.check() == [] and root_key(store).name in states(store)


def test_the_audit_log_has_what_was_pruned_and_goes_on(tmp_path: Path) -> None:
    """Every event once, from the log's own copying; what comes later is copied too, without reading all of
    it again.
    """
    clock = SimulatedClock()
    store = KeyStore(Journal(LocalDisk(), str(tmp_path / "keys")), KEK, clock=clock)
    key = root_key(store)
    with AuditTrail(tmp_path / "audit") as trail:
        trail.follow(KeyEvents(store, trail.key_of))
        copied = 0
        for _ in range(12):
            key = rotated(store, key)
            copied += trail.sequence()
            clock.advance(9 * 86_400)
        assert len(store.keys()) < 13
        assert trail.sequence() == 0
        store.revoke(key.name)
        assert trail.sequence() == 1
        entries = list(trail.log.reader().entries(0))
        events = store.events()
    assert len(entries) == copied + 1 == events[-1][0].number
