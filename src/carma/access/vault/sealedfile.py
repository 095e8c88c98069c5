"""Sealed files: a stream for one recipient, in pieces, each proven before anything of it is given out.

A fresh key for each file, sealed to the recipient by HPKE (RFC 9180) with X-Wing, HKDF-SHA256 and
AES-256-GCM. The pieces follow the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), as in
age: the nonce of AES-256-GCM is a counter and a mark of the last piece, so none can be left out, moved,
repeated or added, and a file that was cut is told from one that is whole. The key of the pieces hangs on the
whole head.

    magic 16 | fingerprint of the recipient 16 | sealed file key 1168
    then pieces: length 4, big-endian, its highest bit set in the last | ciphertext | tag 16

All pieces but the last hold 64 KiB. The file shows for whom it is and how long the text in it is. Rejected:
HPKE over the whole file (it does not stream; the text would have to fit in memory).
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carma.access.vault.context import context, derived
from carma.access.vault.recipients import FINGERPRINT_BYTES, Identity, Recipient
from carma.access.vault.xaes import KEY_BYTES, TAG_BYTES
from carma.errors import IdentityWrong, MemoryExists, SealedDamaged, SealedTruncated, StorageError

__all__ = [
    "PIECE_BYTES",
    "SealedReader",
    "SealedWriter",
    "is_sealed",
    "open_file",
    "seal_file",
    "verify_file",
]

PIECE_BYTES = 64 * 2**10
_MAGIC = b"carma sealed 01\n"
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_SEALED_KEY_BYTES = hpke.KEM.MLKEM768_X25519.enc_length() + KEY_BYTES + TAG_BYTES
_HEAD_BYTES = len(_MAGIC) + FINGERPRINT_BYTES + _SEALED_KEY_BYTES
_LAST = 1 << 31
_KEPT = 32
"""Pieces that a reader keeps: 2 MiB."""


class SealedWriter(io.RawIOBase):
    """A file to write bytes to; they go sealed to `file`, which stays open.

    `finish` writes the end, and so does leaving its `with` block without an exception. Closing alone does
    not: what was not finished, no reader takes for whole.
    """

    def __init__(self, file: BinaryIO, recipient: Recipient) -> None:
        super().__init__()
        head = _MAGIC + recipient.fingerprint
        key = secrets.token_bytes(KEY_BYTES)
        sealed_key = _SUITE.encrypt(key, recipient.key, info=_info(head))
        file.write(head + sealed_key)
        self._file = file
        self._aead = _piece_cipher(key, head + sealed_key)
        self._counter = 0
        self._finished = False
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Take bytes; whole pieces go out. Returns how many were taken, which is all."""
        if self.closed or self._finished:
            raise ValueError("write to a sealed file that is finished")
        self._held += data
        at = 0
        # The last piece may be a whole one, so a whole one waits until something follows it.
        while len(self._held) - at > PIECE_BYTES:
            self._put(bytes(self._held[at : at + PIECE_BYTES]), last=False)
            at += PIECE_BYTES
        del self._held[:at]
        return len(data)

    def finish(self) -> None:
        """Write the last piece; idempotent. Nothing can be written afterwards."""
        if not self._finished:
            self._finished = True
            self._put(bytes(self._held), last=True)
        self.close()

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self.finish()
        self.close()

    def _put(self, piece: bytes, *, last: bool) -> None:
        length = (len(piece) | (_LAST if last else 0)).to_bytes(4)
        self._file.write(length + self._aead.encrypt(_nonce(self._counter, last), piece, length))
        self._counter += 1


class SealedReader(io.RawIOBase):
    """A file to read from what was sealed in `file`; every byte it gives is proven.

    Its end is reached only where the sealed file's end is proven too; else reading raises SealedTruncated or
    SealedDamaged. What was read before is then still what was sealed, but not all of it: `verify_file` first
    where that matters. One can move about in it if one can in `file`: every piece says by itself which one it
    is. Raises IdentityWrong if it is for somebody else.
    """

    def __init__(self, file: BinaryIO, identity: Identity) -> None:
        super().__init__()
        head = file.read(_HEAD_BYTES)
        if not head.startswith(_MAGIC):
            raise SealedDamaged("This is not a sealed file.")
        if len(head) < _HEAD_BYTES:
            raise SealedTruncated("The sealed file ends within its head.")
        begin, sealed_key = head[:-_SEALED_KEY_BYTES], head[-_SEALED_KEY_BYTES:]
        if begin[len(_MAGIC) :] != identity.recipient.fingerprint:
            raise IdentityWrong(f"The file was sealed for the recipient {begin[len(_MAGIC) :].hex()}.")
        try:
            key = _SUITE.decrypt(sealed_key, identity.key, info=_info(begin))
        except (InvalidTag, ValueError):
            raise SealedDamaged("The head of the sealed file is damaged.") from None
        self._aead = _piece_cipher(key, head)
        self._file = file
        self._begin = file.tell() if file.seekable() else 0
        self._at = 0
        self._following = 0
        """The piece that stands where `file` is."""
        self._pieces: int | None = None
        """How many there are, once the last one was seen."""
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the beginning or from here; where the end is, is not known yet."""
        if whence == os.SEEK_END or not self.seekable():
            raise io.UnsupportedOperation("no way to there in a sealed file")
        self._at = max(offset + (self._at if whence == os.SEEK_CUR else 0), 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as one piece goes; 0 at the end."""
        number, within = divmod(self._at, PIECE_BYTES)
        if self._pieces is not None and number >= self._pieces:
            return 0
        piece = self._kept.get(number)
        if piece is None:
            piece = self._proven(number)
        count = min(len(buffer), max(len(piece) - within, 0))
        buffer[:count] = piece[within : within + count]
        self._at += count
        return count

    def _proven(self, number: int) -> bytes:
        """One piece, which is kept for a while: an archive is read in many places at once."""
        file = self._file
        if number != self._following:
            file.seek(self._begin + number * (4 + PIECE_BYTES + TAG_BYTES))
        self._following = -1  # If this raises, nobody knows where the file is.
        mark = file.read(4)
        if len(mark) < 4:
            raise SealedTruncated(f"The sealed file ends after {number} pieces, before its end.")
        length, last = int.from_bytes(mark) & ~_LAST, bool(int.from_bytes(mark) & _LAST)
        if length > PIECE_BYTES or (length < PIECE_BYTES and not last):
            raise SealedDamaged(f"Piece {number} of the sealed file is damaged.")
        sealed = file.read(length + TAG_BYTES)
        if len(sealed) < length + TAG_BYTES:
            raise SealedTruncated(f"The sealed file ends within piece {number}.")
        try:
            piece = self._aead.decrypt(_nonce(number, last), sealed, mark)
        except InvalidTag:
            raise SealedDamaged(f"Piece {number} of the sealed file is damaged.") from None
        if last:
            if file.read(1):
                raise SealedDamaged("Something stands behind the end of the sealed file.")
            self._pieces = number + 1
        else:
            self._following = number + 1
        self._kept[number] = piece
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return piece


def is_sealed(path: Path) -> bool:
    """Whether a file begins like a sealed one."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def seal_file(source: Path, target: Path, recipient: Recipient) -> None:
    """Write `target`, which only the recipient can open, from `source`; it appears when it is whole.

    Raises StorageError.
    """
    with _appearing(target) as out, open(source, "rb") as file, SealedWriter(out, recipient) as sealed:
        while piece := file.read(PIECE_BYTES):
            sealed.write(piece)


def open_file(source: Path, target: Path, identity: Identity) -> None:
    """Write to `target` (mode 0600) what was sealed in `source`; it appears when all of it is proven.

    Raises IdentityWrong, SealedDamaged, SealedTruncated, StorageError.
    """
    with open(source, "rb") as file, _appearing(target) as out:
        for piece in _pieces(file, identity):
            out.write(piece)


def verify_file(source: Path, identity: Identity) -> int:
    """Prove a sealed file to its end without keeping anything of it; how many bytes it holds.

    Raises IdentityWrong, SealedDamaged, SealedTruncated.
    """
    with open(source, "rb") as file:
        return sum(len(piece) for piece in _pieces(file, identity))


def _pieces(file: BinaryIO, identity: Identity) -> Iterator[bytes]:
    reader = SealedReader(file, identity)
    while piece := reader.read(PIECE_BYTES):
        yield piece


@contextmanager
def _appearing(target: Path) -> Iterator[BinaryIO]:
    """A new file of mode 0600 that gets its name when it is whole and durable.

    Raises MemoryExists if the name is taken, StorageError.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            os.link(draft, target)
        finally:
            os.unlink(draft)
    except FileExistsError:
        raise MemoryExists(f"{target} exists already.") from None
    except OSError as error:
        raise StorageError(f"Could not write {target} ({error.strerror}).") from error


def _info(head: bytes) -> bytes:
    return context("sealed file", head)


def _piece_cipher(key: bytes, head: bytes) -> AESGCM:
    """The cipher of the pieces: its key hangs on every byte of the head."""
    return AESGCM(derived(key, f"sealed file/{hashlib.sha256(head).hexdigest()}"))


def _nonce(counter: int, last: bool) -> bytes:
    return counter.to_bytes(11) + bytes([last])
