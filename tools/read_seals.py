"""What a data key has sealed, opened as docs/FORMAT.md says; for `read_memory`. Needs `cryptography`."""

from __future__ import annotations

from typing import Any

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from read_records import (  # type: ignore[import-not-found]
    FRAGMENT,
    LEDGER,
    RECONSTRUCTION,
    REWRITE,
    TOMBSTONE,
    Header,
)

SEALED = (FRAGMENT, TOMBSTONE, REWRITE, LEDGER, RECONSTRUCTION)


class Key:
    """Opens what a data key has sealed in one memory. secret: 32 bytes. memory: its id."""

    def __init__(self, secret: bytes, memory: str) -> None:
        self.secret, self.memory = secret, memory.encode()
        self.blocks = Cipher(algorithms.AES(self.derived("seal", 32)), modes.ECB()).encryptor()
        double = int.from_bytes(self.blocks.update(bytes(16))) << 1
        # In the field of 2^128 elements of CMAC.
        self.mask = (double ^ (0x87 if double >> 128 else 0)) & ((1 << 128) - 1)

    def derived(self, label: str, length: int) -> bytes:
        """HKDF-Expand-SHA-256 of the data key for one use."""
        return HKDFExpand(SHA256(), length, b"carma/1/" + label.encode()).derive(self.secret)

    def named(self) -> dict[str, str]:
        """How a memory names it."""
        return {
            "key": self.derived("data key id", 16).hex(),
            "commitment": self.derived("data key commitment", 32).hex(),
        }

    def open(self, sealed: bytes, *context: bytes) -> bytes | None:
        """What was sealed in a context, by https://c2sp.org/XAES-256-GCM; None if it was not."""
        nonce, rest = sealed[:24], sealed[24:]
        blocks = (bytes((0, number, 0x58, 0)) + nonce[:12] for number in (1, 2))
        masked = b"".join((int.from_bytes(block) ^ self.mask).to_bytes(16) for block in blocks)
        fields = b"".join(len(field).to_bytes(4) + field for field in context)
        try:
            return AESGCM(self.blocks.update(masked)).decrypt(nonce[12:], rest, fields)
        except (InvalidTag, ValueError):
            return None

    def of_record(self, h: Header, payload: bytes) -> bytes | None:
        """The payload of a record; None if it is not sealed under this header."""
        if h.kind not in SEALED:
            return payload
        numbers = (h.kind.to_bytes(1), h.version.to_bytes(4), h.seq.to_bytes(8), h.time_ms.to_bytes(8))
        return self.open(payload, b"carma record", self.memory, *numbers, h.id, h.text_digest)

    def of_manifest(self, part: dict[str, Any], head: list[Any]) -> bytes | None:
        """The sealed columns of one map of a manifest."""
        numbers = head[0].to_bytes(8, "little") + head[5].to_bytes(8, "little")
        open_head = msgpack.packb(part["h"]) if "h" in part else b""
        return self.open(
            part["s"], b"carma file", self.memory, b"manifest", numbers, part["i"].to_bytes(8, "little"),
            part["g"], open_head,
        )  # fmt: skip
