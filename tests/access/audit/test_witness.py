"""Witnesses: they sign what continues what they saw, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from carma.access.audit.checkpoint import Checkpoint, cosigners, read_checkpoint
from carma.access.audit.log import Log
from carma.access.audit.mailbox import mailbox_cosigner, serve_mailbox
from carma.access.audit.note import Note, Verifier, parse_signatures
from carma.access.audit.witness import Answer, Witness, gather_cosignatures, request_body
from carma.errors import AuditDamaged, StorageError, WitnessRefused
from carma.testing import SimulatedClock, SimulatedDisk
from carma.testing.faults import Crash, Refuse, SimulatedCrash

from .making import FOLDER, SIGNER, entries, open_log, signer

ORIGIN = SIGNER.name
NAMES = ("example.com/w1", "example.com/w2", "example.com/w3")


def witness(name: str = NAMES[0], disk: SimulatedDisk | None = None) -> Witness:
    """A witness that knows the tests' log; its state on a disk of its own."""
    return Witness(
        disk or SimulatedDisk(), "/witness", signer(name), {ORIGIN: SIGNER.verifiers()}, SimulatedClock()
    )


def keys(witnesses: Sequence[Witness]) -> list[Verifier]:
    return [key for each in witnesses for key in each.verifiers()]


def grown(size: int = 10) -> tuple[SimulatedDisk, Log]:
    disk = SimulatedDisk()
    log = open_log(disk)
    log.append(entries(size))
    return disk, log


def ask(log: Log, old: int) -> bytes:
    return request_body(log.reader(), log.checkpoint(), old)


def refuse(body: bytes) -> Answer:
    raise WitnessRefused("This witness is not there.")


def test_two_witnesses_of_three_are_enough_where_two_are_asked_for() -> None:
    """One is away; the others sign, and their cosignatures stand in the checkpoint, of either kind."""
    _, log = grown()
    all_three = [witness(name) for name in NAMES]
    asked = [all_three[0].add_checkpoint, refuse, all_three[2].add_checkpoint]
    found = gather_cosignatures(log, asked, keys(all_three), 2)
    assert set(found) == {NAMES[0], NAMES[2]}
    checkpoint, note = read_checkpoint(log.checkpoint())
    assert set(cosigners(checkpoint, note.signatures, keys(all_three))) == set(found)
    assert len(note.signatures) == 2 + 4
    with pytest.raises(WitnessRefused, match="2 of 3"):
        gather_cosignatures(log, asked, keys(all_three), 3)


def test_a_witness_is_led_on_from_what_it_saw() -> None:
    """Whatever the log thinks that it saw, its own answer leads to the right proof."""
    _, log = grown()
    one = witness()
    for start, count in ((10, 5), (15, 0), (15, 300)):
        gather_cosignatures(log, [one.add_checkpoint], keys([one]), 1)
        log.append(entries(count, start))
    gather_cosignatures(log, [one.add_checkpoint], keys([one]), 1)
    assert one.seen(ORIGIN) == log.reader().checkpoint


def forked(disk: SimulatedDisk, size: int) -> Log:
    """Another log by the same keys: entries rewritten, all signed again."""
    disk.remove("/audit")
    log = open_log(disk)
    log.append([b"another", *entries(size - 1, 1)])
    return log


@pytest.mark.parametrize("size", [5, 10, 11, 300])
def test_a_forked_log_is_refused(size: int) -> None:
    """Shorter, as long or longer: a rewritten log has no proof, and what the witness saw stays."""
    disk, log = grown(10)
    one = witness()
    gather_cosignatures(log, [one.add_checkpoint], keys([one]), 1)
    seen = one.seen(ORIGIN)
    fork = forked(disk, size)
    with pytest.raises(WitnessRefused):
        gather_cosignatures(fork, [one.add_checkpoint], keys([one]), 1)
    for old in (0, min(10, size)):
        assert one.add_checkpoint(ask(fork, old)).status in (400, 409, 422)
    assert one.seen(ORIGIN) == seen
    assert len(read_checkpoint(fork.checkpoint())[1].signatures) == 2


def test_a_truncated_log_is_refused() -> None:
    """An older checkpoint of the same log, after a newer one was seen."""
    disk, log = grown(10)
    files = {path: disk.contents(path) for path in disk.paths() if path.startswith("/audit")}
    log.append(entries(5, 10))
    one = witness()
    gather_cosignatures(log, [one.add_checkpoint], keys([one]), 1)
    disk.remove("/audit")
    for path, data in files.items():
        disk.put(path, data)
    with pytest.raises(WitnessRefused, match="cut off"):
        gather_cosignatures(open_log(disk), [one.add_checkpoint], keys([one]), 1)


Change = Callable[[bytes], bytes]
BAD: dict[str, tuple[int, Change]] = {
    "nothing": (400, lambda body: b""),
    "no old size": (400, lambda body: body.replace(b"old 3", b"odd 3")),
    "a zero in front": (400, lambda body: body.replace(b"old 3", b"old 03")),
    "an old size above the new": (400, lambda body: body.replace(b"old 3", b"old 11")),
    "no checkpoint": (400, lambda body: body[: body.index(b"\n\n") + 2]),
    "a proof that is not base64": (400, lambda body: body.replace(b"old 3\n", b"old 3\n!!\n")),
    "a hash of another length": (400, lambda body: body.replace(b"old 3\n", b"old 3\nAAAA\n")),
    "too many hashes": (400, lambda body: body.replace(b"old 3\n", b"old 3\n" + b"AAAA\n" * 64)),
    "too long": (400, lambda body: body + b"x" * 400_000),
    "not UTF-8": (400, lambda body: body + b"\xff"),
    "an unknown log": (404, lambda body: body.replace(b"example.com/log\n10", b"example.com/lug\n10")),
    "a changed size": (403, lambda body: body.replace(b"example.com/log\n10", b"example.com/log\n12")),
    "another old size": (409, lambda body: body.replace(b"old 3", b"old 4")),
    "a hash too few": (422, lambda body: b"\n".join(body.split(b"\n")[:1] + body.split(b"\n")[2:])),
}


@pytest.mark.parametrize("what", BAD)
def test_a_request_that_proves_nothing_is_answered_as_the_protocol_says(what: str) -> None:
    """Malformed 400, unknown 404, unsigned 403, another size 409, no proof 422; and nothing is signed."""
    _, log = grown(3)
    one = witness()
    assert one.add_checkpoint(ask(log, 0)).status == 200
    log.append(entries(7, 3))
    status, change = BAD[what]
    answer = one.add_checkpoint(change(ask(log, 3)))
    assert answer.status == status and one.seen(ORIGIN).size == 3
    if status == 409:
        assert answer.body == b"3\n"
    assert one.add_checkpoint(ask(log, 3)).status == 200


def test_a_checkpoint_that_only_strangers_signed_is_not_cosigned() -> None:
    """Without a signature of a known key: 403."""
    stranger = signer(ORIGIN + "/other")
    checkpoint = Checkpoint(ORIGIN, 0, bytes(32))
    note = Note(checkpoint.text, stranger.sign(checkpoint, 1)).to_bytes()
    assert witness().add_checkpoint(b"old 0\n\n" + note).status == 403


def test_a_witness_remembers_before_it_answers() -> None:
    """It dies at any call of its disk: what it then has seen is what it may have signed, and never less."""
    _, log = grown(10)
    calls = 60
    for at in range(1, calls, 2):
        disk = SimulatedDisk([Crash(at, "middle")])
        answered = None
        with suppress(SimulatedCrash):
            answered = witness(disk=disk).add_checkpoint(ask(log, 0))
        disk = disk.power_loss(at)
        seen = witness(disk=disk).seen(ORIGIN).size
        assert seen == 10 if answered is not None else seen in (0, 10)
    assert answered is not None


def test_a_witness_whose_state_is_damaged_does_not_begin_anew() -> None:
    """Both copies rotten: an error, and no cosignature for whatever comes."""
    _, log = grown(10)
    disk = SimulatedDisk()
    one = witness(disk=disk)
    one.add_checkpoint(ask(log, 0))
    for path in disk.paths():
        disk.put(path, disk.contents(path)[:-1])
    with pytest.raises(AuditDamaged):
        one.add_checkpoint(ask(log, 0))
    disk.faults = [Refuse(disk.calls + 1, calls=100)]
    with pytest.raises(StorageError):
        witness(disk=disk).add_checkpoint(ask(log, 0))


def test_cosignatures_of_strangers_and_false_ones_do_not_count() -> None:
    """What a witness answers is checked: its key, its signature, the checkpoint it is of."""
    _, log = grown()
    one, stranger = witness(), witness("example.com/stranger")
    with pytest.raises(WitnessRefused, match="0 of 1"):
        gather_cosignatures(log, [stranger.add_checkpoint], keys([one]), 1)

    def of_another(body: bytes) -> Answer:
        other = Checkpoint(ORIGIN, 10, bytes(32))
        lines = one.signer.sign(other, 5, witness=True)
        return Answer(200, "".join(line.line() for line in lines).encode())

    for answer in (of_another, lambda body: Answer(200, b"nonsense"), lambda body: Answer(500, b"")):
        with pytest.raises(WitnessRefused):
            gather_cosignatures(log, [answer], keys([one]), 1)
    assert len(read_checkpoint(log.checkpoint())[1].signatures) == 2


def test_a_witness_that_always_names_another_size_is_left() -> None:
    """The log does not ask for ever."""
    _, log = grown(300)
    sizes = iter(range(1, 100))
    with pytest.raises(WitnessRefused, match="another size"):
        gather_cosignatures(log, [lambda body: Answer(409, b"%d\n" % next(sizes))], [], 1)


def test_a_witness_behind_a_folder_signs_when_somebody_carries_the_mail() -> None:
    """The log writes a request, the witness answers later, and the next try finds the answer."""
    _, log = grown()
    shared, one = SimulatedDisk(), witness()
    mail = mailbox_cosigner(shared, "/mail", SimulatedClock())
    with pytest.raises(WitnessRefused, match="not answered yet"):
        gather_cosignatures(log, [mail], keys([one]), 1)
    shared.put("/mail/requests/nonsense", b"x")
    shared.put("/mail/requests/" + "0" * 64, b"x")
    assert serve_mailbox(shared, "/mail", one) == 1
    assert serve_mailbox(shared, "/mail", one) == 0
    assert set(gather_cosignatures(log, [mail], keys([one]), 1)) == {NAMES[0]}


def test_cosignatures_of_an_older_checkpoint_are_not_added() -> None:
    """If the log went on meanwhile, they are of something else."""
    _, log = grown()
    old = log.reader().checkpoint
    lines = parse_signatures(witness().add_checkpoint(ask(log, 0)).body)
    log.append(entries(1, 10))
    assert not log.add_signatures(old, lines)
    assert FOLDER and len(read_checkpoint(log.checkpoint())[1].signatures) == 2
