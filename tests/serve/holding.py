"""A second process that has the turn of the key store; run by the tests.

python holding.py DATA KEK_FILE WHAT [NAME]

It takes the turn, does WHAT in it ("nothing", "revoke" or "forget" the key or account NAME), prints a line,
and keeps the turn until its standard input ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from carma.access.data import DataFolder, unlock
from carma.access.journal import Journal
from carma.access.keys.store import KeyStore


def _hold(data: str, kek: str, what: str, name: str = "") -> None:
    unlocked = unlock(DataFolder(Path(data)), {"CARMA_KEK_FILE": kek})
    journal = Journal(unlocked.disk, unlocked.folder.keys)
    store = KeyStore(journal, unlocked.kek, reload=unlocked.reload)
    with journal.turn():
        if what == "revoke":
            store.revoke(name)
        elif what == "forget":
            store.forget(name)
        print("held", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _hold(*sys.argv[1:])
