"""Rotation: a new root key beside the old one, which is in grace for some days.

Decisions only, as functions of the stored keys and the time; the key store carries them out in one append.

A key in grace works until its time is over or somebody ends it by name (`carma keys revoke`). Using the
successor does not end it: whoever has stolen the new key must not be able to lock the owner out by using it
first. What that use does is raise an alert. There is one generation of grace: rotating the successor ends the
older key. Repeating a rotation whose successor was never used replaces the successor: its first answer was
lost. Rejected: overlapping keys without an end (nobody ever ends them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from carma.access.keys.record import StoredKey
from carma.errors import RotationRefused

__all__ = ["GRACE_S", "Rotation", "plan_rotation", "predecessor_of"]

GRACE_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation changes beside making a new key.

    old: the key that is rotated, as it is now. ended: keys that stop working at once: the successor that was
    never used, or the key that was in grace already.
    """

    old: StoredKey
    ended: tuple[StoredKey, ...]


def plan_rotation(keys: Mapping[str, StoredKey], old: StoredKey, now: float) -> Rotation:
    """What rotating `old` means. Raises RotationRefused for a key that has ended or was rotated before."""
    if old.state == "revoked" or now >= old.until():
        raise RotationRefused("This key does not work any more; create a new one.")
    if old.state == "grace":
        successor = keys.get(old.successor or "")
        if successor is not None and successor.used:
            raise RotationRefused(f"This key was rotated; {successor.name} took its place and is in use.")
        unused = () if successor is None or successor.state == "revoked" else (successor,)
        return Rotation(old, unused)
    before = predecessor_of(keys, old.name)
    return Rotation(old, () if before is None else (before,))


def predecessor_of(keys: Mapping[str, StoredKey], name: str) -> StoredKey | None:
    """The key in grace whose place this one took."""
    return next((key for key in keys.values() if key.state == "grace" and key.successor == name), None)
