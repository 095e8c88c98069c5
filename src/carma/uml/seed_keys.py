"""The attack on the first texts' key scheme, and the same attack on a key of ours.

A key of the scheme is a function of the user's name and of the second, of which a million exist. So whoever
sees one key, or only knows a name, tries them all: that gives back the second, and then any other key of this
user can be written down. `audit_report` does it and says how many bits stood in the way: none, if name and
second are known; log2(1,000,000) = 19.93, if the second is not.

On a key of ours the same search is run in full, and finds nothing: the tag hangs on 256 secret bits that are
not in it. What is left is guessing a tag of 128 bits. That number is what the key's length gives, not
something that was measured: a million misses show only that the scheme's own way does not lead there.
"""

from __future__ import annotations

import math
import re
import string
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from carma.errors import InvalidInput
from carma.uml.layers import META_UNITS, run_roughly
from carma.uml.pi import position
from carma.uml.seed_scheme import (
    CYCLE_S,
    SeedKey,
    input_of,
    is_key_of,
    make_key,
    parse_key,
    seeds_key,
    signature_prefix,
)

__all__ = ["SeedAudit", "audit_report", "search_s"]

_SHOWN = 8
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_NAME, _PERMISSIONS, _SECRET = "(?P<user>[a-z2-7]{8})", "perm_(?P<permissions>[rwha]{1,4})", "[0-9A-Za-z]{43}"
_HEAD = rf"carma_{_NAME}_pi_(?P<place>[0-9]{{6}})_{_PERMISSIONS}_meta_"
_FINGERPRINT = re.compile(rf"{_HEAD}0_quantum_[0-9a-f]{{8}}", re.ASCII)
_OURS = {
    "attempt": re.compile(rf"(?P<shown>{_HEAD}[0-9]{{1,20}}_quantum_(?P<tag>[0-9a-f]{{32}}))", re.ASCII),
    "root": re.compile(rf"(?P<shown>{_FINGERPRINT.pattern})_(?P<secret>{_SECRET})[0-9A-Za-z]{{6}}", re.ASCII),
    "static": re.compile(
        rf"(?P<shown>carma_static_{_NAME}_{_PERMISSIONS})_(?P<secret>{_SECRET})[0-9A-Za-z]{{6}}", re.ASCII
    ),
}
"""The shapes of our keys, as far as the attack needs them; `carma.access` has its own and stricter ones."""
_TAG_BITS = 128
_SECRET_BITS = 256
_LEFT = {
    "attempt": f"A forger has to guess a tag, one of 2^{_TAG_BITS}.",
    "root": f"A forger of attempts has to guess a tag, one of 2^{_TAG_BITS}. But this is the root key, with "
    "its secret: whoever reads it needs no forgery.",
    "static": f"A forger has to guess a secret, one of 2^{_SECRET_BITS}. But whoever reads this key needs no "
    "forgery.",
}
_STEP = 1000
_ENDS = [b"%03d" % at for at in range(_STEP)]
_FIRST = [b"%d" % at for at in range(_STEP)]


@dataclass(frozen=True, slots=True)
class SeedAudit:
    """What a key is worth against the attack.

    shape: "seeds" (the scheme, mended), "seeds-fallback" (what its `except` returns), "attempt", "root",
    "static" or "fingerprint" (ours). key: as it may be shown, without what is secret. user: the name, as far
    as it is known. second: when the key was made, the latest such second up to now; None if not found.
    tried: how many seconds were looked at. forged, forged_second: a valid key for another second;
    None if there is none. bits_known_second: what a forger has to guess who knows name and second;
    bits_any_second: who knows only the name, among the scheme's million seconds; None where there is nothing
    to forge. took_s: seconds for all of it.
    """

    shape: str
    key: str
    user: str
    user_known: bool
    permissions: str
    second: int | None
    tried: int
    forged: str | None
    forged_second: int | None
    bits_known_second: float | None
    bits_any_second: float | None
    took_s: float
    verdict: str

    @property
    def broken(self) -> bool:
        """Whether the second was found, so that name and second give the key away."""
        return self.second is not None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {**asdict(self), "broken": self.broken}


def audit_report(key: str, *, user: str | None = None, now: float | None = None) -> SeedAudit:
    """Attack a key and say what it is worth.

    user: the whole name, where the key shows only its first eight letters. now: seconds since the epoch.
    Takes about a second. Raises InvalidInput if the key has none of the shapes; never repeats a secret.
    """
    begun = time.perf_counter()
    moment = int(time.time() if now is None else now)
    for shape, pattern in _OURS.items():
        match = pattern.fullmatch(key)
        if match is not None:
            return _ours(shape, match, moment, begun)
    parsed = parse_key(key)
    if parsed is None:
        raise InvalidInput(
            "This has neither the shape of a key of the first texts nor that of one of CARMA's.",
            hint="Give the whole key, from carma_ to its end.",
        )
    return _fallback(key, parsed, moment, begun) if parsed.second is not None else _mended(
        key, parsed, user, moment, begun
    )  # fmt: skip


def _second_of(key: str, parsed: SeedKey, name: str) -> int | None:
    """The second, modulo a million, in which the key was made; None if in none.

    Its meta narrows the million down, in a third of a second; the signature decides. Were the rough values
    too rough for one second, all would still be hashed.
    """
    assert parsed.place is not None
    assert parsed.meta is not None
    assert parsed.signature is not None
    prefix = signature_prefix(name, parsed.permissions, parsed.place)
    wanted = bytes.fromhex(parsed.signature)
    near = _near_meta(input_of(name, parsed.place, 0), parsed.meta)
    for at in near:
        if sha256(prefix + b"%d" % at).digest().startswith(wanted) and _is_made(key, parsed, name, at):
            return at
    return next((at for at in search_s(prefix, wanted) if _is_made(key, parsed, name, at)), None)


def _is_made(key: str, parsed: SeedKey, name: str, at: int) -> bool:
    return make_key(name, at, parsed.permissions) == key


def _near_meta(start: float, meta: int) -> list[int]:
    """The seconds from 0 to 999,999 whose number, `start` and the second, may lead to this meta."""
    values = run_roughly(start + np.arange(CYCLE_S, dtype=np.float64))
    past = (values * META_UNITS - meta) % META_UNITS  # From 0 to 1 if the meta is right.
    slack = 0.01 + 1e-6 * values * values
    found: list[int] = np.flatnonzero((past <= 1 + slack) | (past >= META_UNITS - slack)).tolist()
    return found


def search_s(prefix: bytes, wanted: bytes) -> Iterator[int]:
    """The seconds of the scheme, 0 to 999,999, whose signature over `prefix` begins with `wanted`."""
    length = len(wanted)
    for thousand in range(CYCLE_S // _STEP):
        common = sha256(prefix + (b"%d" % thousand if thousand else b"")).copy
        for at, end in enumerate(_ENDS if thousand else _FIRST):
            hashed = common()
            hashed.update(end)
            if hashed.digest()[:length] == wanted:
                yield thousand * _STEP + at


def _mended(key: str, parsed: SeedKey, user: str | None, now: int, begun: float) -> SeedAudit:
    name = parsed.user if user is None else user
    known = name[:_SHOWN] == parsed.user and position(name) == parsed.place
    found = None
    if known:
        found = _second_of(key, parsed, name)
    if found is not None:
        second = now - (now - found) % CYCLE_S
        return _forged("seeds", key, name, parsed.permissions, second, CYCLE_S, now, begun)
    if not known and _FINGERPRINT.fullmatch(key):
        verdict = "This is a fingerprint, the name of a key of CARMA: it opens nothing and holds no secret."
        return _told("fingerprint", key, parsed.user, False, parsed.permissions, 0, begun, verdict)
    verdict = (
        "No second gives this signature: the key was altered, or made by another program."
        if known
        else f"{name!r} is not the name this key was made for: its place in Pi is another. The whole name is "
        "all that the attack needs, and no secret."
    )
    return _told(
        "seeds", key, name, known, parsed.permissions, CYCLE_S if known else 0, begun, verdict
    )  # fmt: skip


def _fallback(key: str, parsed: SeedKey, now: int, begun: float) -> SeedAudit:
    assert parsed.second is not None
    return _forged("seeds-fallback", key, parsed.user, parsed.permissions, parsed.second, 0, now, begun)


def _forged(
    shape: str, key: str, name: str, permissions: str, second: int, tried: int, now: int, begun: float
) -> SeedAudit:
    """The report of a key whose second is known: another of the same user, made and checked."""
    other = now if (now - second) % CYCLE_S else now + 1
    made = make_key if shape == "seeds" else seeds_key
    forged = made(name, other, permissions)
    assert forged != key
    assert is_key_of(forged, name, other)
    verdict = (
        "Worth nothing: "
        + ("its second was found, and a" if tried else "its second stands in it, and a")
        + " valid key for another second was forged from the name alone."
    )
    return _told(
        shape, key, name, True, permissions, tried, begun, verdict,
        second=second, forged=forged, forged_second=other,
    )  # fmt: skip


def _ours(shape: str, match: re.Match[str], now: int, begun: float) -> SeedAudit:
    """The same search for a key of ours, as if name and second gave its tag, or its secret."""
    parts = match.groupdict()
    user, permissions = match["user"], match["permissions"]
    place = int(parts.get("place") or position(user))
    wanted = bytes.fromhex(parts["tag"]) if shape == "attempt" else _from_base62(parts["secret"])
    found = next(search_s(signature_prefix(user, permissions, place), wanted), None)
    if found is not None:
        return _told(
            shape, match["shown"], user, True, permissions, found + 1, begun,
            "Worth nothing: name and second give it, as in the keys of the first texts.",
            second=now - (now - found) % CYCLE_S,
        )  # fmt: skip
    what = "tag" if shape == "attempt" else "secret"
    return _told(
        shape, match["shown"], user, False, permissions, CYCLE_S, begun,
        f"The attack finds nothing: none of {CYCLE_S:,} seconds gives its {what}. {_LEFT[shape]}",
        bits=float(_SECRET_BITS if shape == "static" else _TAG_BITS),
    )  # fmt: skip


def _from_base62(secret: str) -> bytes:
    """The 32 bytes (or 33, of which none can be a hash) that 43 letters of base 62 stand for."""
    number = 0
    for letter in secret:
        number = number * 62 + _BASE62.index(letter)
    return number.to_bytes(33, "big").removeprefix(b"\0")


def _told(
    shape: str, key: str, user: str, known: bool, permissions: str, tried: int, begun: float, verdict: str,
    *, second: int | None = None, forged: str | None = None, forged_second: int | None = None,
    bits: float | None = None,
) -> SeedAudit:  # fmt: skip
    """The report. bits: what a forger has to guess in any case; None: only the second, if that."""
    nothing = shape == "fingerprint"
    return SeedAudit(
        shape=shape,
        key=key,
        user=user,
        user_known=known,
        permissions=permissions,
        second=second,
        tried=tried,
        forged=forged,
        forged_second=forged_second,
        bits_known_second=None if nothing else bits or 0.0,
        bits_any_second=None if nothing else bits or math.log2(CYCLE_S),
        took_s=time.perf_counter() - begun,
        verdict=verdict,
    )
