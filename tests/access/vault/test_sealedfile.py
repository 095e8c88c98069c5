"""Sealed files: what comes out is what went in, and nothing else ever comes out."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256, shake_128
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.vault.recipients import Identity, Recipient, create_identity
from carma.access.vault.sealedfile import (
    PIECE_BYTES,
    SealedReader,
    SealedWriter,
    is_sealed,
    open_file,
    seal_file,
    verify_file,
)
from carma.errors import (
    ArchiveDamaged,
    CarmaError,
    IdentityWrong,
    InvalidInput,
    KekUnsafe,
    MemoryExists,
    SealedDamaged,
    SealedTruncated,
)

IDENTITY = Identity(bytes(range(32)))
HEAD = 1_200
PIECE = 4 + PIECE_BYTES + 16


def _sealed(data: bytes, recipient: Recipient = IDENTITY.recipient) -> bytes:
    out = io.BytesIO()
    with SealedWriter(out, recipient) as writer:
        writer.write(data)
    return out.getvalue()


def _opened(sealed: bytes, identity: Identity = IDENTITY) -> bytes:
    return SealedReader(io.BytesIO(sealed), identity).readall()


_LONG = (data := os.urandom(3 * PIECE_BYTES + 17), _sealed(data))
LENGTHS = [0, 1, 100, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 17]


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_sealed_opens_for_its_recipient(length: int) -> None:
    """Around every border between pieces; the file is as long as the format says."""
    data = os.urandom(length)
    sealed = _sealed(data)
    assert _opened(sealed) == data
    pieces = max(1, -(-length // PIECE_BYTES))
    assert len(sealed) == HEAD + length + 20 * pieces


@given(
    st.lists(st.binary(max_size=3_000), max_size=8), st.lists(st.integers(1, 9_000), min_size=1, max_size=5)
)
@settings(max_examples=30)
def test_it_does_not_matter_how_the_bytes_arrive_and_are_asked_for(
    parts: list[bytes], sizes: list[int]
) -> None:
    """Any division into writes and reads gives the same bytes."""
    out = io.BytesIO()
    with SealedWriter(out, IDENTITY.recipient) as writer:
        for part in parts:
            for _ in range(20):
                writer.write(part)
    out.seek(0)
    reader, found, at = io.BufferedReader(SealedReader(out, IDENTITY)), b"", 0
    while piece := reader.read(sizes[at % len(sizes)]):
        found, at = found + piece, at + 1
    assert found == b"".join(part * 20 for part in parts)


@given(st.lists(st.tuples(st.integers(0, 220_000), st.integers(0, 90_000)), max_size=8))
@settings(max_examples=25)
def test_one_can_move_about_in_what_is_opened(jumps: list[tuple[int, int]]) -> None:
    """From any place it gives the bytes that were sealed there, across pieces and up to the end."""
    reader = io.BufferedReader(SealedReader(io.BytesIO(_LONG[1]), IDENTITY))
    for at, count in jumps:
        assert reader.seek(at) == at
        if at <= len(_LONG[0]):
            assert reader.read(count) == _LONG[0][at : at + count]
    with pytest.raises(io.UnsupportedOperation):
        reader.seek(0, os.SEEK_END)


def test_behind_the_end_and_behind_a_cut_there_is_nothing_to_read() -> None:
    """What was cut off after it was proven is told, and not taken for the end; nor are exchanged pieces."""
    data, sealed = _LONG
    reader = SealedReader(io.BytesIO(sealed), IDENTITY)
    reader.seek(len(data))
    assert reader.read(1) == b""
    cut = SealedReader(io.BytesIO(sealed[: HEAD + PIECE]), IDENTITY)
    cut.seek(PIECE_BYTES + 1)
    with pytest.raises(SealedTruncated):
        cut.read(1)
    swapped = _pieces(sealed)
    swapped[0], swapped[1] = swapped[1], swapped[0]
    wrong = SealedReader(io.BytesIO(sealed[:HEAD] + b"".join(swapped)), IDENTITY)
    wrong.seek(PIECE_BYTES + 1)
    with pytest.raises(SealedDamaged):
        wrong.read(1)


def test_the_key_pair_is_that_of_xwing() -> None:
    """The first vector of draft-connolly-cfrg-xwing-kem, appendix C: its seed makes its public key."""
    public = Identity(shake_128(b"").digest(32)).recipient.public
    assert public.hex().startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14")
    assert public.hex().endswith("859edb06eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534")
    assert sha256(public).hexdigest() == "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"


def test_nobody_else_can_open_it() -> None:
    """Another identity is told for whom it is; a forged fingerprint does not help."""
    sealed, other = _sealed(b"text"), create_identity()
    with pytest.raises(IdentityWrong, match=IDENTITY.recipient.fingerprint.hex()):
        _opened(sealed, other)
    forged = sealed[:16] + other.recipient.fingerprint + sealed[32:]
    with pytest.raises(SealedDamaged):
        _opened(forged, other)


def test_two_sealings_of_the_same_share_nothing() -> None:
    """Every file has a key of its own; behind magic and fingerprint no 8 bytes are equal."""
    first, second = _sealed(bytes(1_000)), _sealed(bytes(1_000))
    assert not {first[at : at + 8] for at in range(32, len(first) - 8)} & {
        second[at : at + 8] for at in range(32, len(second) - 8)
    }


def test_every_flipped_bit_is_refused() -> None:
    """No bit of a small sealed file can be flipped: head, length, text or tag."""
    sealed = _sealed(b"a short text")
    for bit in range(len(sealed) * 8):
        if HEAD > bit // 8 > 100 and bit % 31:
            continue  # The sealed file key is one box; a part of its bits serves.
        wrong = bytearray(sealed)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises((SealedDamaged, SealedTruncated, IdentityWrong)):
            _opened(bytes(wrong))


def test_every_truncation_is_told() -> None:
    """Wherever a file is cut it is SealedTruncated, also exactly between two pieces."""
    sealed = _sealed(os.urandom(2 * PIECE_BYTES + 5))
    cuts = [*range(16, HEAD + 8), HEAD + PIECE - 1, HEAD + PIECE, HEAD + PIECE + 2, HEAD + 2 * PIECE,
            len(sealed) - 17, len(sealed) - 1]  # fmt: skip
    for cut in cuts:
        with pytest.raises(SealedTruncated):
            _opened(sealed[:cut])


def _pieces(sealed: bytes) -> list[bytes]:
    return [sealed[at : at + PIECE] for at in range(HEAD, len(sealed), PIECE)]


REARRANGED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "two exchanged": lambda pieces: [pieces[1], pieces[0], *pieces[2:]],
    "one left out": lambda pieces: [pieces[0], *pieces[2:]],
    "one twice": lambda pieces: [pieces[0], pieces[0], *pieces[1:]],
    "the first taken away": lambda pieces: pieces[1:],
    "the last twice": lambda pieces: [*pieces, pieces[-1]],
    "the last alone": lambda pieces: pieces[-1:],
    "bytes added": lambda pieces: [*pieces, b"x"],
    "marked as last": lambda pieces: [bytes([pieces[0][0] | 0x80]) + pieces[0][1:]],
    "last mark taken": lambda pieces: [*pieces[:-1], bytes([pieces[-1][0] & 0x7F]) + pieces[-1][1:]],
}


@pytest.mark.parametrize("how", REARRANGED)
def test_pieces_that_were_moved_are_refused(how: str) -> None:
    """Exchanged, left out, repeated, added, or marked otherwise: SealedDamaged."""
    sealed = _sealed(os.urandom(3 * PIECE_BYTES))
    with pytest.raises(SealedDamaged):
        _opened(sealed[:HEAD] + b"".join(REARRANGED[how](_pieces(sealed))))


def test_pieces_of_two_files_do_not_mix() -> None:
    """A piece of another file for the same recipient does not fit."""
    mine, other = _sealed(bytes(2 * PIECE_BYTES)), _sealed(bytes(2 * PIECE_BYTES))
    with pytest.raises(SealedDamaged):
        _opened(mine[: HEAD + PIECE] + other[HEAD + PIECE :])


@given(st.binary(max_size=3_000))
def test_any_bytes_are_refused_in_a_typed_way(data: bytes) -> None:
    """Junk, also behind a right beginning, is a CARMA error and nothing else."""
    for junk in (data, _HONEST[:32] + data, _HONEST + data):
        try:
            _opened(junk)
        except CarmaError:
            continue
        assert junk == _HONEST


_HONEST = _sealed(b"honest")


def test_a_writer_that_was_not_finished_is_no_whole_file() -> None:
    """An exception in its block, closing alone, or forgetting it: the reader says that the end is missing."""
    outs = [io.BytesIO() for _ in range(3)]
    with suppress(ZeroDivisionError), SealedWriter(outs[0], IDENTITY.recipient) as writer:
        writer.write(b"text")
        raise ZeroDivisionError
    writer = SealedWriter(outs[1], IDENTITY.recipient)
    writer.close()
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"more")
    writer = SealedWriter(outs[2], IDENTITY.recipient)
    del writer
    for out in outs:
        with pytest.raises(SealedTruncated):
            _opened(out.getvalue())


def test_files_are_sealed_and_opened_whole_or_not_at_all(tmp_path: Path) -> None:
    """A target appears when it is proven to its end; a damaged source leaves nothing; names are not taken."""
    source, sealed, target = (tmp_path / name for name in ("source", "sealed", "target"))
    data = os.urandom(200_000)
    source.write_bytes(data)
    seal_file(source, sealed, IDENTITY.recipient)
    assert is_sealed(sealed) and not is_sealed(source) and not is_sealed(tmp_path / "nowhere")
    assert verify_file(sealed, IDENTITY) == len(data)
    open_file(sealed, target, IDENTITY)
    assert target.read_bytes() == data
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(MemoryExists):
        open_file(sealed, target, IDENTITY)
    whole = sealed.read_bytes()
    for wrong in (whole[:-1], whole[:150_000] + b"x" + whole[150_001:], whole + b"x"):
        sealed.write_bytes(wrong)
        for call in (verify_file, lambda path, who: open_file(path, tmp_path / "new", who)):
            with pytest.raises(ArchiveDamaged):
                call(sealed, IDENTITY)
    assert sorted(os.listdir(tmp_path)) == ["sealed", "source", "target"]


def test_identities_and_recipients_come_back_from_their_files(tmp_path: Path) -> None:
    """What is saved loads as the same; the identity's file is refused if others may read it."""
    identity = create_identity()
    identity.save(tmp_path / "id")
    (tmp_path / "id.pub").write_text(identity.recipient.to_text())
    assert Identity.load(tmp_path / "id").recipient.public == identity.recipient.public
    assert Recipient.load(tmp_path / "id.pub").fingerprint == identity.recipient.fingerprint
    with pytest.raises(FileExistsError):
        identity.save(tmp_path / "id")
    (tmp_path / "id").chmod(0o644)
    with pytest.raises(KekUnsafe):
        Identity.load(tmp_path / "id")
    with pytest.raises(TypeError):
        pickle.dumps(identity)


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    """Either file with a bit flipped is InvalidInput or still the same key; exchanged or missing ones too."""
    identity = create_identity()
    identity.save(tmp_path / "id")
    (tmp_path / "id.pub").write_text(identity.recipient.to_text())
    cases: list[tuple[str, Callable[[Path], Recipient]]] = [
        ("id", lambda path: Identity.load(path).recipient), ("id.pub", Recipient.load)
    ]  # fmt: skip
    for name, load in cases:
        whole = (tmp_path / name).read_bytes()
        for bit in range(0, len(whole) * 8, 3 if name == "id" else 29):
            wrong = bytearray(whole)
            wrong[bit // 8] ^= 1 << bit % 8
            (tmp_path / name).write_bytes(wrong)
            with suppress(InvalidInput):
                assert load(tmp_path / name).public == identity.recipient.public
        for junk in (b"", b"[]", b"null", b'{"format": 1}', whole[:50]):
            (tmp_path / name).write_bytes(junk)
            with pytest.raises(InvalidInput):
                load(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(InvalidInput):
            load(tmp_path / name)
