"""Everything in a data directory that the key-encryption key wraps: the list that a rotation goes through.

Whoever wraps something new adds it here; what is missing in this list cannot be opened after a rotation, and
the test of it rotates a whole directory. Whether a part is there is looked at when its turn comes: by then
the successor lies in its file, and whoever makes the part later wraps it by that. Rejected: that each part
registers itself (a part that is not loaded would be left out).
"""

from __future__ import annotations

from functools import partial

from carma.access.audit.signing import rewrap_signer
from carma.access.audit.turn import folder_turn
from carma.access.audit.twofold import Twofold
from carma.access.data import SEALING_CONTEXT, Unlocked
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.rotation import Rewrap
from carma.ports.clock import SystemClock
from carma.ports.disk import Disk

__all__ = ["rewraps_of"]


def rewraps_of(unlocked: Unlocked, *, accept_loss: bool = False) -> list[Rewrap]:
    """What wraps the secrets of each part anew, for `rotate_key_file` and `rotate_given`.

    accept_loss: drop data keys that are lost or damaged in all copies.
    """
    disk, folder = unlocked.disk, unlocked.folder

    def keys(new: KeyEncryptionKey) -> int:
        return KeyStore(Journal(disk, folder.keys), unlocked.kek, reload=unlocked.reload).rewrap(new)

    parts: dict[str, Rewrap] = {
        folder.vault: lambda new: unlocked.vault().rotate_kek(new, accept_loss=accept_loss),
        folder.keys: keys,
        folder.sealing: lambda new: _journal(Journal(disk, folder.sealing), new, SEALING_CONTEXT),
        f"{folder.audit}/private": lambda new: _signer(disk, f"{folder.audit}/private", new),
    }
    return [partial(_if_there, disk, place, rewrap) for place, rewrap in parts.items()]


def _if_there(disk: Disk, place: str, rewrap: Rewrap, new: KeyEncryptionKey) -> int:
    return rewrap(new) if disk.is_dir(place) else 0


def _journal(journal: Journal, new: KeyEncryptionKey, context: bytes) -> int:
    """A journal of which every record is wrapped in one context."""
    with journal.turn():
        records = journal.news()
        if records:
            journal.rewrite([new.wrap(new.unwrap(record, context), context) for record in records])
    journal.close()
    return len(records)


def _signer(disk: Disk, private: str, new: KeyEncryptionKey) -> int:
    with folder_turn(disk, private, SystemClock(), "the keys of the audit log"):
        return int(rewrap_signer(Twofold(disk, private), new))
