"""The witness: signs a checkpoint only if it continues the last one that it saw, and remembers it first.

It speaks as C2SP tlog-witness defines it: a body of text with the old size, a consistency proof and a
checkpoint; the answer is a status of HTTP and a body. So `Witness.add_checkpoint` can stand behind a server,
a folder of files or a function, on any machine. Its state is its own: per log, the size and root that it
signed last, durable before a cosignature leaves it. A log that was rewritten has no proof to offer, and is
refused.

A witness that loses its state would believe a rewritten log again, so damaged state is an error and never a
beginning.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from carma.access.audit.checkpoint import Checkpoint, Signer, cosigners, read_checkpoint, signed_by
from carma.access.audit.log import Log
from carma.access.audit.note import NOTE_BYTES, Signature, Verifier, parse_signatures
from carma.access.audit.reader import LogReader
from carma.access.audit.tree import EMPTY_ROOT, HASH_BYTES, check_consistency
from carma.access.audit.turn import folder_turn
from carma.access.audit.twofold import Twofold
from carma.errors import AuditDamaged, CarmaError, WitnessRefused
from carma.ports.clock import Clock
from carma.ports.disk import Disk

__all__ = ["Answer", "Cosign", "Witness", "gather_cosignatures", "request_body"]

REQUEST_BYTES = NOTE_BYTES + 64 * 64
_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})")
_MOST_PROOF = 63
_TRIES = 3


class Answer(NamedTuple):
    """What a witness answers: a status of HTTP, and lines with cosignatures, a size, or why not."""

    status: int
    body: bytes


Cosign = Callable[[bytes], Answer]
"""A witness somewhere: takes the body of a request, gives its answer. Raises WitnessRefused, StorageError."""


class Witness:
    """A witness and its state.

    folder: for its state, on its own machine. logs: the keys of each log that it knows, by origin.
    Safe to share between threads; processes take turns by the lock of the folder.
    """

    def __init__(
        self, disk: Disk, folder: str, signer: Signer, logs: Mapping[str, Sequence[Verifier]], clock: Clock
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._signer = signer
        self._logs = logs
        self._clock = clock
        self._state = Twofold(disk, folder)
        self._guard = threading.Lock()

    @property
    def signer(self) -> Signer:
        """Who signs."""
        return self._signer

    def verifiers(self) -> tuple[Verifier, Verifier]:
        """The public keys by which its cosignatures are checked."""
        return self._signer.verifiers(witness=True)

    def seen(self, origin: str) -> Checkpoint:
        """The newest checkpoint of a log that it signed; of size 0 if there is none. Raises AuditDamaged."""
        kept = self._state.get(_state_name(origin))
        if kept is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            found = Checkpoint.parse(kept.decode())
        except ValueError as error:
            raise AuditDamaged("What the witness remembers cannot be read.") from error
        if found.origin != origin:
            raise AuditDamaged("What the witness remembers is of another log.")
        return found

    def add_checkpoint(self, body: bytes) -> Answer:
        """Cosign the checkpoint in a request if it continues the one before (tlog-witness, add-checkpoint).

        200 and lines with cosignatures; 400 malformed, 403 nobody known signed it, 404 an unknown log, 409
        and the size that it saw last where that is not the old size (or another root of the same size), 422
        no proof. Raises AuditDamaged, StorageError where its own state is at fault, AuditUnavailable where
        another process has it: then nothing was signed.
        """
        try:
            old, proof, checkpoint, signatures = _parsed(body)
        except (ValueError, AuditDamaged) as error:
            return Answer(400, f"{error}\n".encode())
        known = self._logs.get(checkpoint.origin)
        if known is None:
            return Answer(404, b"This witness does not know the log.\n")
        try:
            trusted = signed_by(checkpoint, signatures, known)
        except AuditDamaged as error:
            return Answer(403, f"{error}\n".encode())
        if not trusted:
            return Answer(403, b"No key of the log signed this checkpoint.\n")
        if old > checkpoint.size:
            return Answer(400, b"The old size is above the new one.\n")
        with self._guard, folder_turn(self._disk, self._folder, self._clock, "the witness"):
            return self._judged(old, proof, checkpoint)

    def _judged(self, old: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> Answer:
        seen = self.seen(checkpoint.origin)
        fork = seen.size == checkpoint.size and seen.root != checkpoint.root
        if old != seen.size or fork:
            return Answer(409, f"{seen.size}\n".encode())
        if not check_consistency(old, checkpoint.size, seen.root, checkpoint.root, proof):
            return Answer(422, b"The proof does not show that the log only grew.\n")
        if checkpoint != seen:
            self._state.put(_state_name(checkpoint.origin), checkpoint.text.encode())
        else:
            # A crash may have left an older state in the second copy; nothing is signed above that.
            self._state.mend(_state_name(checkpoint.origin))
        lines = self._signer.sign(checkpoint, max(int(self._clock.now()), 0), witness=True)
        return Answer(200, "".join(each.line() for each in lines).encode())


def request_body(reader: LogReader, note: bytes, old: int) -> bytes:
    """The body that asks a witness, which saw the log at `old` entries, to cosign its newest checkpoint.

    note: the checkpoint of `reader` with its signatures. Raises AuditDamaged.
    """
    proof = (base64.b64encode(each).decode() for each in reader.consistency(old))
    return ("\n".join([f"old {old}", *proof]) + "\n\n").encode() + note


def gather_cosignatures(
    log: Log, witnesses: Sequence[Cosign], verifiers: Sequence[Verifier], quorum: int
) -> dict[str, int]:
    """Ask witnesses to cosign the newest checkpoint, and add what they sign to it.

    verifiers: the keys of the witnesses that count. quorum: how many of them have to sign.
    Returns the names of those that did, with the times. Raises WitnessRefused if they are fewer.
    """
    reader, data = log.reader(), log.checkpoint()
    checkpoint = reader.checkpoint
    refusals: list[str] = []
    for cosign in witnesses:
        try:
            answer = _asked(cosign, reader, data)
            signatures = parse_signatures(answer)
            if cosigners(checkpoint, signatures, verifiers):
                log.add_signatures(checkpoint, signatures)
        except (CarmaError, ValueError) as error:
            refusals.append(str(error))
    now, note = read_checkpoint(log.checkpoint())
    found = cosigners(now, note.signatures, verifiers) if now == checkpoint else {}
    if len(found) < quorum:
        why = f" {refusals[0]}" if refusals else ""
        raise WitnessRefused(f"{len(found)} of {len(witnesses)} witnesses signed; {quorum} have to.{why}")
    return found


def _asked(cosign: Cosign, reader: LogReader, note: bytes) -> bytes:
    """The cosignatures of one witness; it is told from where it has to be led on. Raises WitnessRefused."""
    old = 0
    for _ in range(_TRIES):
        answer = cosign(request_body(reader, note, old))
        if answer.status == 200:
            return answer.body
        text = answer.body.decode("utf-8", "replace").strip()
        if answer.status != 409 or not text.isdecimal() or len(text) > 16:
            raise WitnessRefused(f"A witness answered {answer.status}: {text[:200]}")
        if int(text) == old:
            raise WitnessRefused(f"A witness saw another log of {old} entries: this one was rewritten.")
        old = int(text)
        if old > reader.size:
            raise WitnessRefused(
                f"A witness saw {old} entries; the log has {reader.size}: its end was cut off."
            )
    raise WitnessRefused("A witness answered with another size each time.")


def _parsed(body: bytes) -> tuple[int, list[bytes], Checkpoint, Sequence[Signature]]:
    """Old size, proof, checkpoint and signatures of a request. Raises ValueError, AuditDamaged."""
    if len(body) > REQUEST_BYTES:
        raise ValueError("the request is too long")
    head, separator, note = body.partition(b"\n\n")
    first, *lines = head.decode("ascii", "strict").split("\n")
    match = _OLD.fullmatch(first)
    if match is None or not separator or len(lines) > _MOST_PROOF:
        raise ValueError("the request is malformed")
    try:
        proof = [base64.b64decode(line.encode(), validate=True) for line in lines]
    except binascii.Error as error:
        raise ValueError("the proof is not base64") from error
    if any(len(each) != HASH_BYTES for each in proof):
        raise ValueError("a hash of the proof has another length")
    checkpoint, read = read_checkpoint(note)
    return int(match[1]), proof, checkpoint, read.signatures


def _state_name(origin: str) -> str:
    return "seen-" + sha256(origin.encode()).hexdigest()[:32]
