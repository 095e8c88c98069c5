"""The recovery code: the key-encryption key as something a person can write down and type again.

56 characters in groups of four, in Crockford's base 32, which has no I, L, O and U: what is read as one of
them is taken for the digit it looks like. 256 bits are the key itself, 24 are a checksum, so a slip of the
pen is noticed before it makes a wrong key (all but one in 16 million). The code recovers the very key and
needs no file beside it. Rejected: a code that opens a stored escrow of the key (then the escrow must survive
too), and a list of words (24 of them are longer to type, and a list has to be shipped).
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from carma.errors import InvalidInput

__all__ = ["from_recovery_code", "to_recovery_code"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_PREFIX = "CARMA"
_SECRET_BYTES = 32
_CHECK_BYTES = 3
_LETTERS = (_SECRET_BYTES + _CHECK_BYTES) * 8 // 5
_GROUP = 4


def to_recovery_code(secret: bytes) -> str:
    """32 bytes as `CARMA-` and 14 groups of 4 characters; whoever has them has the key."""
    assert len(secret) == _SECRET_BYTES, "a key-encryption key has 32 bytes"
    number = int.from_bytes(secret + _check(secret))
    letters = "".join(_ALPHABET[number >> 5 * (_LETTERS - 1 - at) & 31] for at in range(_LETTERS))
    groups = (letters[at : at + _GROUP] for at in range(0, _LETTERS, _GROUP))
    return "-".join((_PREFIX, *groups))


def from_recovery_code(code: str) -> bytes:
    """The 32 bytes that a code stands for; case, spaces and dashes do not matter.

    Raises InvalidInput, which says where to look and never repeats what was typed.
    """
    letters = "".join(c for c in code.upper() if c not in "-–— \t\r\n")
    if len(letters) == _LETTERS + len(_PREFIX):
        letters = letters.removeprefix(_PREFIX)
    if len(letters) != _LETTERS:
        raise _unusable(f"it has {len(letters)} characters where {_LETTERS} are needed")
    number = 0
    for at, letter in enumerate(letters):
        value = _VALUES.get(letter)
        if value is None:
            raise _unusable(f"group {at // _GROUP + 1} holds a character that no code has")
        number = number << 5 | value
    found = number.to_bytes(_SECRET_BYTES + _CHECK_BYTES)
    secret, check = found[:_SECRET_BYTES], found[_SECRET_BYTES:]
    if not hmac.compare_digest(check, _check(secret)):
        raise _unusable("its checksum does not fit, so at least one character is wrong")
    return secret


def _check(secret: bytes) -> bytes:
    return sha256(b"carma recovery code\x00" + secret).digest()[:_CHECK_BYTES]


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(
        f"This is not a recovery code: {why}.",
        hint="It looks like CARMA-7Q2M-… with 14 groups behind the word. Compare it with what was noted.",
    )
