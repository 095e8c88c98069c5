"""The key store as a source of the audit log: what happened to keys, as leaves.

Each event lies in the same record as the change it tells of, so there is none without the other; the
sequencer copies it to the log once. Rejected: writing to the log beside the key store (a crash between the
two would lose one of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.leaf import Leaf
from carma.access.audit.leaves import leaf_for_key_event
from carma.access.audit.sequencer import Waiting
from carma.access.keys.record import KeyEvent, StoredKey
from carma.access.keys.store import KeyStore

__all__ = ["KeyEvents"]


class KeyEvents:
    """A source for `AuditTrail.follow`. key_of: the audit key of an owner, None if it was shredded."""

    name = "keys"

    def __init__(self, store: KeyStore, key_of: Callable[[str], AuditKey | None]) -> None:
        self._store = store
        self._key_of = key_of

    def waiting(self, after: int) -> Iterator[Waiting]:
        """What stands behind the position `after`, in order. Raises what the key store raises."""
        keys = self._store.keys()
        for event, key in self._store.events(after):
            yield Waiting(event.number, self._leaf(event, key, keys.get(event.successor)))

    def copied(self, upto: int) -> None:
        """What was copied long ago may go from the keys' history."""
        self._store.copied(upto)

    def _leaf(self, event: KeyEvent, key: StoredKey, successor: StoredKey | None) -> Leaf:
        time_ms = int(event.when * 1000)
        audit_key = self._key_of(key.owner)
        if audit_key is None:
            return Leaf(
                event=event.event, time_ms=time_ms, kind="key", operation=event.operation,
                words={"withheld": "shredded"},
            )  # fmt: skip
        return leaf_for_key_event(
            event.event,
            time_ms,
            event.operation,
            audit_key,
            key.owner,
            fingerprint=self._store.fingerprint(key),
            permissions=key.permissions,
            successor=self._store.fingerprint(successor) if successor is not None else None,
            by=event.by or None,
            expires_ms=None if key.expires is None else int(key.expires * 1000),
        )
