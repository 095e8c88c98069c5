"""The digits of Pi by their place: a million decimals, computed once, kept in the user's cache folder.

The file is the digits and nothing else, "3" and the decimals behind it, so that the place of a digit is its
offset: place 0 is the 3, place k the k-th decimal. It is mapped into memory, and its SHA-256 is compared
with the known one each time a process opens it; a file that is damaged, cut or somebody's own is computed
anew and replaced. Where no file can be written the digits stay in the process's memory. Rejected: digits in
the package (a megabyte for everybody, for mathematics that bears no security).
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import tempfile
from functools import cache
from pathlib import Path

from carma.errors import DomainError, InvalidInput
from carma.uml.chudnovsky import pi_digits

__all__ = ["DECIMALS", "PiDigits", "cache_folder", "digits", "opened", "position"]

DECIMALS = 1_000_000

_SHA256 = {
    10_000: "ab03bf7037718e1525340a0c43f0049ddbe99c6067ad3e08a4de5c591fedc524",
    DECIMALS: "130203eb055a962b8441af76c22b75627ec18c672a485904e567f59251e8ee18",
}
"""The SHA-256 of "3" and so many decimals. The smaller file is for tests of damage."""


class PiDigits:
    """The decimals of Pi in a file that is made when it is not there. Safe to share between threads.

    folder: where the file lies or is to lie; None keeps the digits in memory. computed: whether they had to
    be computed. kept: whether a file holds them now.
    """

    def __init__(self, folder: Path | None, decimals: int = DECIMALS) -> None:
        self.decimals = decimals
        self.path = None if folder is None else folder / f"pi-{decimals}.txt"
        found: bytes | mmap.mmap | None = None if self.path is None else _mapped(self.path, decimals)
        self.computed = found is None
        if found is None:
            fresh = pi_digits(decimals).encode("ascii")
            if not _right(fresh, decimals):
                raise AssertionError("the digits of Pi were computed wrongly")
            found = fresh
            if self.path is not None and _kept(self.path, fresh):
                found = _mapped(self.path, decimals) or fresh
        self.kept = isinstance(found, mmap.mmap)
        self._digits = found

    def digits(self, place: int, count: int = 1) -> str:
        """`count` digits from `place` on: place 0 is the 3, place k the k-th decimal.

        Raises DomainError where the digits begin or end outside what is kept.
        """
        if count < 1:
            raise DomainError(f"At least one digit has to be asked for, not {count}.")
        if not 0 <= place <= self.decimals + 1 - count:
            raise DomainError(
                f"Only {self.decimals:,} decimals of Pi are kept: not {count} from place {place} on.",
                hint=f"Places go from 0 (the 3 before the point) to {self.decimals:,}.",
            )
        return self._digits[place : place + count].decode("ascii")


def position(user: str) -> int:
    """The place in Pi that the first texts give a user: 32 bits of the name's SHA-256, modulo 1,000,000.

    Raises InvalidInput for a name that is empty or no Unicode text.
    """
    try:
        name = user.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput("The user's name is not Unicode text.") from error
    if not name:
        raise InvalidInput("The user has no name.")
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") % DECIMALS


def digits(place: int, count: int = 1) -> str:
    """As `PiDigits.digits`, of the million decimals in the user's cache folder."""
    return opened().digits(place, count)


@cache
def opened() -> PiDigits:
    """The million decimals in the user's cache folder, opened once in a process."""
    return PiDigits(cache_folder())


def cache_folder() -> Path | None:
    """`carma` in $XDG_CACHE_HOME, else in ~/.cache; None where there is no home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # The specification: a relative path is to be ignored.
        return Path(given) / "carma"
    try:
        return Path.home() / ".cache" / "carma"
    except RuntimeError:
        return None


def _mapped(path: Path, decimals: int) -> mmap.mmap | None:
    """The file in memory; None if it is not there or does not hold exactly these digits."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != decimals + 1:
                return None
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    return found if _right(found, decimals) else None


def _right(found: bytes | mmap.mmap, decimals: int) -> bool:
    return hashlib.sha256(found).hexdigest() == _SHA256[decimals]


def _kept(path: Path, found: bytes) -> bool:
    """Write the file beside its place and move it there whole; whether that was possible."""
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "wb") as file:
            file.write(found)
        os.replace(beside, path)
    except OSError:
        if beside is not None:
            with contextlib.suppress(OSError):
                os.unlink(beside)
        return False
    return True
