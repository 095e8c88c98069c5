"""Cauchy Reed-Solomon over GF(256): any k of k + m shards give all of them back.

The field has the polynomial 0x11d and the coding matrix is that of ISA-L's `gf_gen_cauchy1_matrix`: the
identity above 1 / (i xor j), i from k on, j below k. Every square part of a Cauchy matrix can be inverted, so
any choice of survivors will do.

The idea that makes NumPy fast enough: one look-up table per data shard holds all m products of a byte side by
side in 64 bits, so each data byte costs one look-up and one exclusive or, however many parity shards there
are. Rejected: a library in C (an optional accelerator at most; it would be one more thing to trust), one
look-up for every product (eight times the work).

Source: Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme", ICSI TR-95-048, 1995; Plank and
Xu, "Optimizing Cauchy Reed-Solomon Codes for Fault-Tolerant Network Storage Applications", NCA 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_DATA", "MOST_PARITY", "TooFewShards", "decode", "decode_one", "encode", "parity_count"]

Bytes = NDArray[np.uint8]
MOST_DATA = 20
"""Data shards of a full stripe."""
MOST_PARITY = 8
"""Parity shards at most: as many products as fit into 64 bits."""

_POLYNOMIAL = 0x11D
_BLOCK = 1 << 15
"""Bytes of a shard worked on at once: the sums of a block stay in the cache."""


class TooFewShards(Exception):
    """More shards of a stripe are gone than it has parity."""


def parity_count(data: int) -> int:
    """How many parity shards go with so many data shards: relatively more for few.

    With 4 or more, any 3 of the files may be lost. Where each shard is lost with probability 0.05, a lost
    record comes back with at least 0.9999 in a stripe of any length.
    """
    return 4 if data < 4 else 5 if data < 7 else 6 if data < 12 else 7 if data < 18 else MOST_PARITY


def _tables() -> tuple[list[int], list[int]]:
    exp, log, x = [0] * 512, [0] * 256, 1
    for power in range(255):
        exp[power] = exp[power + 255] = x
        log[x] = power
        x <<= 1
        if x & 0x100:
            x ^= _POLYNOMIAL
    return exp, log


_EXP, _LOG = _tables()


def _times(a: int, b: int) -> int:
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def _inverse(a: int) -> int:
    return _EXP[255 - _LOG[a]]


def _coefficient(k: int, row: int, column: int) -> int:
    return _inverse((k + row) ^ column)


def encode(data: Sequence[Bytes] | Bytes, parity: int) -> Bytes:
    """The parity shards of k data shards of equal length, shape (k, length); returns (parity, length)."""
    k = len(data)
    rows = tuple(tuple(_coefficient(k, row, column) for column in range(k)) for row in range(parity))
    return _product(_packed(rows), parity, data)


def decode(data: Sequence[Bytes | None], parity: Sequence[Bytes | None]) -> list[Bytes]:
    """All data shards of a stripe of which some are None. Raises TooFewShards.

    data: k shards of equal length; parity: all m of them, in order, those that are gone as None.
    """
    lost = [at for at, shard in enumerate(data) if shard is None]
    known = [at for at, shard in enumerate(parity) if shard is not None][: len(lost)]
    if len(known) < len(lost):
        raise TooFewShards(f"{len(lost)} data shards are gone and {len(known)} parity shards are left")
    if not lost:
        return [shard for shard in data if shard is not None]
    k, length = len(data), len(next(shard for shard in (*data, *parity) if shard is not None))
    held = [at for at in range(k) if data[at] is not None]
    rows = tuple(tuple(_coefficient(k, row, column) for column in held) for row in known)
    sums = (
        _product(_packed(rows), len(known), [data[at] for at in held])  # type: ignore[misc]
        if held
        else np.zeros((len(known), length), np.uint8)
    )
    for at, row in enumerate(known):
        shard = parity[row]
        assert shard is not None
        sums[at] ^= shard
    solved = _inverted([[_coefficient(k, row, column) for column in lost] for row in known])
    back = _product(_packed(solved), len(lost), sums)
    out = list(data)
    for at, column in enumerate(lost):
        out[column] = back[at]
    return [shard for shard in out if shard is not None]


def decode_one(data: Sequence[bytes | None], wanted: int, parity: Sequence[bytes]) -> bytes:
    """One lost data shard, as many bytes of it as the parity shards have.

    data: all k shards, None for each that is lost; one that is shorter is filled with zeros. parity: the
    first of the m shards, as many as are lost. The answer is only as true as what is given. For one short
    shard much faster than `decode`: tables of bytes, and sums of whole numbers.
    """
    lost = tuple(at for at, shard in enumerate(data) if shard is None)
    total = 0
    for shard, factor in zip((*data, *parity), _factors(len(data), lost, wanted), strict=True):
        if shard is not None:
            total ^= int.from_bytes(shard[: len(parity[0])].translate(_translation(factor)), "little")
    return total.to_bytes(len(parity[0]), "little")


@lru_cache(maxsize=4096)
def _factors(k: int, lost: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """What each data shard and each of the first parity shards is multiplied with to give a lost one."""
    solved = _inverted([[_coefficient(k, row, column) for column in lost] for row in range(len(lost))])
    back = solved[lost.index(wanted)]
    of_data = [0] * k
    for row, factor in enumerate(back):
        for column in range(k):
            of_data[column] ^= _times(factor, _coefficient(k, row, column))
    return (*of_data, *back)


@lru_cache(maxsize=256)
def _translation(factor: int) -> bytes:
    return _row(factor).tobytes()


@lru_cache(maxsize=256)
def _packed(rows: tuple[tuple[int, ...], ...]) -> NDArray[np.uint64]:
    """For each column of a matrix of at most 8 rows: the products of every byte with its coefficients,
    packed.

    Shape (columns, 256).
    """
    columns = len(rows[0])
    out = np.zeros((columns, 256, 8), np.uint8)
    for column in range(columns):
        for row, coefficients in enumerate(rows):
            out[column, :, row] = _row(coefficients[column])
    return out.view("<u8").reshape(columns, 256)


@lru_cache(maxsize=256)
def _row(coefficient: int) -> Bytes:
    return np.array([_times(coefficient, byte) for byte in range(256)], np.uint8)


def _product(tables: NDArray[np.uint64], rows: int, columns: Sequence[Bytes] | Bytes) -> Bytes:
    """The matrix behind `tables` times the columns, shape (rows, length)."""
    length = len(columns[0])
    out = np.empty((rows, length), np.uint8)
    block = min(_BLOCK, length)
    sums, part = np.empty(block, "<u8"), np.empty(block, "<u8")
    for start in range(0, length, _BLOCK):
        size = min(_BLOCK, length - start)
        total, one = sums[:size], part[:size]
        np.take(tables[0], columns[0][start : start + size], out=total, mode="clip")
        for table, column in zip(tables[1:], columns[1:], strict=True):
            np.take(table, column[start : start + size], out=one, mode="clip")
            np.bitwise_xor(total, one, out=total)
        out[:, start : start + size] = total.view(np.uint8).reshape(size, 8)[:, :rows].T
    return out


def _inverted(matrix: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    """The inverse of a small matrix that has one."""
    size = len(matrix)
    rows = [[*row, *(int(at == here) for here in range(size))] for at, row in enumerate(matrix)]
    for at in range(size):
        swap = next(row for row in range(at, size) if rows[row][at])
        rows[at], rows[swap] = rows[swap], rows[at]
        factor = _inverse(rows[at][at])
        rows[at] = [_times(factor, value) for value in rows[at]]
        for other in range(size):
            factor = rows[other][at]
            if other != at and factor:
                rows[other] = [a ^ _times(factor, b) for a, b in zip(rows[other], rows[at], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)
