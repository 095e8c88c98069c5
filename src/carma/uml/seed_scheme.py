"""The first texts' key scheme, only its overflow mended, so that it can be attacked. It protects nothing.

A key of it is `carma_USER8_pi_PLACE_perm_PERMISSIONS_meta_META_quantum_SIGNATURE`. Everything in it follows
from two things that are no secret, the user's name and the second in which it was made:

    USER8         the first eight letters of the name
    PLACE         SHA-256 of the name, 32 bits, modulo 1,000,000
    META          six decimals of the nine layers of (digits of Pi at PLACE + second + SHA-256 of the name)
    SIGNATURE     SHA-256 of name, permissions, PLACE and second, 32 bits

and the second counts modulo 1,000,000 only, so a user has a million keys and after 11.6 days the first again.

`seeds_key` is the scheme before it was mended: its layers overflow, a blanket `except` swallows that, and
what it returns is `carma_USER_PERMISSIONS_SECOND`. Nothing stored or served is ever checked by this module;
its one user is `carma.uml.seed_keys`, the attack.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from carma.uml.layers import meta_of, run, seeds_layers
from carma.uml.pi import DECIMALS, digits, position

__all__ = [
    "CYCLE_S",
    "SeedKey",
    "input_of",
    "is_key_of",
    "make_key",
    "parse_key",
    "seeds_key",
    "signature_prefix",
]

CYCLE_S = 1_000_000
"""The scheme's seconds are counted modulo this: 11.6 days."""

_DIGITS = 4
_SHOWN = 8
_SIGNATURE = 8
_LONGEST = 512
_MENDED = re.compile(
    r"carma_(?P<user>.{1,8})_pi_(?P<place>[0-9]{1,7})_perm_(?P<permissions>[^\s]{1,64}?)"
    r"_meta_(?P<meta>[0-9]{1,6})_quantum_(?P<signature>[0-9a-f]{8})",
    re.ASCII,
)
_FALLBACK = re.compile(r"carma_(?P<user>.+)_(?P<permissions>[^\s_]{1,64})_(?P<second>[0-9]{1,12})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SeedKey:
    """What a key of the scheme says. user: the name's first eight letters; all of it in a fallback key.

    second: seconds since the epoch, in a fallback key; None in a mended one, which has `place`, `meta` and
    `signature` instead.
    """

    user: str
    permissions: str
    second: int | None = None
    place: int | None = None
    meta: int | None = None
    signature: str | None = None


def make_key(user: str, second: int, permissions: str = "read") -> str:
    """The scheme's key for a user and a second since the epoch. Raises InvalidInput for an empty name."""
    place, turning = position(user), second % CYCLE_S
    meta = meta_of(run(input_of(user, place, turning)))
    signature = hashlib.sha256(signature_prefix(user, permissions, place) + b"%d" % turning).hexdigest()
    return f"carma_{user[:_SHOWN]}_pi_{place}_perm_{permissions}_meta_{meta}_quantum_{signature[:_SIGNATURE]}"


def seeds_key(user: str, second: int, permissions: str = "read") -> str:
    """The key as the scheme made it before it was mended: by its blanket `except`, whatever the input."""
    try:
        meta = meta_of(seeds_layers(input_of(user, position(user), second % CYCLE_S)))
    except (ArithmeticError, ValueError):
        return f"carma_{user}_{permissions}_{second}"
    mended = make_key(user, second, permissions)
    return re.sub("_meta_[0-9]+_", f"_meta_{meta}_", mended)


def is_key_of(key: str, user: str, second: int) -> bool:
    """The scheme's own check: whether this is the user's key of that second, made again and compared."""
    parsed = parse_key(key)
    if parsed is None:
        return False
    made = make_key if parsed.second is None else seeds_key
    return key == made(user, second, parsed.permissions)


def parse_key(key: str) -> SeedKey | None:
    """The parts of a key in one of the scheme's two shapes; None if it has neither."""
    if len(key) > _LONGEST:
        return None
    match = _MENDED.fullmatch(key)
    if match is not None:
        return SeedKey(
            match["user"],
            match["permissions"],
            place=int(match["place"]),
            meta=int(match["meta"]),
            signature=match["signature"],
        )
    match = _FALLBACK.fullmatch(key)
    return None if match is None else SeedKey(match["user"], match["permissions"], int(match["second"]))


def input_of(user: str, place: int, turning: int) -> float:
    """What goes through the layers: four digits of Pi, the second and 32 bits of the name's hash, added.

    turning: the second, modulo a million.
    """
    count = min(_DIGITS, DECIMALS + 1 - place)
    hashed = int(hashlib.sha256(user.encode()).hexdigest()[:8], 16)
    return float(int(digits(place, count)) + turning + hashed)


def signature_prefix(user: str, permissions: str, place: int) -> bytes:
    """What the signature hashes before the decimal digits of the second (modulo a million)."""
    return f"{user}_{permissions}_{place}_".encode()
