"""What the fuzzer runs takes honest and odd input in short, and finds a fault that was planted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tools import fuzz_targets
from tools.fuzz_targets import TARGETS, edited, seeds

from carma.access.vault.datakey import DataKeyCipher

ROOT = Path(__file__).resolve().parents[2]


def _inputs(name: str, count: int) -> list[bytes]:
    """Seeds, changed seeds, and bytes that begin as programs of `edited` do."""
    chance = random.Random(name)
    honest = list(seeds(name))
    made = [edited(chance.choice(honest), chance.randbytes(12)) for _ in range(count)]
    return [*honest, *made, *(chance.randbytes(chance.randrange(60)) for _ in range(count))]


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_finds_nothing_in_some_hundred_inputs(name: str) -> None:
    """The quick version of `make fuzz`, the same each time."""
    for data in _inputs(name, 40):
        TARGETS[name](data)


def test_a_text_that_crashes_the_key_parser_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody promised leaves the target."""

    def crashing(text: str) -> None:
        raise IndexError

    monkeypatch.setattr(fuzz_targets, "parse_attempt", crashing)
    with pytest.raises(IndexError):
        TARGETS["keys"](b"anything")


def test_a_forged_record_that_is_believed_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cipher that ignores its context lets a record pass under another header, and the target says so."""
    honest = DataKeyCipher.open
    sealed = DataKeyCipher.seal
    monkeypatch.setattr(DataKeyCipher, "seal", lambda self, data, context: sealed(self, data, b""))
    monkeypatch.setattr(DataKeyCipher, "open", lambda self, data, context: honest(self, data, b""))
    fuzz_targets._segment.cache_clear()
    forged = bytes([0, 0, 9]) + bytes(20)  # The first record, as version 9.
    try:
        with pytest.raises(AssertionError):
            TARGETS["record"](forged)
    finally:
        fuzz_targets._segment.cache_clear()


def test_the_program_says_how_much_it_ran(tmp_path: Path) -> None:
    """One line of JSON for each target, exit code 0 without a finding."""
    arguments = ["--seconds", "0.1", "--target", "keys", "--engine", "hypothesis", "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "fuzz.py", *arguments],
        capture_output=True, text=True, check=False, timeout=60, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"target": "keys"' in done.stdout
    assert '"findings": 0' in done.stdout
