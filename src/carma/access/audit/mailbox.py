"""Witnesses over files: a folder that both sides can reach carries requests one way and answers the other.

The log writes `requests/<digest>`; whoever runs the witness calls `serve_mailbox` on the same folder (a
share, a stick, a copied directory) and finds the answer written to `answers/<digest>`. Names are digests of
the request, so each answer belongs to one request and nothing is ever overwritten by something else.
"""

from __future__ import annotations

import re
from hashlib import sha256

from carma.access.audit.tiles import read_file
from carma.access.audit.turn import lasting_folder
from carma.access.audit.witness import REQUEST_BYTES, Answer, Cosign, Witness
from carma.errors import WitnessRefused
from carma.ports.clock import Clock
from carma.ports.disk import Disk, write_whole

__all__ = ["mailbox_cosigner", "serve_mailbox"]

_NAME = re.compile(r"[0-9a-f]{64}")
_STATUS_BYTES = 4


def mailbox_cosigner(disk: Disk, folder: str, clock: Clock, *, wait_s: float = 0.0) -> Cosign:
    """A witness behind a folder. wait_s: how long an answer is waited for; without one WitnessRefused is
    raised, and a later try finds it.
    """

    def cosign(body: bytes) -> Answer:
        name = sha256(body).hexdigest()
        until = clock.monotonic() + wait_s
        _put(disk, f"{folder}/requests", name, body)
        while True:
            data = read_file(disk, f"{folder}/answers/{name}", REQUEST_BYTES)
            if data is not None and data[:3].isdigit():
                return Answer(int(data[:3]), data[_STATUS_BYTES:])
            if clock.monotonic() >= until:
                raise WitnessRefused("The witness behind the folder has not answered yet.")
            clock.sleep(0.05)

    return cosign


def serve_mailbox(disk: Disk, folder: str, witness: Witness) -> int:
    """Answer the requests in a folder that have no answer yet; how many."""
    answered = set(disk.listdir(f"{folder}/answers"))
    count = 0
    for name in disk.listdir(f"{folder}/requests"):
        if not _NAME.fullmatch(name) or name in answered:
            continue
        body = read_file(disk, f"{folder}/requests/{name}", REQUEST_BYTES)
        if body is None or sha256(body).hexdigest() != name:
            continue
        answer = witness.add_checkpoint(body)
        _put(disk, f"{folder}/answers", name, f"{answer.status}\n".encode() + answer.body)
        count += 1
    return count


def _put(disk: Disk, folder: str, name: str, data: bytes) -> None:
    lasting_folder(disk, folder)
    write_whole(disk, f"{folder}/{name}.new", data)
    disk.rename(f"{folder}/{name}.new", f"{folder}/{name}")
    disk.sync_dir(folder)
