"""Fragment ids: 128 bits in the layout of UUID version 7 (RFC 9562), shown as 32 hexadecimal digits.

They sort by time of creation, so a page of a list stays in place while other fragments change.
"""

from __future__ import annotations

from carma.errors import InvalidInput
from carma.ports.clock import Clock, Entropy

__all__ = ["id_bytes", "new_id"]


def new_id(clock: Clock, entropy: Entropy) -> bytes:
    """A new id: 48 bits of milliseconds, then 74 random bits."""
    time_ms = int(clock.now() * 1000) & (2**48 - 1)
    random = bytearray(entropy.bytes(10))
    random[0] = 0x70 | (random[0] & 0x0F)
    random[2] = 0x80 | (random[2] & 0x3F)
    return time_ms.to_bytes(6, "big") + bytes(random)


def id_bytes(id: str) -> bytes:
    """The 16 bytes of an id as users write it; dashes are ignored. Raises InvalidInput."""
    if isinstance(id, str):
        digits = id.replace("-", "")
        if len(digits) == 32:
            try:
                return bytes.fromhex(digits)
            except ValueError:
                pass
    raise InvalidInput(f"{id!r} is not a fragment id; ids are 32 hexadecimal digits.")
