"""Sealing: how what a memory keeps is encrypted by its owner's cipher, or, without one, kept as it is.

Only payloads are sealed, so everything below works on the sealed bytes as on any others: digests, mirrors,
parity, resynchronising. Each is sealed together with what its header says of it (kind, id, version, number
and time of the write, digest of the text) and with the memory's id, so a payload under another header is
noticed. The place is not part of that, because spreading moves records. Tombstones are sealed too, though
they say nothing: nobody without the key can delete. What says nothing but names of files stays open:
MEMORY, FOOTER, VOID and PARITY.

The digest of a text is keyed: a bare one would confirm whoever guesses a short text.

Rejected: encrypting whole files (one flipped bit would cost a file, and nothing could be repaired without the
key), a flag on each record that says whether it is sealed (whoever clears it would choose what is believed).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from blake3 import blake3

from carma.ports.cipher import Cipher, CipherDamaged
from carma.store.record import Header, RecordDamaged, RecordKind, Said
from carma.store.scan import Damaged, Intact

__all__ = ["PLAIN", "SEALED_KINDS", "Digest", "Sealer", "Sealing", "fields", "plain_digest"]

Digest = Callable[[bytes], bytes]
"""32 bytes for the bytes of a text; keyed where the memory is encrypted."""

SEALED_KINDS = frozenset(
    (
        RecordKind.FRAGMENT,
        RecordKind.TOMBSTONE,
        RecordKind.REWRITE,
        RecordKind.LEDGER,
        RecordKind.RECONSTRUCTION,
    )
)
"""Records whose whole payload is sealed. A MANIFEST is sealed in part, and COPIES in their own way."""

_IS_SEALED = [kind in SEALED_KINDS for kind in range(256)]
_TEXT_BYTES = 16
# What a record's header says wherever the record lies, each field with its length in front.
_SAID = struct.Struct(">IBIIIQIQI16sI16s")


def fields(*parts: bytes) -> bytes:
    """The fields as bytes that no other list of fields has: each with its length (4 bytes) in front."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def plain_digest(data: bytes) -> bytes:
    """BLAKE3 of `data`, 32 bytes."""
    return blake3(data).digest()


class Sealer(NamedTuple):
    """A cipher for the parts of one file. about: what the file is; part of every context."""

    cipher: Cipher
    about: bytes

    @property
    def overhead(self) -> int:
        """How many bytes longer sealed bytes are."""
        return self.cipher.overhead

    def seal(self, data: bytes, *part: bytes) -> bytes:
        """`data`, sealed as the part named by `part`."""
        return self.cipher.seal(data, self.about + fields(*part))

    def open(self, sealed: bytes, *part: bytes) -> bytes | None:
        """What was sealed as this part; None if it was not, or is damaged."""
        try:
            return self.cipher.open(sealed, self.about + fields(*part))
        except CipherDamaged:
            return None


class Sealing:
    """Seals and opens what one memory keeps. memory: its id. Safe to share between threads."""

    def __init__(self, cipher: Cipher | None = None, memory: str = "") -> None:
        self.cipher = cipher
        self._memory = memory
        self._record = fields(b"carma record", memory.encode())
        self.digest: Digest = cipher.digest if cipher is not None else plain_digest

    def text_digest(self, text: str) -> bytes:
        """The digest of a text in UTF-8 as headers hold it, 16 bytes."""
        return self.digest(text.encode())[:_TEXT_BYTES]

    @cached_property
    def registry_key(self) -> bytes | None:
        """The key of this memory's registry, 32 bytes; None if it is not encrypted."""
        return self.cipher.subkey(f"registry {self._memory}") if self.cipher is not None else None

    def file(self, *about: bytes) -> Sealer | None:
        """What seals the parts of a file that is no segment; None where nothing is sealed."""
        if self.cipher is None:
            return None
        return Sealer(self.cipher, fields(b"carma file", self._memory.encode(), *about))

    # Records

    def seal(self, said: Said) -> bytes:
        """The payload of `said` as it is stored."""
        if self.cipher is None or not _IS_SEALED[said.kind]:
            return said.payload
        return self.cipher.seal(said.payload, self._context(said))

    def open(self, said: Said) -> bytes:
        """The payload of `said`, which is as it is stored. Raises CipherDamaged."""
        if self.cipher is None or not _IS_SEALED[said.kind]:
            return said.payload
        return self.cipher.open(said.payload, self._context(said))

    def payload(self, header: Header, stored: bytes) -> bytes:
        """What was stored under a header. Raises RecordDamaged ("bad seal")."""
        if self.cipher is None or not _IS_SEALED[header.kind]:
            return stored
        kind, _, _, version, seq, time_ms, id, segment, offset, _, digest, _ = header
        said = _SAID.pack(1, kind, 4, version, 8, seq, 8, time_ms, 16, id, 16, digest)
        try:
            return self.cipher.open(stored, self._record + said)
        except CipherDamaged:
            raise RecordDamaged("bad seal", segment, offset) from None

    def believed(self, items: Iterable[Intact | Damaged]) -> Iterator[Intact | Damaged]:
        """Records and damage as they are; a record that the owner did not seal is damage."""
        for item in items:
            if isinstance(item, Damaged) or self.proves(*item):
                yield item
            else:
                h = item.header
                yield Damaged(h.offset, h.end - h.offset, "bad seal", h)

    def proves(self, header: Header, stored: bytes) -> bool:
        """Whether a payload was stored under this header by somebody who has the key."""
        try:
            self.payload(header, stored)
        except RecordDamaged:
            return False
        return True

    def _context(self, said: Said) -> bytes:
        kind, version, seq, time_ms, id, digest, _ = said
        return self._record + _SAID.pack(1, kind, 4, version, 8, seq, 8, time_ms, 16, id, 16, digest)


PLAIN = Sealing()
"""Nothing is sealed."""
