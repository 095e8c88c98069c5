"""What goes wrong beside a right key does not shut its owner out, and nothing is told twice."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from time import monotonic

import pytest

from carma.access.audit.trail import AuditTrail
from carma.access.frames import frames_in
from carma.access.keys.authority import Alert, Authority
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.access.keys.wire import RequestHead
from carma.errors import AuditUnavailable, InvalidInput, RootKeyExposed, StorageError
from carma.testing import SeededEntropy, SimulatedClock, SimulatedDisk

from .asking import FOLDER, NOW, Asking, key_store, root_key


def test_a_full_disk_does_not_shut_out_who_uses_a_new_key(
    disk: SimulatedDisk, store: KeyStore, authority: Authority, key: RootKey, alerts: list[Alert],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its first use cannot be noted; the requests are admitted, and it is noted when there is room again."""
    moments = count(monotonic() + 61, 61)
    monkeypatch.setattr("carma.access.keys.authority.monotonic", lambda: next(moments))
    new, _ = store.rotate(key.name)
    disk.capacity_bytes = 1
    client = Asking(new)
    for _ in range(3):
        assert client.ask(authority).principal.name == new.name
    assert not alerts and not store.get(new.name).used
    disk.capacity_bytes = None
    client.ask(authority)
    assert [alert.kind for alert in alerts] == ["successor-first-used"]
    assert store.get(new.name).used


def test_the_use_of_a_key_in_grace_is_told_once_however_many_other_keys_change(
    store: KeyStore, authority: Authority, client: Asking, key: RootKey, alerts: list[Alert]
) -> None:
    """Every change makes the server look at all keys anew; that is no reason to alert again."""
    store.rotate(key.name)
    for number in range(5):
        client.ask(authority)
        root_key(store, f"owner {number}")
    assert [alert.kind for alert in alerts] == ["grace-key-used"]


def test_clearing_away_that_fails_does_not_undo_a_change(
    disk: SimulatedDisk, store: KeyStore, key: RootKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is durable before old records are cleared away, so its key is handed out all the same."""

    def refused(records: object, wrapped: object = None) -> None:
        raise StorageError("No.")

    monkeypatch.setattr("carma.access.keys.book._SPARE_RECORDS", 5)
    with monkeypatch.context() as patch:
        patch.setattr(store._book, "rewrite", refused)
        for _ in range(20):
            new, _ = store.rotate(key.name)
            assert store.is_true(new)
    assert len(list(frames_in(disk.contents(f"{FOLDER}/0.log")))) > 60
    store.rotate(key.name)
    assert len(list(frames_in(disk.contents(f"{FOLDER}/0.log")))) < 30
    assert set(key_store(disk).keys()) == set(store.keys())


@pytest.mark.parametrize("owner", ["a\nb", "a\x00", "\udcff", "a\u2028b", "\x1b[2J", "a\tb"])
def test_an_owner_whose_name_cannot_be_shown_is_refused(store: KeyStore, owner: str) -> None:
    """Control characters, line separators and what is no Unicode."""
    with pytest.raises(InvalidInput):
        store.create(owner, "r")
    assert store.keys() == {}


def test_no_event_of_a_key_is_dropped_before_the_audit_log_has_it(disk: SimulatedDisk, key: RootKey) -> None:
    """A key is rotated a hundred times while nobody copies; then all are copied, and old ones may go."""
    store = key_store(disk)
    for _ in range(100):
        store.rotate(key.name)
    numbers = [event.number for event, _ in store.events()]
    assert numbers == list(range(1, max(numbers) + 1)) and len(numbers) == 300
    with AuditTrail("/audit", disk=disk, clock=SimulatedClock(), entropy=SeededEntropy(5)) as trail:
        trail.follow(KeyEvents(store, trail.key_of))
        assert trail.sequence() == 300
        assert len(store.get(key.name).history) == len(key_store(disk).get(key.name).history) == 32
        store.rotate(key.name)
        assert trail.sequence() == 3
        assert trail.sequence() == 0


def test_a_key_with_too_many_uncopied_events_can_be_revoked_but_not_rotated(
    store: KeyStore, key: RootKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If leaves cannot be stored, changes stop; ending a key is never among them."""
    monkeypatch.setattr("carma.access.keys.store._MOST_HISTORY", 10)
    for _ in range(9):
        store.rotate(key.name)
    with pytest.raises(AuditUnavailable):
        store.rotate(key.name)
    assert store.revoke(key.name).state == "revoked"


FORKED = """
import os, sys
from carma.access.keys.signer import Signer

signer = Signer(sys.argv[1])
signer.learn(401, {"carma-nonce": "0" * 32, "carma-session": "7"})
numbers = [signer.sign("GET", "/")["Authorization"].split("_meta_")[1].split("_")[0]]
child = os.fork()
numbers += [signer.sign("GET", "/")["Authorization"].split("_meta_")[1].split("_")[0] for _ in range(2)]
if child:
    os.waitpid(child, 0)
print(*numbers)
"""


def test_a_forked_client_goes_on_in_a_session_of_its_own(key: RootKey) -> None:
    """Parent and child do not sign the same numbers; the child's next requests open a session."""
    command = [sys.executable, "-c", FORKED, key.text]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    child, parent = ([int(number) for number in line.split()] for line in done.stdout.decode().splitlines())
    assert parent == [7 << 32 | counter for counter in (1, 2, 3)]
    assert child[0] == parent[0] and all(0 <= number < 1 << 32 for number in child[1:])


def test_a_root_key_that_is_sent_again_and_again_is_told_once_a_minute(
    authority: Authority, key: RootKey, alerts: list[Alert]
) -> None:
    """Each request is refused; whoever has the key cannot fill the log with alerts."""
    for _ in range(100):
        with pytest.raises(RootKeyExposed):
            authority.admit(RequestHead("GET", "/", f"Bearer {key.text}", secure=True), NOW)
    assert [alert.kind for alert in alerts] == ["root-key-exposed"]
