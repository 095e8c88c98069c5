"""Checkpoints: what a log or a witness signs, as C2SP tlog-checkpoint and tlog-cosignature define them.

A checkpoint says: the log with this origin has so many entries, and this is the root over them. The log signs
each with Ed25519, which every tool reads, and with ML-DSA-44, which holds against quantum computers too. A
witness adds cosignatures of the same two kinds, with the time at which it saw the checkpoint to continue the
one before. Who verifies is told the keys; a known key whose signature is wrong spoils the whole note.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from carma.access.audit.note import (
    COSIGNED,
    ED25519,
    ML_DSA_44,
    Note,
    Signature,
    Verifier,
    is_key_name,
    parse_note,
    sign_ed25519,
    sign_ml_dsa_44,
)
from carma.access.audit.tree import HASH_BYTES
from carma.errors import AuditDamaged

__all__ = ["Checkpoint", "Signer", "cosigners", "open_checkpoint", "read_checkpoint", "signed_by"]

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_SEED_BYTES = 32
_LABEL = b"subtree/v1\n\0"


class Checkpoint(NamedTuple):
    """The head of a tree: origin of the log, number of entries, root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint that a note's text holds; lines of extensions are refused. Raises ValueError."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise ValueError("not a checkpoint")
        try:
            root = base64.b64decode(lines[2].encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError("not a checkpoint: no root") from error
        found = cls(lines[0], int(lines[1]), root)
        if len(root) != HASH_BYTES or found.text != text:
            raise ValueError("not a checkpoint: a root of another length")
        return found

    def message(self, verifier_kind: int, name: str, seconds: int) -> bytes:
        """What a key of a type and name signs: the text, the text with a time, or the packed statement."""
        if verifier_kind == ED25519:
            return self.text.encode()
        if verifier_kind == COSIGNED:
            return f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
        return b"".join(
            (
                _LABEL, _short(name.encode()), struct.pack(">Q", seconds), _short(self.origin.encode()),
                struct.pack(">QQ", 0, self.size), self.root,
            )
        )  # fmt: skip


class Signer:
    """The two private keys of a log or a witness, and the name they sign under.

    Its seeds are secret: 32 bytes for each key, from which the key is made again.
    """

    __slots__ = ("_classic", "_quantum", "name")

    def __init__(self, name: str, ed25519_seed: bytes, ml_dsa_44_seed: bytes) -> None:
        if not is_key_name(name):
            raise ValueError("a name of a key holds no spaces and no plus, and at most 255 bytes")
        if len(ed25519_seed) != _SEED_BYTES or len(ml_dsa_44_seed) != _SEED_BYTES:
            raise ValueError("a seed has 32 bytes")
        self.name = name
        self._classic = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
        self._quantum = MLDSA44PrivateKey.from_seed_bytes(ml_dsa_44_seed)

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    def verifiers(self, *, witness: bool = False) -> tuple[Verifier, Verifier]:
        """The public keys by which its signatures are checked."""
        kind = COSIGNED if witness else ED25519
        return (
            Verifier(self.name, kind, self._classic.public_key().public_bytes_raw()),
            Verifier(self.name, ML_DSA_44, self._quantum.public_key().public_bytes_raw()),
        )

    def sign(self, checkpoint: Checkpoint, seconds: int, *, witness: bool = False) -> tuple[Signature, ...]:
        """Its signatures of a checkpoint. seconds: since the epoch.

        witness: cosignatures; else those of the log, whose Ed25519 one has no time.
        """
        kind = COSIGNED if witness else ED25519
        return (
            sign_ed25519(
                self._classic, self.name, kind, checkpoint.message(kind, self.name, seconds), seconds
            ),
            sign_ml_dsa_44(
                self._quantum, self.name, checkpoint.message(ML_DSA_44, self.name, seconds), seconds
            ),
        )


def read_checkpoint(data: bytes) -> tuple[Checkpoint, Note]:
    """The checkpoint in a note, with no signature checked. Raises AuditDamaged."""
    try:
        note = parse_note(data)
        return Checkpoint.parse(note.text), note
    except ValueError as error:
        raise AuditDamaged(f"This is not a checkpoint ({error}).") from error


def open_checkpoint(
    data: bytes, verifiers: Sequence[Verifier], *, origin: str | None = None
) -> tuple[Checkpoint, Note]:
    """The checkpoint in a note, signed by at least one of `verifiers`.

    origin: the one it must have. Raises AuditDamaged where the note does not parse, a signature of a known
    key is wrong, or no known key signed it.
    """
    checkpoint, note = read_checkpoint(data)
    if origin is not None and checkpoint.origin != origin:
        raise AuditDamaged("The checkpoint is of another log.")
    if not signed_by(checkpoint, note.signatures, verifiers):
        raise AuditDamaged("No key that is known signed this checkpoint.")
    return checkpoint, note


def signed_by(
    checkpoint: Checkpoint, signatures: Iterable[Signature], verifiers: Sequence[Verifier]
) -> dict[Verifier, int]:
    """Which of `verifiers` signed, each with its time (0 where a signature has none).

    Raises AuditDamaged where a signature says that it is by one of them and is not.
    """
    found: dict[Verifier, int] = {}
    for signature in signatures:
        for verifier in verifiers:
            if not verifier.wrote(signature):
                continue
            seconds = _seconds(verifier, signature)
            message = checkpoint.message(verifier.kind, verifier.name, seconds)
            if seconds >= 1 << 63 or not verifier.accepts(signature, message):
                raise AuditDamaged(f"The signature of {verifier.name} is wrong.")
            found[verifier] = seconds
    return found


def cosigners(
    checkpoint: Checkpoint, signatures: Iterable[Signature], witnesses: Sequence[Verifier]
) -> dict[str, int]:
    """The names of the witnesses that cosigned, each with the time of its newest cosignature.

    A witness with several keys counts once. Raises AuditDamaged where a cosignature is wrong.
    """
    cosigning = [each for each in witnesses if each.kind != ED25519]
    times: dict[str, int] = {}
    for verifier, seconds in signed_by(checkpoint, signatures, cosigning).items():
        times[verifier.name] = max(seconds, times.get(verifier.name, 0))
    return times


def _seconds(verifier: Verifier, signature: Signature) -> int:
    if verifier.kind == ED25519:
        return 0
    return int.from_bytes(signature.data[:8], "big")


def _short(data: bytes) -> bytes:
    """Bytes with their length (one byte) in front."""
    return bytes((len(data),)) + data
