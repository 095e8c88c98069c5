"""What happens to keys reaches the audit log once, without naming anybody."""

from __future__ import annotations

from pathlib import Path

from carma.access.audit.leaf import parse_leaf
from carma.access.audit.trail import AuditTrail
from carma.access.journal import Journal
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.store import KeyStore
from carma.ports.disk import LocalDisk

from .asking import KEK, root_key

OWNER = "ada-lovelace"


def test_key_events_are_copied_once_each_and_in_order(tmp_path: Path) -> None:
    """Created, rotated, revoked; running the sequencer again copies nothing, also after a restart."""
    store = KeyStore(Journal(LocalDisk(), str(tmp_path / "keys")), KEK)
    first = root_key(store, OWNER)
    second, _ = store.rotate(first.name)
    with AuditTrail(tmp_path / "audit") as trail:
        trail.follow(KeyEvents(store, trail.key_of))
        assert trail.sequence() == 3
        store.revoke(first.name)
        assert trail.sequence() == 1
        assert trail.sequence() == 0
    with AuditTrail(tmp_path / "audit") as trail:
        trail.follow(KeyEvents(store, trail.key_of))
        assert trail.sequence() == 0
        store.forget(OWNER)
        root_key(store, OWNER)
        assert trail.sequence() == 1
        leaves = [parse_leaf(entry) for _, entry in trail.log.reader().entries(0)]
    assert [(leaf.kind, leaf.operation) for leaf in leaves] == [
        ("key", "keys.create"), ("key", "keys.rotate"), ("key", "keys.create"), ("key", "keys.revoke"),
        ("key", "keys.create"),
    ]  # fmt: skip
    assert "successor" in leaves[1].tags and "successor" not in leaves[0].tags
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "audit" / "log").rglob("*") if path.is_file()
    )
    for told in (first.name, second.name, OWNER, first.fingerprint):
        assert told.encode() not in written
