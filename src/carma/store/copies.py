"""COPIES records: the sketches and short copies of a spread's records, 64 to a record.

Their payload is a map: `i`, the number of the first record in the manifest, `n`, for each of them the length
of its entry (0: it has none), `e`, the entries one after the other. In an encrypted memory `n` and `e` are
sealed together as `s`; `i` stays open, so that a parity file can be made again from its sister without the
key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from carma.store.sealing import Sealer, Sealing

__all__ = ["open_copies", "pack_copies"]

_PART = 64


def pack_copies(entries: Sequence[bytes], spread: int, sealing: Sealing) -> list[bytes]:
    """The payloads of the COPIES records. entries: of each record, in order; empty where there is none."""
    sealer = sealing.file(b"copies", spread.to_bytes(8, "little"))
    parts: list[bytes] = []
    for at in range(0, len(entries), _PART):
        part = entries[at : at + _PART]
        if any(part):
            parts.append(_packed(at, [len(entry) for entry in part], b"".join(part), sealer))
    return parts


def open_copies(payload: bytes, spread: int, sealing: Sealing) -> Mapping[str, Any] | None:
    """The map with `i`, `n` and `e` of a proven payload; None if it is not sealed as this memory is."""
    part: dict[str, Any] = msgpack.unpackb(payload, raw=False)
    sealer = sealing.file(b"copies", spread.to_bytes(8, "little"))
    if sealer is None:
        return part if "e" in part else None
    said = sealer.open(part["s"], _number(part["i"])) if "s" in part else None
    return {**msgpack.unpackb(said, raw=False), "i": part["i"]} if said is not None else None


def _packed(at: int, sizes: list[int], entries: bytes, sealer: Sealer | None) -> bytes:
    said = {"n": sizes, "e": entries}
    if sealer is not None:
        said = {"s": sealer.seal(msgpack.packb(said), _number(at))}
    packed: bytes = msgpack.packb({"i": at, **said})
    return packed


def _number(at: int) -> bytes:
    return at.to_bytes(8, "little")
