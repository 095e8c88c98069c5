"""Proofs: one event is proven to whoever has the public keys, without the log."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from carma.access.audit.log import read_log
from carma.access.audit.proof import check_proof, find_event, make_proof
from carma.access.audit.trail import AuditTrail, log_folder, published_keys
from carma.errors import AuditDamaged, EventNotLogged
from carma.ports.disk import LocalDisk
from carma.testing import SimulatedDisk

from .making import entries, leaf, open_log, signer


def test_a_proof_is_checked_without_the_log(tmp_path: Path) -> None:
    """It leads from the leaf to a checkpoint with signatures; the keys are all that is needed."""
    with AuditTrail(tmp_path / "audit") as trail:
        trail.note(*(leaf(number) for number in range(300)))
        trail.sequence()
        witness = signer("example.com/w1")
        checkpoint = trail.log.reader().checkpoint
        trail.log.add_signatures(checkpoint, witness.sign(checkpoint, 9, witness=True))
        keys = published_keys(LocalDisk(), log_folder(str(tmp_path / "audit")))
        reader, note = read_log(LocalDisk(), log_folder(str(tmp_path / "audit")), keys)
    number, data = find_event(reader, f"{77:032X}")
    proof = make_proof(reader, note.to_bytes(), number, data)
    shutil.rmtree(tmp_path / "audit")
    known = witness.verifiers(witness=True)
    proven = check_proof(proof, keys, known, quorum=1)
    assert (proven.number, proven.leaf, proven.witnesses) == (77, leaf(77).to_bytes(), {"example.com/w1": 9})
    with pytest.raises(AuditDamaged, match="0 of the witnesses"):
        check_proof(proof, keys, signer("example.com/w2").verifiers(witness=True), quorum=1)
    with pytest.raises(EventNotLogged):
        find_event(LogOf(entries(3)).reader, "f" * 32)


class LogOf:
    """A small log on a disk of its own."""

    def __init__(self, whole: list[bytes]) -> None:
        log = open_log(SimulatedDisk())
        log.append(whole)
        self.reader, self.note = log.reader(), log.checkpoint()
        self.keys = log.signer.verifiers()


def test_a_false_proof_proves_nothing() -> None:
    """Another leaf, number, hash, checkpoint or form: AuditDamaged, and no other error."""
    log = LogOf(entries(10))
    good = make_proof(log.reader, log.note, 4, entries(10)[4])
    assert check_proof(good, log.keys).number == 4
    lines = good.split(b"\n")
    other = make_proof(log.reader, log.note, 5, entries(10)[5]).split(b"\n")
    false = [
        b"", b"garbage", good[:50], good.replace(b"index 4", b"index 5"),
        good.replace(b"index 4", b"index 04"),
        b"\n".join([lines[0], other[1], *lines[2:]]), b"\n".join([*lines[:3], *lines[4:]]),
        b"\n".join([*lines[:3], lines[4], lines[3], *lines[5:]]), good.replace(b"tlog-proof@v1", b"proof@v2"),
        b"\n".join([*lines[:3], b"AAAA", *lines[3:]]), b"\n".join([*lines[:3], b"!", *lines[3:]]),
        good.replace(b"\n10\n", b"\n11\n"), good + b"x" * 700_000, b"\xff" + good,
    ]  # fmt: skip
    for each in false:
        with pytest.raises(AuditDamaged):
            check_proof(each, log.keys)
    with pytest.raises(AuditDamaged, match="No key"):
        check_proof(good, signer("example.com/other").verifiers())
