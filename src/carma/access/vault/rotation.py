"""Moving to another key-encryption key without a moment in which anything cannot be opened.

The successor gets a file of its own beside the key's (`….next`) before anything is wrapped by it. From then
on whoever loads the key knows both: the successor wraps, both unwrap. Then everything wrapped is wrapped
anew, journal by journal, each as one step. Only then does the successor's file take the key's name, and the
old key is overwritten. Killed anywhere, the same command goes on where it stopped; and meanwhile everything
works.

Rejected: replacing the file first (a crash would leave every secret wrapped by a key that is gone).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from carma.access.vault.kek import KekGiven, KekPlace, KeyEncryptionKey, create_kek, load_kek
from carma.access.vault.privatefile import sync_folder, wipe
from carma.errors import InvalidInput, StorageError

__all__ = ["Rewrap", "rotate_given", "rotate_key_file"]

Rewrap = Callable[[KeyEncryptionKey], int]
"""Wraps everything of one journal by the key it is given, all or nothing; how many secrets that were."""


def rotate_key_file(
    place: KekPlace, rewraps: Sequence[Rewrap], tell: Callable[[str], None]
) -> tuple[KeyEncryptionKey, int]:
    """Move everything to a new key, or finish a rotation that was cut off.

    rewraps: one for each journal that holds something wrapped; a journal left out here cannot be opened
    afterwards. tell: is given the new recovery code before anything changes, once in every attempt.

    Returns the new key and how many secrets it wraps. Raises what `load_kek` and the rewraps raise.
    """
    old = load_kek(place)
    successor = KekPlace(path=place.next, protection=place.protection, outside=place.outside)
    try:
        new = create_kek(successor)[0]
    except FileExistsError:
        new = load_kek(successor)
    tell(new.recovery_code())
    count = sum(rewrap(new.beside(old)) for rewrap in rewraps)
    _replace(place.path, place.next)
    return new, count


def rotate_given(source: KekGiven, rewraps: Sequence[Rewrap]) -> tuple[KeyEncryptionKey, int]:
    """Move everything from the key in CARMA_KEK to the one in CARMA_KEK_NEXT, which then takes its place.

    Returns the new key and how many secrets it wraps. Raises InvalidInput if there is no next one.
    """
    if source.next_text is None:
        raise InvalidInput(
            "The key-encryption key comes from CARMA_KEK, and there is no CARMA_KEK_NEXT to move to.",
            hint="Set CARMA_KEK_NEXT to 32 new random bytes in base64, in every process that uses the data.",
        )
    both = load_kek(source)
    count = sum(rewrap(both) for rewrap in rewraps)
    return load_kek(KekGiven(text=source.next_text)), count


def _replace(path: Path, successor: Path) -> None:
    """Let the successor's file be the key's file, and overwrite the old one."""
    old = path.with_name(f"{path.name}.old")
    try:
        _forget(old, path)  # A rotation that was cut off at its very end may have left one.
        os.link(path, old)
        os.replace(successor, path)
        sync_folder(path.parent)
        wipe(old)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"Could not replace the key file {path} ({error.strerror}).") from error


def _forget(old: Path, path: Path) -> None:
    """Overwrite and remove the old key's second name. Where it was cut off before the successor came, that is
    still the key's own file: then only the name goes. Raises OSError.
    """
    if old.exists() and old.samefile(path):
        old.unlink()
    else:
        wipe(old)
