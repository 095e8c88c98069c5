"""How keys read: the root key, the attempt key made from it for one request, and the static key.

    root     carma_<user8>_pi_<pos>_perm_<permissions>_meta_0_quantum_<sig8>_<secret43><crc6>
    attempt  carma_<user8>_pi_<pos>_perm_<permissions>_meta_<n>_quantum_<tag32>
    static   carma_static_<user8>_perm_<permissions>_<secret43><crc6>

`user8` is the key's name and `sig8` goes with it; `pos` is a place in Pi that moves with every attempt; `n`
is the session's number times 2^32, plus the attempt's. Only `secret43` and `tag32` bear the security. `crc6`
is for people who mistype, and for scanners that look for lost keys (`SECRET`): it proves nothing.

A root or static key is a value that never shows itself: not in `repr`, not in an error, not in a pickle;
`text` is the only way to it. The fingerprint, a root key without its secret, is for logs and screens.

Rejected: upper and lower case made equal (it costs 40 bits of 256), a check sum over the secret alone (it
would say that a guessed secret has a right form).
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, NoReturn
from zlib import crc32

from carma.access.keys.permissions import as_permissions
from carma.errors import InvalidInput, KeyMalformed

__all__ = [
    "ATTEMPT", "COUNTER_BITS", "LETTER_PAIRS", "MAX_KEY_CHARS", "PLACES", "SECRET", "SECRET_CHARS",
    "AttemptKey", "RootKey", "StaticKey", "attempt_header", "check_letters", "parse_attempt", "parse_key",
    "parse_secret", "pi_place", "redacted", "root_head",
]  # fmt: skip

MAX_KEY_CHARS: Final = 160
SECRET_CHARS: Final = 43
COUNTER_BITS: Final = 32

_PERMISSIONS = "(?=[rwha])r?w?h?a?"
_END = f"[0-9A-Za-z]{{{SECRET_CHARS + 6}}}"
SECRET: Final = (
    r"carma_(?:static_[a-z2-7]{8}_perm_[rwha]{1,4}"
    r"|[a-z2-7]{8}_pi_[0-9]{6}_perm_[rwha]{1,4}_meta_0_quantum_[0-9a-f]{8})_" + _END
)
"""The regular expression for secret scanners: it finds root and static keys in any text."""
ATTEMPT: Final = re.compile(
    rf"carma_([a-z2-7]{{8}})_pi_[0-9]{{6}}_perm_({_PERMISSIONS})_meta_(0|[1-9][0-9]{{0,19}})"
    r"_quantum_([0-9a-f]{32})",
    re.ASCII,
)
_ROOT = re.compile(
    rf"carma_([a-z2-7]{{8}})_pi_([0-9]{{6}})_perm_({_PERMISSIONS})_meta_0_quantum_[0-9a-f]{{8}}_{_END}",
    re.ASCII,
)
_STATIC = re.compile(rf"carma_static_([a-z2-7]{{8}})_perm_({_PERMISSIONS})_{_END}", re.ASCII)
_SHOWN = re.compile(f"{SECRET.removesuffix(_END)}([0-9A-Za-z]{{1,{SECRET_CHARS + 6}}})", re.ASCII)

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LETTER_PAIRS: Final = [a + b for a in _BASE62 for b in _BASE62]
"""The 3,844 pairs of letters of base 62, in their order."""
PLACES: Final = 1_000_000
"""How many decimals of Pi a place may lie in."""


class RootKey:
    """A root key. text: all of it, secret; show it once, to its owner."""

    __slots__ = ("name", "permissions", "text")

    def __init__(self, name: str, permissions: str, text: str) -> None:
        self.name = name
        self.permissions = permissions
        self.text = text

    @property
    def secret(self) -> bytes:
        """The 43 letters that are the secret."""
        return self.text[-SECRET_CHARS - 6 : -6].encode()

    @property
    def fingerprint(self) -> str:
        """The key without its secret; for logs and screens."""
        return self.text[: -SECRET_CHARS - 7]

    def __repr__(self) -> str:
        return f"RootKey({self.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a root key is not pickled")


class StaticKey:
    """A static key: sent as it is, over TLS or on the same machine. text: all of it, secret."""

    __slots__ = ("name", "permissions", "text")

    def __init__(self, name: str, permissions: str, text: str) -> None:
        self.name = name
        self.permissions = permissions
        self.text = text

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text: all that is stored of it."""
        return sha256(self.text.encode()).digest()

    @property
    def fingerprint(self) -> str:
        """The key without its secret; for logs and screens."""
        return self.text[: -SECRET_CHARS - 7]

    def __repr__(self) -> str:
        return f"StaticKey({self.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a static key is not pickled")


class AttemptKey:
    """The key of one request. header: the text without its tag; number: session and counter."""

    __slots__ = ("header", "name", "number", "permissions", "tag")

    def __init__(self, name: str, permissions: str, number: int, header: str, tag: str) -> None:
        self.name = name
        self.permissions = permissions
        self.number = number
        self.header = header
        self.tag = tag

    @property
    def session(self) -> int:
        """The number of the session; 0 in an opening."""
        return self.number >> COUNTER_BITS

    @property
    def counter(self) -> int:
        """Which attempt of the session; in an opening a random number."""
        return self.number & ((1 << COUNTER_BITS) - 1)

    @property
    def text(self) -> str:
        """All of it, as it is sent."""
        return self.header + self.tag

    def __repr__(self) -> str:
        return f"AttemptKey({self.header.removesuffix('_')})"


Key = RootKey | StaticKey | AttemptKey


def pi_place(name: str, number: int) -> str:
    """The place in Pi of an attempt: 32 bits of SHA-256 over `name/number`, modulo 1,000,000, six digits."""
    at = int.from_bytes(sha256(f"{name}/{number}".encode()).digest()[:4], "big") % PLACES
    return f"{at:06d}"


def root_head(name: str, permissions: str, mark: str) -> str:
    """A root key without its secret: its fingerprint."""
    return f"carma_{name}_pi_{pi_place(name, 0)}_perm_{permissions}_meta_0_quantum_{mark}"


def attempt_header(name: str, permissions: str, number: int) -> str:
    """An attempt key without its tag."""
    place = pi_place(name, number)
    return f"carma_{name}_pi_{place}_perm_{permissions}_meta_{number}_quantum_"


def check_letters(text: str) -> str:
    """CRC-32 of a text as six letters of base 62, the highest first."""
    rest, low = divmod(crc32(text.encode()), 3844)
    high, middle = divmod(rest, 3844)
    return LETTER_PAIRS[high] + LETTER_PAIRS[middle] + LETTER_PAIRS[low]


def parse_attempt(text: str) -> AttemptKey | None:
    """The attempt key that a text is, None if it is none."""
    match = ATTEMPT.fullmatch(text) if len(text) <= MAX_KEY_CHARS else None
    if match is None:
        return None
    name, permissions, number, tag = match.groups()
    if not text.startswith(attempt_header(name, permissions, int(number))):
        return None
    return AttemptKey(name, permissions, int(number), text[: -len(tag)], tag)


def parse_secret(text: str) -> RootKey | StaticKey:
    """The root or static key that a text is. Raises KeyMalformed, which never repeats the text."""
    if not isinstance(text, str) or len(text) > MAX_KEY_CHARS:
        raise KeyMalformed(f"A key has at most {MAX_KEY_CHARS} characters.")
    root, static = _ROOT.fullmatch(text), _STATIC.fullmatch(text)
    if root is None and static is None:
        raise KeyMalformed(_what_is_wrong(text))
    if check_letters(text[:-6]) != text[-6:]:
        raise KeyMalformed("The key's check sum is wrong: at least one character differs.")
    if root is None:
        assert static is not None
        return StaticKey(static[1], static[2], text)
    name, place, permissions = root.groups()
    if place != pi_place(name, 0):
        raise KeyMalformed("The key contradicts itself: its place in Pi is that of another name.")
    return RootKey(name, permissions, text)


def parse_key(text: str) -> Key:
    """Whichever key a text is. Raises KeyMalformed, which never repeats the text."""
    return (parse_attempt(text) if isinstance(text, str) else None) or parse_secret(text)


def redacted(text: str) -> str:
    """A text with the secrets of all root and static keys in it taken out, also of keys that were cut."""
    return _SHOWN.sub(lambda match: f"{match[0][: -len(match[1])]}[secret]", text)


def _what_is_wrong(text: str) -> str:
    """Why a text is no key, as far as it helps and without repeating it."""
    shown = text.strip()
    if shown != text and _ROOT.fullmatch(shown):
        return "There is white space around the key."
    if not text.startswith("carma_"):
        small = text.lower().startswith("carma_")
        return "A key begins with carma_, in small letters." if small else "A key begins with carma_."
    named = re.match(r"carma_(?:static_)?[a-z2-7]{8}_(?:pi_[0-9]+_)?perm_([^_]*)_", text)
    if named is not None:
        try:
            if as_permissions(named[1]) != named[1]:
                return "The key's permissions are not in their order."
        except InvalidInput:
            return "The key names a permission that there is not."
    if re.fullmatch(r"carma_[a-z2-7]{8}_pi_[0-9]{6}_perm_[rwha]+_meta_0_quantum_[0-9a-f]{8}_?", text):
        return "This is a fingerprint: the name of a key, which opens nothing."
    return "The text has not the form of a key, or a part of it is missing."
