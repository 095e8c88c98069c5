"""Every exit code is the documented one, and no input whatever shows a stack trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from carma import errors
from carma.cli import exits, opening

from .conftest import FIRST_ID, UNKNOWN_ID, Carma


def test_the_codes_are_pinned() -> None:
    """Scripts rely on them; a code never changes its meaning."""
    kinds = {name: getattr(errors, name).exit_code for name in errors.__all__}
    assert kinds == {
        "AccountExists": 46, "AccountNotFound": 46, "AnswerLost": 52, "ArchiveDamaged": 11,
        "AuditDamaged": 41, "AuditUnavailable": 40, "BecameEncrypted": 38, "BlockFull": 45,
        "Blocked": 34, "BodyAltered": 27, "CannotListen": 47, "CarmaError": 1, "DiskFull": 9,
        "DomainError": 55, "DreamFailed": 16, "DreamNotFound": 3, "DurabilityError": 9,
        "EmbedderError": 8, "EmbedderMismatch": 8, "EncryptionUnfinished": 38, "ErasureUnfinished": 58,
        "EventNotLogged": 44, "Forbidden": 23, "FormatTooNew": 7, "FragmentNotFound": 3,
        "HeadersTooLarge": 48, "HealFirst": 39, "IdempotencyConflict": 25, "IdentityWrong": 33,
        "InvalidAnswer": 53, "InvalidFilter": 2, "InvalidInput": 2, "JournalBusy": 5,
        "JournalDamaged": 29, "KekMissing": 30, "KekUnsafe": 30, "KekWrong": 31, "KeyExpired": 22,
        "KeyMalformed": 20, "KeyNotFound": 21, "KeyRevoked": 22, "KeyStoreDamaged": 28,
        "MassDamage": 14, "MemoryBusy": 5, "MemoryClosed": 1, "MemoryExists": 4, "MemoryNotFound": 3,
        "MethodNotAllowed": 48, "MissingExtra": 10, "ModelError": 15, "NetworkFileSystem": 9,
        "NewSession": 22, "NoSuchRoute": 48, "NotAMemory": 7, "NotAcceptable": 48, "NotEncrypted": 37,
        "NotReconstructed": 49, "NotRemote": 50, "NothingHeld": 3, "OnHold": 59, "OwnerNotFound": 3,
        "ReadOnlyMemory": 6, "RemoteProblem": 54, "ReplayedAttempt": 22, "RequestRefused": 48,
        "RequestRepeated": 43, "RequestTooSlow": 48, "RootKeyExposed": 22, "RotationRefused": 24,
        "SealedDamaged": 11, "SealedTruncated": 11, "SeatUnavailable": 47, "ServerBusy": 47,
        "ServerUnreachable": 51, "Shredded": 32, "StaleRequest": 22, "StaticKeyRefused": 22,
        "StillRunning": 26, "StorageError": 9, "TooLarge": 2, "TooManyRequests": 34, "Unauthorized": 22,
        "UnsupportedMedia": 48, "VaultKeyWrong": 31, "VaultNeeded": 35, "VaultWrong": 36,
        "VersionConflict": 4, "WitnessRefused": 42,
    }  # fmt: skip
    in_use = [code for code, _ in exits.table()]
    assert in_use == [*range(17), *range(20, 56), *range(58, 60), 70, 130, 141]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("get", FIRST_ID), 0),
        (("search", "nothing at all like this", "--mode", "words"), 0),
        (("get", FIRST_ID, UNKNOWN_ID), 3),
        (("history", UNKNOWN_ID), 3),
        (("tree", UNKNOWN_ID), 3),
        (("delete", UNKNOWN_ID), 3),
        (("update", UNKNOWN_ID, "text"), 3),
        (("add", "text", "--parent", UNKNOWN_ID), 3),
        (("add", "text", "--id", FIRST_ID), 4),
        (("update", FIRST_ID, "text", "--if-version", "7"), 4),
        (("get", "nonsense"), 2),
        (("get",), 2),
        (("get", FIRST_ID, "--version", "x"), 2),
        (("add", "   "), 2),
        (("add", "text", "--metadata", "{"), 2),
        (("add", "text", "--metadata", "neither"), 2),
        (("add", "text", "--expires", "soon"), 2),
        (("add", "text", "--position", "nan"), 2),
        (("add", "text", "--many", "file"), 2),
        (("add", "--many", "no-such-file.jsonl"), 2),
        (("update", FIRST_ID), 2),
        (("list", "--limit", "0"), 2),
        (("list", "--limit", "1000000"), 2),
        (("list", "--cursor", "nonsense"), 2),
        (("list", "--where", "{"), 2),
        (("search", "fox", "--mode", "magic"), 2),
        (("search", "fox", "--diversity", "7"), 2),
        (("search", "fox", "--under", "nonsense"), 2),
        (("ingest", "no-such-folder"), 2),
        (("import", "no-such-file"), 2),
        (("reembed", "no-such-embedder"), 2),
        (("export", "out.jsonl", "--format", "xml"), 2),
        (("no-such-verb",), 2),
        (("--no-such-option",), 2),
        (("--version",), 0),
        (("--help",), 0),
        ((), 0),
    ],
)
def test_what_a_command_exits_with(filled: Carma, arguments: tuple[str, ...], code: int) -> None:
    """The table of inputs and codes; errors say something on standard error and nothing elsewhere."""
    ran = filled(*arguments)
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err + ran.out
    if code:
        assert ran.err.startswith("carma: ")
        assert ran.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "x"), ("get", FIRST_ID), ("list",), ("tree",), ("history", FIRST_ID), ("stats",),
        ("doctor",), ("export", "out.jsonl"),
        ("snapshot", "copy"), ("update", FIRST_ID, "x"), ("delete", FIRST_ID),
        ("flush",), ("reembed", "minilm"),
    ],
)  # fmt: skip
def test_verbs_that_need_a_memory_do_not_make_one(
    carma: Carma, store: Path, arguments: tuple[str, ...]
) -> None:
    """They exit with 3, say how to make one, and leave the disk alone."""
    ran = carma(*arguments)
    assert ran.code == 3
    assert "carma add" in ran.err
    assert not store.exists()


def test_a_folder_that_is_no_memory_is_left_alone(carma: Carma, store: Path) -> None:
    """Exit code 7, and not a file more."""
    store.mkdir()
    (store / "thesis.txt").write_text("mine")
    for verb in (("add", "text"), ("list",)):
        assert carma(*verb).code == 7
    assert [each.name for each in store.iterdir()] == ["thesis.txt"]


def test_existing_targets_are_kept(filled: Carma, tmp_path: Path) -> None:
    """Export and snapshot never write over anything: exit code 4."""
    target = tmp_path / "taken"
    target.mkdir()
    (target / "file").write_text("mine")
    assert filled("export", str(target / "file")).code == 4
    assert filled("snapshot", str(target)).code == 4
    assert (target / "file").read_text() == "mine"


def test_a_damaged_export_is_said_to_be(carma: Carma, tmp_path: Path) -> None:
    """Exit code 11."""
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text('{"carma_export": 1}\n{"id": "cut')
    assert carma("import", str(damaged)).code == 11


def test_bad_lines_are_named(carma: Carma, store: Path) -> None:
    """`add --many` says which line is wrong, and stores nothing of the rest."""
    ran = carma("add", "--many", "-", stdin='"good"\n"bad\n')
    assert ran.code == 2
    assert "Line 2" in ran.err
    assert carma("add", "-", stdin=b"\xff\xfe").code == 2
    assert not store.exists()


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ValueError("boom"), 70), (KeyboardInterrupt(), 130), (BrokenPipeError(), 141),
        (errors.MemoryBusy("busy"), 5), (errors.DiskFull("full"), 9), (errors.EmbedderError("gone"), 8),
    ],
)  # fmt: skip
def test_what_goes_wrong_inside_has_a_code(
    carma: Carma, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    """Bugs exit with 70 and ask for CARMA_DEBUG; no trace is shown without it."""

    def fail(*arguments: object) -> Path:
        raise raised

    monkeypatch.setattr(opening, "store_path", fail)
    ran = carma("list")
    assert ran.code == code
    assert "Traceback" not in ran.err
    if code == exits.INTERNAL:
        assert "CARMA_DEBUG=1" in ran.err
        monkeypatch.setenv("CARMA_DEBUG", "1")
        assert "Traceback" in carma("list").err
