"""Signed notes and checkpoints: those of others are read, and nothing false is believed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.audit.checkpoint import Checkpoint, Signer, cosigners, open_checkpoint, signed_by
from carma.access.audit.note import Note, Signature, Verifier, parse_note, parse_signatures, vkey_lines
from carma.errors import AuditDamaged

from .making import SIGNER, signer

# The example of the Go project's package golang.org/x/mod/sumdb/note.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501

CHECKPOINT = Checkpoint("example.com/log", 20_852_163, bytes(range(32)))


def note_of(checkpoint: Checkpoint, *more: Signature, by: Signer = SIGNER) -> bytes:
    return Note(checkpoint.text, (*by.sign(checkpoint, 1_750_000_000), *more)).to_bytes()


def test_a_note_of_another_implementation_is_verified() -> None:
    """Key, note and signature of the Go implementation: parsed, accepted, and written back the same."""
    key = Verifier.parse(VKEY)
    note = parse_note(f"{TEXT}\n{LINE}".encode())
    assert key.vkey == VKEY
    assert note.text == TEXT and note.to_bytes() == f"{TEXT}\n{LINE}".encode()
    assert key.wrote(note.signatures[0]) and key.accepts(note.signatures[0], TEXT.encode())
    assert not key.accepts(note.signatures[0], TEXT.replace("don't", "do").encode())


def test_a_checkpoint_carries_both_signatures() -> None:
    """Either key of the log alone is enough to believe it, and both are there."""
    data = note_of(CHECKPOINT)
    for verifier in SIGNER.verifiers():
        assert open_checkpoint(data, [verifier])[0] == CHECKPOINT
    assert len(signed_by(CHECKPOINT, parse_note(data).signatures, SIGNER.verifiers())) == 2


def test_the_message_of_a_cosignature_is_that_of_the_specification() -> None:
    """Bytes of tlog-cosignature: the text with a time for Ed25519, the packed statement for ML-DSA-44."""
    text = CHECKPOINT.text
    assert CHECKPOINT.message(4, "w", 1679315147) == f"cosignature/v1\ntime 1679315147\n{text}".encode()
    assert CHECKPOINT.message(6, "w/1", 1679315147) == (
        b"subtree/v1\n\x00" + b"\x03w/1" + (1679315147).to_bytes(8, "big") + b"\x0fexample.com/log"
        + bytes(8) + (20_852_163).to_bytes(8, "big") + bytes(range(32))
    )  # fmt: skip


def test_unknown_signatures_are_ignored_and_false_ones_are_not() -> None:
    """A stranger's signature changes nothing; one that claims to be a known key's spoils the note."""
    stranger = signer("example.org/other")
    data = note_of(CHECKPOINT, *stranger.sign(CHECKPOINT, 5))
    assert open_checkpoint(data, SIGNER.verifiers())[0] == CHECKPOINT
    with pytest.raises(AuditDamaged):
        open_checkpoint(data, signer("example.com/nobody").verifiers())
    other = CHECKPOINT._replace(size=7)
    swapped = Note(other.text, SIGNER.sign(CHECKPOINT, 5)).to_bytes()
    with pytest.raises(AuditDamaged, match="wrong"):
        open_checkpoint(swapped, SIGNER.verifiers())


def test_a_cosignature_holds_for_its_time_and_name_only() -> None:
    """Another time before the signature, or another name of the witness, and it is refused."""
    witness = signer("example.com/w1")
    for line in witness.sign(CHECKPOINT, 1_000, witness=True):
        moved = line._replace(data=(1_001).to_bytes(8, "big") + line.data[8:])
        assert cosigners(CHECKPOINT, [line], witness.verifiers(witness=True)) == {"example.com/w1": 1_000}
        with pytest.raises(AuditDamaged):
            cosigners(CHECKPOINT, [moved], witness.verifiers(witness=True))
    log_line = SIGNER.sign(CHECKPOINT, 1_000)[0]
    assert cosigners(CHECKPOINT, [log_line], SIGNER.verifiers()) == {}


HOSTILE = {
    "empty": b"",
    "no signature": TEXT.encode() + b"\n",
    "no blank line": (TEXT + LINE).encode(),
    "no line end": f"{TEXT}\n{LINE}".encode()[:-1],
    "not UTF-8": TEXT.encode() + b"\n\xff\xfe\n",
    "a control character": f"{TEXT}\x00\n{LINE}".encode(),
    "a carriage return": f"{TEXT}\r\n\n{LINE}".encode(),
    "a hyphen for the dash": f"{TEXT}\n{LINE.replace('—', '-')}".encode(),
    "no name": f"{TEXT}\n—  eDA4MA==\n".encode(),
    "a plus in the name": f"{TEXT}\n— a+b {LINE.split(' ')[2]}".encode(),
    "not base64": f"{TEXT}\n— name !!!!\n".encode(),
    "base64 with loose bits": f"{TEXT}\n— name AAAAAAB=\n".encode(),
    "a short signature": f"{TEXT}\n— name {base64.b64encode(b'1234').decode()}\n".encode(),
    "too many signatures": f"{TEXT}\n{LINE * 65}".encode(),
    "too long": b"a" * 300_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_malformed_note_is_refused(what: str) -> None:
    """Whatever is wrong with it: ValueError, and no other error."""
    with pytest.raises(ValueError):  # noqa: PT011
        parse_note(HOSTILE[what])


@pytest.mark.parametrize(
    "text",
    [
        "", "a\n", "a\n1\n", "a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n",
        f"a\n1\n{base64.b64encode(bytes(31)).decode()}\n", f"\n1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"a\n1\n{base64.b64encode(bytes(32)).decode()}\nextension\n",
        f"a\n99999999999999999\n{base64.b64encode(bytes(32)).decode()}\n",
    ],
)  # fmt: skip
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    """No origin, a size with a zero in front, a root of another length, lines too many."""
    with pytest.raises(ValueError, match="not a checkpoint"):
        Checkpoint.parse(text)


@pytest.mark.parametrize("vkey", [
    "", "a", "a+b", "a b+c74f20a3+AQ==", "PeterNeumann+c74f20a4+" + VKEY.split("+", 2)[2],
    "PeterNeumann+C74F20A3+" + VKEY.split("+", 2)[2], VKEY[:-4], "PeterNeumann+c74f20a3+",
    "Peter+c74f20a3+" + VKEY.split("+", 2)[2],
])  # fmt: skip
def test_a_malformed_key_is_refused(vkey: str) -> None:
    """A key whose id, type, length or name does not fit."""
    with pytest.raises(ValueError):  # noqa: PT011
        Verifier.parse(vkey)


def test_a_file_of_keys_may_hold_remarks() -> None:
    """One key a line; empty lines and those with # in front say nothing."""
    keys = SIGNER.verifiers()
    text = f"# of the log\n\n{keys[0].vkey}\n{keys[1].vkey}\n"
    assert vkey_lines(text.encode()) == list(keys)


@given(data=st.binary(max_size=400))
def test_no_bytes_upset_the_parsers(data: bytes) -> None:
    """Any bytes are a note or a ValueError, and any text a key or a ValueError."""
    for parse in (parse_note, parse_signatures, vkey_lines):
        try:
            parse(data)
        except ValueError:
            continue


def test_secrets_do_not_show() -> None:
    """A signer shows its name and nothing else."""
    assert repr(SIGNER) == "Signer('example.com/log')"
