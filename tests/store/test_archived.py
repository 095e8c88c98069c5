"""An archive whose entries say anything at all is read or refused, in a typed way."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import ArchiveDamaged, CarmaError
from carma.store.archived import Archived
from carma.store.identity import Identity, identity_bytes
from carma.store.record import NO_ID, RecordKind, encode_header

_BLOCK = tarfile.BLOCKSIZE
SIZES = (b"77777777777\0", b"\x80" + bytes(11), b"\xff" * 12, b"\x80\xff" + b"\xff" * 10, b"           \0")


def _made(records: int) -> bytes:
    """An archive with a segment of so many records."""
    segment = b""
    for seq in range(1, records + 1):
        segment += encode_header(RecordKind.FRAGMENT, 1, seq, 5, NO_ID, 1, len(segment), b"%d" % seq)
        segment += b"%d" % seq
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as archive:
        said = identity_bytes(Identity(id="ab" * 16, created=1.0))
        for name, data in (("memory.json", said), ("segments/000001.seg", segment)):
            entry = tarfile.TarInfo(f"memory/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


WHOLE = _made(12)
with tarfile.open(fileobj=io.BytesIO(WHOLE)) as _archive:
    HEADS = [member.offset for member in _archive]


def _read(data: bytes) -> list[int]:
    archive = Archived(io.BytesIO(data), "it")
    return [item.header.seq for item in archive.records()]


def test_every_record_comes_once_and_in_order() -> None:
    """Also those of one segment that stands there twice."""
    assert _read(WHOLE) == list(range(1, 13))
    twice = WHOLE[: HEADS[1]] + WHOLE[HEADS[1] : -10_240] + WHOLE[HEADS[1] :]
    assert set(_read(twice)) == set(range(1, 13))


def test_a_damaged_record_costs_one_record_and_is_counted() -> None:
    """The payload of one of them."""
    at = WHOLE.rfind(b"7")
    archive = Archived(io.BytesIO(WHOLE[:at] + b"x" + WHOLE[at + 1 :]), "it")
    assert [item.header.seq for item in archive.records()] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert archive.damaged == 1


EDITS = st.lists(st.tuples(st.integers(0, _BLOCK - 1), st.binary(min_size=1, max_size=12)), max_size=4)


@given(st.sampled_from(HEADS), EDITS, st.sampled_from((None, *SIZES)), st.integers(0, len(WHOLE)))
@settings(max_examples=150)
def test_heads_that_say_anything_are_read_or_refused(
    head: int, edits: list[tuple[int, bytes]], size: bytes | None, length: int
) -> None:
    """With a check sum that fits, so that they are believed: lengths, kinds and names of entries."""
    data = bytearray(WHOLE)
    for at, new in [*edits, *([] if size is None else [(124, size)])]:
        data[head + at : head + at + len(new)] = new
    data[head + 148 : head + 156] = b" " * 8
    data[head + 148 : head + 156] = b"%06o\0 " % sum(data[head : head + _BLOCK])
    for wrong in (bytes(data), bytes(data[:length])):
        try:
            assert set(_read(wrong)) <= set(range(1, 13))
        except CarmaError:
            continue


def test_an_archive_without_its_identity_is_refused() -> None:
    """Nothing else says which memory it is."""
    with pytest.raises(ArchiveDamaged, match="holds no memory"):
        _read(WHOLE[HEADS[1] :])
