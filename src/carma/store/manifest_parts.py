"""A manifest as bytes: the MANIFEST records in which it stands.

A MANIFEST record holds a MessagePack map (docs/FORMAT.md). The first one has the head `h`; each has `i`, the
number of its first record, and `c`, columns of up to 8,192 records, byte plane by byte plane, packed by zlib.

In an encrypted memory the columns stand in two parts. `g` says what parity is decoded by, numbers and
lengths, and stays open, so that files are mended by who has no key; `s`, all others, is sealed together with
what is open, so that nobody without the key writes another manifest. Rejected: sealing all of it (parity
would be worth nothing without the key), sealing nothing (an older record would pass for the newest).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from carma.store.manifest import DIGEST_BYTES, Head, Listed, Manifest
from carma.store.record import NO_ID
from carma.store.sealing import PLAIN, Sealing

__all__ = ["PART", "identity_in", "pack_parts", "unpack_parts"]

PART = 8192
"""Records in one MANIFEST record. A part that is damaged in all four files costs the whole manifest, so there
are few of them."""

_WIDTHS = (8, 1, 4, 8, 16, 4, DIGEST_BYTES)
"""Bytes of: seq, kind, version, time, id, payload length, text digest."""
_SEQ, _LENGTH = 0, 5
_OPEN = (_SEQ, _LENGTH)
_SEALED = (1, 2, 3, 4, 6)
"""Columns that stay open in an encrypted memory, and those that are sealed."""


def pack_parts(head: Head, records: Sequence[Listed], sealing: Sealing = PLAIN) -> list[bytes]:
    """The payloads of the MANIFEST records.

    In an encrypted memory only what parity is decoded by stays open (numbers and lengths, the head); all of
    it is sealed with the rest, so that nobody without the key can write another manifest.
    """
    parts = []
    for at in range(0, max(len(records), 1), PART):
        columns = _planes(records[at : at + PART])
        sealer = sealing.file(b"manifest", _said(head.spread, head.created_ms))
        part: dict[str, Any] = {"i": at}
        part.update(
            {"c": _packed(columns)} if sealer is None else {"g": _packed([columns[at] for at in _OPEN])}
        )
        if at == 0:
            part["h"] = list(head)
        if sealer is not None:
            part["s"] = sealer.seal(_packed([columns[at] for at in _SEALED]), *_about(part))
        parts.append(msgpack.packb(part, use_bin_type=True))
    return parts


def unpack_parts(
    parts: Sequence[bytes], sealing: Sealing = PLAIN, *, without_key: bool = False
) -> Manifest | None:
    """The manifest of proven payloads; None if one is missing, or not sealed as this memory is.

    without_key: of a sealed manifest only numbers and lengths; by them places, stripes and parity follow.
    """
    found: dict[int, tuple[dict[str, Any], bytes]] = {}
    for payload in parts:
        part = msgpack.unpackb(payload, raw=False)
        found.setdefault(part["i"], (part, payload))
    if 0 not in found:
        return None
    head = Head(*found[0][0]["h"])
    wanted = range(0, max(head.records, 1), PART)
    if any(at not in found for at in wanted):
        return None
    records: list[Listed] = []
    for at in wanted:
        part = found[at][0]
        listed = _unpack_open(part) if without_key and "g" in part else _unpack_part(part, head, sealing)
        if listed is None:
            return None
        records += listed
    return Manifest(head, records, [found[at][1] for at in wanted])


def identity_in(payload: bytes) -> Mapping[str, Any] | None:
    """The members of memory.json in a proven MANIFEST payload; None if it is not the one with the head."""
    part = msgpack.unpackb(payload, raw=False)
    return Head(*part["h"]).identity if "h" in part else None


def _said(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def _about(part: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    """All that a part says openly."""
    head = msgpack.packb(part["h"], use_bin_type=True) if "h" in part else b""
    return _said(part["i"]), part["g"], head


def _unpack_part(part: Mapping[str, Any], head: Head, sealing: Sealing) -> list[Listed] | None:
    sealer = sealing.file(b"manifest", _said(head.spread, head.created_ms))
    if sealer is None:
        return _listed(_unpacked(part["c"], range(len(_WIDTHS)))) if "c" in part else None
    names = sealer.open(part["s"], *_about(part)) if "s" in part else None
    if names is None:
        return None
    columns = {**_unpacked(part["g"], _OPEN), **_unpacked(names, _SEALED)}
    return _listed(columns)


def _unpack_open(part: Mapping[str, Any]) -> list[Listed]:
    """The records of a sealed part as far as they can be known without the key."""
    columns = _unpacked(part["g"], _OPEN)
    lengths = columns[_LENGTH].view("<u4").ravel().tolist()
    seqs = np.cumsum(columns[_SEQ].view("<i8").ravel()).tolist()
    return [Listed(seq, 0, 0, 0, NO_ID, length, b"") for seq, length in zip(seqs, lengths, strict=True)]


def _planes(records: Sequence[Listed]) -> list[bytes]:
    """The columns of records, each byte plane by byte plane."""
    count = len(records)
    seqs = np.fromiter((r.seq for r in records), np.int64, count)
    times = np.fromiter((r.time_ms for r in records), np.int64, count)
    columns = (
        np.diff(seqs, prepend=0).astype("<i8"),
        np.fromiter((r.kind for r in records), np.uint8, count),
        np.fromiter((r.version for r in records), "<u4", count),
        np.diff(times, prepend=0).astype("<i8"),
        np.frombuffer(b"".join(r.id for r in records), np.uint8),
        np.fromiter((r.length for r in records), "<u4", count),
        np.frombuffer(b"".join(r.digest for r in records), np.uint8),
    )
    return [
        column.view(np.uint8).reshape(count, width).T.tobytes()
        for column, width in zip(columns, _WIDTHS, strict=True)
    ]


def _packed(planes: Sequence[bytes]) -> bytes:
    return zlib.compress(b"".join(planes), 9)


def _unpacked(data: bytes, which: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """Columns by their number, each of shape (records, width). Raises ValueError."""
    unpacking = zlib.decompressobj()
    try:
        # What no writer wrote may be anything, so it is not unpacked beyond what a writer writes.
        raw = np.frombuffer(unpacking.decompress(data, PART * sum(_WIDTHS) + 1), np.uint8)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof or len(raw) % sum(_WIDTHS[column] for column in which):
        raise ValueError("the columns of a manifest are not whole")
    count = len(raw) // sum(_WIDTHS[column] for column in which)
    columns: dict[int, NDArray[np.uint8]] = {}
    at = 0
    for column in which:
        width = _WIDTHS[column]
        columns[column] = np.ascontiguousarray(raw[at : at + width * count].reshape(width, count).T)
        at += width * count
    return columns


def _listed(columns: Mapping[int, NDArray[np.uint8]]) -> list[Listed]:
    seqs = np.cumsum(columns[0].view("<i8").ravel())
    times = np.cumsum(columns[3].view("<i8").ravel())
    ids, digests = columns[4].tobytes(), columns[6].tobytes()
    return [
        Listed(
            seq, kind, version, time_ms, ids[at * 16 : at * 16 + 16], length,
            digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES],
        )
        for at, (seq, kind, version, time_ms, length) in enumerate(
            zip(
                seqs.tolist(), columns[1].ravel().tolist(), columns[2].view("<u4").ravel().tolist(),
                times.tolist(), columns[5].view("<u4").ravel().tolist(), strict=True,
            )
        )
    ]  # fmt: skip
