"""What `tools/fuzz.py` throws bytes at: the readers that meet bytes of strangers and of broken disks.

A target takes any bytes and returns; what it raises is a finding. Errors that a reader promises are its
right answer. Where something honest was changed, a target also asserts that nothing but the honest content
ever comes out: an error that is missing is a finding too. Honest bytes are changed by small programs
(`edited`) that the fuzzer writes, because nobody guesses a check sum.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache

from carma.access.audit.checkpoint import Checkpoint, Signer, open_checkpoint, read_checkpoint
from carma.access.audit.leaf import parse_leaf
from carma.access.audit.log import Log, read_log
from carma.access.audit.note import parse_note, parse_signatures, vkey_lines
from carma.access.audit.proof import check_proof, make_proof
from carma.access.audit.tiles import unpack_bundle
from carma.access.audit.verify import verify_log
from carma.access.frames import HEAD, Frame, assemble, encode, frames_in
from carma.access.keys.permissions import as_permissions
from carma.access.keys.record import StoredKey, StoreSecret, parse_opening
from carma.access.keys.text import RootKey, StaticKey, parse_attempt, parse_key, parse_secret, redacted
from carma.access.vault.datakey import DataKeyCipher
from carma.access.vault.entries import Entry, parse
from carma.access.vault.kek import KeyEncryptionKey
from carma.access.vault.recipients import Identity, Recipient
from carma.access.vault.recovery import from_recovery_code, to_recovery_code
from carma.access.vault.sealedfile import SealedReader, SealedWriter
from carma.errors import CarmaError, FormatTooNew, InvalidInput, KeyMalformed, KeyStoreDamaged, VaultKeyWrong
from carma.ports.cipher import CipherDamaged
from carma.store.entry import followed
from carma.store.payload import Content, encode_content
from carma.store.record import HEADER_BYTES, RecordKind, Said, encode_header
from carma.store.scan import Damaged, merge_copies
from carma.store.sealing import Sealing
from carma.testing import SimulatedClock, SimulatedDisk

__all__ = ["TARGETS", "Target", "seeds"]

Target = Callable[[bytes], None]

CIPHER = DataKeyCipher(bytes(range(32)))
KEK = KeyEncryptionKey(b"\x07" * 32)
SEALING = Sealing(CIPHER, "0" * 32)


def edited(honest: bytes, program: bytes) -> bytes:
    """`honest`, changed step by step: each step is a letter, a place (2 bytes) and a byte."""
    out = bytearray(honest)
    for at in range(0, len(program) - 3, 4):
        what, place, byte = program[at], int.from_bytes(program[at + 1 : at + 3]), program[at + 3]
        place %= len(out) + 1
        if what % 5 == 0 and place < len(out):
            out[place] ^= byte
        elif what % 5 == 1 and place < len(out):
            out[place] = byte
        elif what % 5 == 2:
            del out[place : place + byte]
        elif what % 5 == 3:
            out[place:place] = bytes(out[byte : byte + what])
        elif what % 5 == 4:
            out[place:place] = bytes([byte])
    return bytes(out)


# Keys


def keys(data: bytes) -> None:
    """Texts that somebody sends as a key: parsed or refused, never repeated, and equal to what was sent."""
    for text in (data.decode("utf-8", "surrogateescape"), edited(_key(data[:1]), data[1:]).decode("latin-1")):
        attempt = parse_attempt(text)
        assert attempt is None or attempt.text == text
        with suppress(InvalidInput):
            as_permissions(text)
        try:
            found = parse_key(text)
        except KeyMalformed as error:
            said = str(error.problem())
            assert len(text) < 30 or text not in said
            continue
        if isinstance(found, RootKey | StaticKey):
            assert type(parse_secret(text)) is type(found)
            shown = found.fingerprint + repr(found) + redacted(text)
            assert text[-40:] not in shown


def _key(choice: bytes) -> bytes:
    texts = _keys()
    return texts[(choice or b"\0")[0] % len(texts)]


@cache
def _keys() -> list[bytes]:
    from carma.access.keys.making import make_root_keys, make_static_key
    from carma.testing import SeededEntropy

    entropy = SeededEntropy(1)
    _, root = make_root_keys(entropy, bytes(32), "rw")[0]
    _, static = make_static_key(entropy, bytes(32), "r")
    return [root.text.encode(), static.text.encode(), root.fingerprint.encode()]


# Records


def record(data: bytes) -> None:
    """Segments of an encrypted memory as a broken or hostile disk gives them back.

    Somebody without the key can make headers with right check sums; what they seal is never believed.
    """
    for segment in (data, edited(_segment(), data), _forged(data)):
        items = list(merge_copies(segment, lambda: b"", len(segment), 1))
        for item in SEALING.believed(items):
            entry = followed(item, SEALING)
            if entry is None or isinstance(item, Damaged):
                continue
            if entry.content is not None:
                assert (entry.id, entry.version, entry.seq, entry.content) in _contents()
            elif entry.kind == RecordKind.TOMBSTONE:
                assert entry.id == b"\x02" * 16
    with suppress(CipherDamaged):
        CIPHER.open(data, b"")
        raise AssertionError("bytes were opened that nobody sealed")


@cache
def _honest() -> list[Said]:
    texts = ["first", "a second text", ""]
    said = [
        Said(RecordKind.FRAGMENT, 1, at + 1, 1_000 + at, bytes([at]) * 16, SEALING.text_digest(text),
             encode_content(_content(text)))
        for at, text in enumerate(texts)
    ]  # fmt: skip
    return [*said, Said(RecordKind.TOMBSTONE, 2, 4, 1_010, b"\x02" * 16, bytes(16), b"")]


def _content(text: str) -> Content:
    return Content(text, None, 1.0, "note", {"k": [1, None]}, "ada")


@cache
def _contents() -> list[tuple[bytes, int, int, Content]]:
    return [
        (said.id, said.version, said.seq, _content(text))
        for said, text in zip(_honest(), ["first", "a second text", ""], strict=False)
    ]


@cache
def _segment() -> bytes:
    out = b""
    for said in _honest():
        stored = SEALING.seal(said)
        out += encode_header(
            said.kind, said.version, said.seq, said.time_ms, said.id, 1, len(out), stored, said.text_digest
        )
        out += stored
    return out


def _forged(data: bytes) -> bytes:
    """A record whose header somebody made: fields from `data`, over sealed bytes of another record."""
    said = _honest()[data[0] % 4] if data else _honest()[0]
    stored = edited(SEALING.seal(said), data[20:])
    fields = data[1:20].ljust(19, b"\0")
    kind = fields[0] % 12 if fields[0] else said.kind
    version = said.version if not fields[1] else fields[1]
    seq = said.seq if not fields[2] else int.from_bytes(fields[2:5])
    id = said.id if not fields[5] else fields[3:19]
    return encode_header(kind, version, seq, said.time_ms, id, 1, 0, stored, said.text_digest) + stored


# The vault: what the key-encryption key wrapped, records of its journal, codes, sealed files


def vault(data: bytes) -> None:
    """Wrapped keys, journal records, recovery codes and sealed files, made up or changed."""
    for wrapped in (data, edited(_wrapped(), data)):
        try:
            assert KEK.unwrap(wrapped, b"here") == b"secret" and wrapped == _wrapped()
        except VaultKeyWrong:
            assert wrapped != _wrapped()
    for raw in (data, edited(_entry(), data)):
        with suppress(FormatTooNew):
            parse(raw)
        with suppress(KeyStoreDamaged, FormatTooNew):
            parse_opening(raw)
        with suppress(KeyStoreDamaged, FormatTooNew):
            assert not isinstance(StoreSecret(bytes(32)).parse(raw), StoredKey)
    for code in (data, edited(to_recovery_code(bytes(32)).encode(), data)):
        with suppress(InvalidInput):
            from_recovery_code(code.decode("utf-8", "replace"))
    for sealed in (data, _sealed()[:1_200] + data, edited(_sealed(), data)):
        try:
            assert SealedReader(io.BytesIO(sealed), _identity()).readall() == b"honest" * 20
            assert sealed == _sealed()
        except CarmaError:
            assert sealed != _sealed()
    with suppress(InvalidInput):
        Recipient(data)


@cache
def _wrapped() -> bytes:
    return KEK.wrap(b"secret", b"here")


@cache
def _entry() -> bytes:
    from carma.access.vault.entries import to_bytes

    return to_bytes(Entry(bytes(16), 1.0, bytes(16), bytes(32), _wrapped()))


@cache
def _identity() -> Identity:
    return Identity(bytes(32))


@cache
def _sealed() -> bytes:
    out = io.BytesIO()
    with SealedWriter(out, _identity().recipient) as writer:
        writer.write(b"honest" * 20)
    return out.getvalue()


# The journal: four copies of a file, each changed by a program of its own


def journal(data: bytes) -> None:
    """Copies of a journal that rotted differently: what is put together was written, or is called lost.

    A fuzzer that watches comparisons makes frames with right digests, and so could whoever writes the files:
    the digest is against rot. What is made so only has to be taken without an error.
    """
    honest, frames = _journal()
    size = max(len(data) // 4, 1)
    copies = [edited(honest, data[at * size : (at + 1) * size]) for at in range(4)]
    for held in (copies, [copies[0], honest, copies[1], copies[2]], [data]):
        image = assemble(held, len(frames))
        if image is None:
            assert honest not in held
            continue
        if not {frame for copy in held for frame in frames_in(copy)} <= set(frames):
            continue
        # How many are lost nobody can say where the beginning is: that some are, always.
        assert image.lost or image.frames == tuple(frames)
        if honest in held:
            assert (image.data, image.lost) == (honest, ())


@cache
def _journal() -> tuple[bytes, list[Frame]]:
    first = encode([HEAD, b"one", b"two" * 9], 3, 1, 0)
    data = first + encode([b"three"], 3, 4, len(first))
    return data, list(frames_in(data))


# The audit log

_LOG, _SIGNER = "/audit/log", ("example.com/log", b"\x01" * 32, b"\x02" * 32)


def audit(data: bytes) -> None:
    """Notes, leaves, proofs and tiles, made up or changed: proven, refused, or found by the verifier."""
    disk, entries, note, proof = _log()
    signer = _signer()
    for raw in (data, edited(note, data)):
        for read in (parse_note, parse_signatures, vkey_lines, parse_leaf):
            with suppress(ValueError):
                read(raw)
        with suppress(CarmaError):
            read_checkpoint(raw)
        with suppress(CarmaError):
            checkpoint, _ = open_checkpoint(raw, signer.verifiers(), origin=signer.name)
            assert checkpoint == open_checkpoint(note, signer.verifiers())[0]
    with suppress(ValueError):
        parse_leaf(edited(entries[0], data))
    with suppress(ValueError):
        Checkpoint.parse(data.decode("utf-8", "replace"))
    with suppress(CarmaError):
        proven = check_proof(edited(proof, data), signer.verifiers())
        assert proven[:2] == (7, entries[7])
    if data:
        with suppress(ValueError):
            unpack_bundle(data[1:], data[0])
    # A whole log takes a hundred times as long as a text, so it has its turn less often.
    if data[:1] < b"\x20":
        _changed_tile(disk, entries, data)


def _changed_tile(disk: SimulatedDisk, entries: list[bytes], data: bytes) -> None:
    """One file of the log is changed: what comes out is honest or an error, and the verifier sees it."""
    paths = [path for path in disk.paths() if path.startswith(f"{_LOG}/")]
    path = paths[(data[:1] or b"\0")[0] % len(paths)]
    honest = disk.contents(path)
    wrong = edited(honest, data[1:])
    disk.put(path, wrong)
    try:
        with suppress(CarmaError):
            reader, _ = read_log(disk, _LOG, _signer().verifiers())
            assert [entry for _, entry in reader.entries()] == entries
        report = verify_log(disk, _LOG, _signer().verifiers())
        assert report.sound or wrong != honest
        if not path.endswith("checkpoint"):  # Anybody may add signatures of strangers to a note.
            assert not report.sound or wrong == honest
    finally:
        disk.put(path, honest)


@cache
def _signer() -> Signer:
    return Signer(*_SIGNER)


@cache
def _log() -> tuple[SimulatedDisk, list[bytes], bytes, bytes]:
    disk = SimulatedDisk()
    entries = [b'{"event":"%032x","leaf":1}' % number for number in range(300)]
    log = Log(disk, _LOG, "/audit/private", _signer(), SimulatedClock())
    log.append(entries)
    reader, note = log.reader(), log.checkpoint()
    return disk, entries, note, make_proof(reader, note, 7, entries[7])


TARGETS: Mapping[str, Target] = {
    "keys": keys, "record": record, "vault": vault, "journal": journal, "audit": audit,
}  # fmt: skip
"""Every target by name."""


def seeds(name: str) -> Iterator[bytes]:
    """Honest inputs of a target, from which a fuzzer starts."""
    yield b""
    yield b"\0\0\5\1" * 3
    if name == "keys":
        yield from _keys()
        yield b"carma_abcdefgh_pi_000000_perm_rw_meta_1_quantum_" + b"0" * 32
    elif name == "record":
        yield _segment()
        yield bytes(19 + 8)
    elif name == "journal":
        yield _journal()[0]
    elif name == "vault":
        yield from (_wrapped(), _entry(), to_recovery_code(bytes(32)).encode(), _sealed())
    else:
        _, entries, note, proof = _log()
        yield from (entries[0], note, proof, b"\2" + HEADER_BYTES.to_bytes(2))
