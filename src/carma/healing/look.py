"""Looking at one file: reading it anew, and what comes of it.

The beacon opens every file for itself, in pieces and at its pace. The handles of the store are not used: they
may stand on a file that was removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from carma.errors import StorageError
from carma.healing.ledger import Loss
from carma.reports import Finding, FindingKind
from carma.store.record import RecordDamaged, parse_header
from carma.store.scan import record_at
from carma.store.sealing import PLAIN, Sealing
from carma.store.store import Store

__all__ = ["Contents", "Files", "Seen", "kind_of", "starts_well", "wrong_at"]

_PIECE = 2**20
_KINDS: dict[str, FindingKind] = {
    "missing file": "missing file",
    "truncated": "truncated",
    "bad header": "bad header",
    "bad digest": "bad digest",
    "misdirected": "misdirected",
    "unreadable": "unreadable",
    "parity mismatch": "parity mismatch",
}


class Contents(NamedTuple):
    """The bytes of a file, or why there are none ("missing file", "unreadable"; "" otherwise)."""

    data: bytes
    trouble: str = ""


@dataclass(slots=True)
class Seen:
    """What a look saw.

    damaged: records of which a place that should hold them does not. known: those of them that the ledger
    called lost before. losses: writes that nothing gives back.
    """

    files: int = 0
    records: int = 0
    bytes: int = 0
    damaged: int = 0
    known: int = 0
    findings: list[Finding] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


class Files:
    """Reads the files of one memory. breathe: told of every piece that was read; it may wait, or raise."""

    def __init__(self, store: Store, breathe: Callable[[int], None]) -> None:
        self._disk = store.disk
        self._folder = store.folder
        self._breathe = breathe

    def whole(self, path: str) -> Contents:
        """A file's bytes. path: relative to the memory's folder."""
        return self._read(path, None)

    def head(self, path: str, length: int) -> Contents:
        """The first bytes of a file."""
        return self._read(path, length)

    def size(self, path: str) -> int | None:
        """Length of a file in bytes; None if it is missing or the disk does not say."""
        try:
            return self._disk.size(f"{self._folder}/{path}")
        except StorageError:
            return None

    def _read(self, path: str, length: int | None) -> Contents:
        try:
            file = self._disk.open(f"{self._folder}/{path}")
        except FileNotFoundError:
            return Contents(b"", "missing file")
        except StorageError:
            return Contents(b"", "unreadable")
        try:
            pieces, at, end = [], 0, file.size() if length is None else length
            while at < end and (piece := file.pread(min(_PIECE, end - at), at)):
                pieces.append(piece)
                at += len(piece)
                self._breathe(len(piece))
            return Contents(b"".join(pieces))
        except StorageError:
            return Contents(b"", "unreadable")
        finally:
            file.close()


def kind_of(reason: str) -> FindingKind:
    """The kind of finding for the reason of a damaged record."""
    return _KINDS.get(reason, "bad digest")


def wrong_at(data: bytes, segment: int, offset: int, seq: int | None = None, sealing: Sealing = PLAIN) -> str:
    """Why the record at `offset` of a segment's bytes is not the proven record of `seq`; "" if it is.

    seq None: any record will do. sealing: of an encrypted memory; what the owner did not seal is wrong.
    """
    try:
        found = record_at(data, offset, segment, offset)
    except RecordDamaged as damage:
        return damage.reason
    if seq is not None and found.header.seq != seq:
        return "misdirected"
    return "" if sealing.proves(*found) else "bad seal"


def starts_well(data: bytes, segment: int) -> bool:
    """Whether the header at the beginning of a file is whole and belongs there."""
    try:
        parse_header(data, 0, segment, 0)
    except RecordDamaged:
        return False
    return True
