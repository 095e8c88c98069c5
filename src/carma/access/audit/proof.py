"""The proof of one event, as C2SP tlog-proof defines it: a text that anybody can check without the log.

It holds the leaf, its number, the hashes beside the way to the root, and the checkpoint with the signatures
of log and witnesses. What it proves: that this leaf is in the log that the checkpoint speaks of.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

from carma.access.audit.checkpoint import Checkpoint, cosigners, open_checkpoint
from carma.access.audit.leaf import LEAF_BYTES, event_of
from carma.access.audit.note import NOTE_BYTES, Verifier
from carma.access.audit.reader import LogReader
from carma.access.audit.tree import HASH_BYTES, check_inclusion, leaf_hash
from carma.errors import AuditDamaged, EventNotLogged

__all__ = ["Proven", "check_proof", "find_event", "make_proof"]

_FIRST = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")
_EXTRA = "extra "
_MOST_HASHES = 63
_PROOF_BYTES = NOTE_BYTES + 4 * LEAF_BYTES


class Proven(NamedTuple):
    """What a proof proves. number: of the leaf. witnesses: who cosigned the checkpoint, with the times."""

    number: int
    leaf: bytes
    checkpoint: Checkpoint
    witnesses: dict[str, int]


def find_event(reader: LogReader, event: str) -> tuple[int, bytes]:
    """The number and the leaf of an event. Raises EventNotLogged, AuditDamaged."""
    wanted = event.replace("-", "").lower()
    needle = wanted.encode()
    for index, entry in reader.entries():
        if needle in entry and event_of(entry) == wanted:
            return index, entry
    raise EventNotLogged("The log has no leaf of this event.")


def make_proof(reader: LogReader, note: bytes, index: int, leaf: bytes) -> bytes:
    """The proof of a leaf. note: the checkpoint of `reader` with its signatures. Raises AuditDamaged."""
    hashes = [base64.b64encode(each).decode() for each in reader.inclusion(index)]
    lines = [_FIRST, _EXTRA + base64.b64encode(leaf).decode(), f"index {index}", *hashes]
    return ("\n".join(lines) + "\n\n").encode() + note


def check_proof(
    data: bytes, verifiers: Sequence[Verifier], witnesses: Sequence[Verifier] = (), quorum: int = 0
) -> Proven:
    """What a proof proves, to whoever trusts the keys `verifiers`.

    witnesses, quorum: so many of these have to have cosigned. Raises AuditDamaged if it proves nothing.
    """
    try:
        leaf, index, hashes, note = _parsed(data)
    except (ValueError, UnicodeDecodeError) as error:
        raise AuditDamaged(f"This is not a proof ({error}).") from error
    checkpoint, signed = open_checkpoint(note, verifiers)
    if not check_inclusion(index, checkpoint.size, leaf_hash(leaf), hashes, checkpoint.root):
        raise AuditDamaged("The proof does not lead from its leaf to the root of its checkpoint.")
    names = cosigners(checkpoint, signed.signatures, witnesses)
    if len(names) < quorum:
        raise AuditDamaged(f"{len(names)} of the witnesses cosigned the checkpoint; {quorum} have to.")
    return Proven(index, leaf, checkpoint, names)


def _parsed(data: bytes) -> tuple[bytes, int, list[bytes], bytes]:
    """Leaf, number, hashes and checkpoint. Raises ValueError."""
    if len(data) > _PROOF_BYTES:
        raise ValueError("it is too long")
    head, separator, note = data.partition(b"\n\n")
    lines = head.decode("ascii").split("\n")
    if not separator or len(lines) < 3 or lines[0] != _FIRST or not lines[1].startswith(_EXTRA):
        raise ValueError("it does not begin as one")
    match = _INDEX.fullmatch(lines[2])
    if match is None or len(lines) > 3 + _MOST_HASHES:
        raise ValueError("it has no number, or too many hashes")
    try:
        leaf, *hashes = (
            base64.b64decode(text, validate=True) for text in (lines[1].removeprefix(_EXTRA), *lines[3:])
        )
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ValueError("a hash has another length")
    return leaf, int(match[1]), hashes, note
