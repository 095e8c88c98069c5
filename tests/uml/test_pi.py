"""Digits of Pi: the known ones, two ways to compute them, and a cache that is never believed unchecked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import DomainError, InvalidInput
from carma.uml import pi
from carma.uml.bbp import LAST_POSITION, MOST_DIGITS, hexadecimal
from carma.uml.chudnovsky import pi_digits
from carma.uml.pi import DECIMALS, PiDigits, cache_folder, digits, position

SMALL = 10_000
MILLION = "130203eb055a962b8441af76c22b75627ec18c672a485904e567f59251e8ee18"


def test_a_million_decimals_are_the_known_ones() -> None:
    """Their SHA-256, the six nines, the last ten, and the millionth."""
    whole = digits(0, DECIMALS + 1)
    assert hashlib.sha256(whole.encode()).hexdigest() == MILLION
    assert digits(0, 16) == "3141592653589793"
    assert digits(762, 6) == "999999"
    assert digits(DECIMALS - 9, 10) == "5779458151"
    assert digits(DECIMALS) == "1"


def test_fewer_digits_are_the_beginning_of_more() -> None:
    """The series is cut off and never rounded, for every small count and around the sizes it switches at."""
    for count in (*range(60), 446, 447, 448, 449, 900, 1999, 2000, 2001, 5000, SMALL):
        assert pi_digits(count) == digits(0, count + 1)


def test_the_hexadecimal_digits_at_a_million_are_the_known_ones() -> None:
    """Bailey, Borwein and Plouffe's own oracle, and the beginning."""
    assert hexadecimal(1_000_000) == "26C65E52CB4593"
    assert hexadecimal(1, 16) == "243F6A8885A308D3"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8000), st.integers(1, MOST_DIGITS))
def test_two_ways_to_compute_pi_agree(place: int, count: int) -> None:
    """Hexadecimal digits by their formula are those of the decimals that another series gave."""
    decimals = int(Decimal(digits(1, SMALL)))  # int(str) is limited to 4,300 digits.
    scaled = decimals * 16 ** (place + count - 1) // 10**SMALL
    assert hexadecimal(place, count) == f"{scaled % 16**count:0{count}X}"


@pytest.mark.parametrize(("place", "count"), [(0, 1), (-1, 1), (LAST_POSITION + 1, 1), (1, 0), (1, 17)])
def test_hexadecimal_digits_have_bounds(place: int, count: int) -> None:
    """Positions and counts outside are refused."""
    with pytest.raises(DomainError):
        hexadecimal(place, count)


@pytest.mark.parametrize(
    ("place", "count"), [(-1, 1), (0, 0), (0, DECIMALS + 2), (DECIMALS, 2), (DECIMALS + 1, 1), (5, -3)]
)
def test_decimals_have_bounds(place: int, count: int) -> None:
    """What begins before the 3 or ends behind the millionth is refused, not wrapped around."""
    with pytest.raises(DomainError):
        digits(place, count)


def test_a_user_has_a_place() -> None:
    """As the first texts have it: eight hexadecimal digits of the name's SHA-256, modulo a million."""
    for user in ("alice", "Zoë", "x" * 1000):
        wanted = int(hashlib.sha256(user.encode()).hexdigest()[:8], 16) % 1_000_000
        assert position(user) == wanted
        assert len(digits(wanted, 1)) == 1


@pytest.mark.parametrize("user", ["", "\ud800"])
def test_a_name_that_is_no_text_is_refused(user: str) -> None:
    """Nothing, and what UTF-8 cannot write."""
    with pytest.raises(InvalidInput):
        position(user)


def test_the_file_is_written_once_and_mapped(tmp_path: Path) -> None:
    """The second to open it computes nothing; both have the digits."""
    first, second = PiDigits(tmp_path / "new", SMALL), PiDigits(tmp_path / "new", SMALL)
    assert (first.computed, first.kept) == (True, True)
    assert (second.computed, second.kept) == (False, True)
    assert first.digits(0, SMALL + 1) == second.digits(0, SMALL + 1) == digits(0, SMALL + 1)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pi-10000.txt"]


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit": _flipped,
    "cut": lambda path: os.truncate(path, 777),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "empty": lambda path: path.write_bytes(b""),
    "another's": lambda path: path.write_bytes(b"4" * (SMALL + 1)),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Whatever became of it: the digits are right, and so is the file afterwards."""
    path = PiDigits(tmp_path, SMALL).path
    assert path is not None
    damage(path)
    again = PiDigits(tmp_path, SMALL)
    assert again.computed
    assert again.digits(1, SMALL) == digits(1, SMALL)
    assert path.read_text() == digits(0, SMALL + 1)


def test_who_has_it_open_keeps_what_was_right(tmp_path: Path) -> None:
    """The file is replaced, not written over: digits that were checked stay as they are."""
    held = PiDigits(tmp_path, SMALL)
    assert held.path is not None
    held.path.unlink()
    PiDigits(tmp_path, SMALL)
    assert held.digits(1, SMALL) == digits(1, SMALL)


def test_without_a_place_to_write_it_works(tmp_path: Path) -> None:
    """The folder cannot be made, or there is none: the digits stay in memory."""
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "below", None):
        found = PiDigits(folder, SMALL)
        assert found.computed
        assert not found.kept
        assert found.digits(762, 6) == "999999"


def test_processes_may_make_it_at_once(tmp_path: Path) -> None:
    """Four that start together all have the right digits, and leave one file."""
    program = (
        "import sys, pathlib; from carma.uml.pi import PiDigits\n"
        f"print(PiDigits(pathlib.Path(sys.argv[1]), {SMALL}).digits(762, 6))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [each.communicate(timeout=60)[0].strip() for each in started] == ["999999"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["pi-10000.txt"]


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """$XDG_CACHE_HOME if it is absolute, else ~/.cache."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/somewhere")
    assert cache_folder() == Path("/var/somewhere/carma")
    for other in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", other)
        assert cache_folder() == Path("/home/ada/.cache/carma")


def test_wrong_digits_are_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the computation itself broken, it would be noticed before anybody gets a digit."""
    monkeypatch.setattr(pi, "pi_digits", lambda count: "4" * (count + 1))
    with pytest.raises(AssertionError):
        PiDigits(None, SMALL)
