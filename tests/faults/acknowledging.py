"""A process that writes to a memory and says on its standard output what was acknowledged; run by the tests.

python acknowledging.py FOLDER NAME COUNT        add, update and delete COUNT fragments
python acknowledging.py FOLDER NAME hold         take the turn, say "held", and keep it
"""

from __future__ import annotations

import json
import os
import sys
import time

from carma.config import Settings
from carma.ports.clock import SystemClock, SystemEntropy
from carma.ports.disk import LocalDisk
from carma.store.commit import View
from carma.store.entry import Draft
from carma.store.payload import Content, encode_content
from carma.store.record import NO_DIGEST, RecordKind, text_digest
from carma.store.rest import respread
from carma.store.store import Store, open_store

SETTINGS = Settings(segment_bytes=4_000, turn_wait_ms=20_000)


def say(line: object) -> None:
    """One line of JSON, out at once: whoever reads it may kill us right after."""
    os.write(1, json.dumps(line).encode() + b"\n")


def put(store: Store, id: bytes, text: str | None) -> None:
    """Write one version; say what will be asked for, and then that it was acknowledged."""

    def prepare(view: View) -> list[Draft]:
        head = view.head(id)
        version = head.version + 1 if head is not None else 1
        say(["asked", id.hex(), version, text])
        if text is None:
            return [Draft(RecordKind.TOMBSTONE, id, version, b"", NO_DIGEST, None)]
        content = Content(text)
        return [Draft(RecordKind.FRAGMENT, id, version, encode_content(content), text_digest(text), content)]

    entry = store.commit(prepare)[0]
    say(["said", id.hex(), entry.version, text, entry.seq])


def main(folder: str, name: str, what: str) -> None:
    """Do it."""
    store = open_store(LocalDisk(), folder, SETTINGS, SystemClock(), SystemEntropy())
    if what == "hold":
        with store.alone():
            say("held")
            time.sleep(60)
    for number in range(int(what)):
        own = f"{name}{number:015d}".encode()[:16]
        put(store, own, f"{name} wrote {number} " * 8)
        put(store, b"shared by all..."[:16], f"{name} changed it in round {number}")
        if number % 3 == 1:
            put(store, own, f"{name} changed {number}")
        if number % 5 == 2:
            put(store, own, None)
        if number % 7 == 6:
            respread(store, None, dead_share=0.1)
    store.close()
    say("closed")


if __name__ == "__main__":
    main(*sys.argv[1:4])
