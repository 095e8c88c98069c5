"""Making keys: names, secrets, and many at once.

A secret is 43 letters of base 62, each drawn alike: 256.03 bits. They come from the operating system's
random bytes, of which those below 248 = 4 · 62 are kept: no letter is likelier than another. A name
is 40 bits of BLAKE2b over a random id, under a key of the store's own, and the mark that goes with it 32 bits
more: they tell nothing about the owner, the time, or other keys.

Many keys are made from one draw of random bytes, which is used up within the call. Rejected: a pool of random
bytes kept for later calls (a fork would copy it, and two processes would make the same keys), a mark computed
from the secret (whoever has a fingerprint could test guesses).
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import Final
from zlib import crc32

from carma.access.keys.permissions import as_permissions
from carma.access.keys.text import (
    LETTER_PAIRS,
    PLACES,
    SECRET_CHARS,
    RootKey,
    StaticKey,
    check_letters,
    root_head,
)
from carma.ports.clock import Entropy

__all__ = [
    "ID_BYTES", "NAME_KEY_BYTES", "fingerprint_of", "key_name", "make_root_keys", "make_static_key",
    "secrets_of",
]  # fmt: skip

ID_BYTES: Final = 16
NAME_KEY_BYTES: Final = 32

_LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_AS_LETTER = bytes(_LETTERS[byte % 62] for byte in range(256))
_UNEVEN = bytes(range(248, 256))
_AS_BASE32 = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte & 31] for byte in range(256))
_NAME_LETTERS = 8
_MARK_BYTES = 4
_DRAWN_BYTES = 46
"""Random bytes for each secret: 43 · 256 / 248 = 44.4 are needed on average."""


def key_name(id: bytes, name_key: bytes) -> tuple[str, str]:
    """The name of a key id (eight letters of base 32, five bits each) and its mark (eight hexadecimal)."""
    digest = blake2b(id, digest_size=_NAME_LETTERS + _MARK_BYTES, key=name_key).digest()
    return digest[:_NAME_LETTERS].translate(_AS_BASE32).decode(), digest[_NAME_LETTERS:].hex()


def fingerprint_of(id: bytes, name_key: bytes, permissions: str, *, static: bool) -> str:
    """The fingerprint of the key with an id."""
    name, mark = key_name(id, name_key)
    return f"carma_static_{name}_perm_{permissions}" if static else root_head(name, permissions, mark)


def secrets_of(entropy: Entropy, count: int) -> list[str]:
    """`count` secrets of 43 letters."""
    letters = ""
    while len(letters) < count * SECRET_CHARS:
        missing = count - len(letters) // SECRET_CHARS
        drawn = entropy.bytes(missing * _DRAWN_BYTES + 16)
        letters += drawn.translate(_AS_LETTER, _UNEVEN).decode()
    return [letters[at : at + SECRET_CHARS] for at in range(0, count * SECRET_CHARS, SECRET_CHARS)]


def make_root_keys(
    entropy: Entropy, name_key: bytes, permissions: str, count: int = 1
) -> list[tuple[bytes, RootKey]]:
    """New root keys with their ids. Names may collide, once in 2^40: the store looks."""
    # The same as `root_head` and `check_letters`, written out: 200,000 keys a second are asked for.
    permissions = as_permissions(permissions)
    middle = f"_perm_{permissions}_meta_0_quantum_"
    ids = entropy.bytes(ID_BYTES * count)
    keyed = blake2b(digest_size=_NAME_LETTERS + _MARK_BYTES, key=name_key).copy
    pairs, number = LETTER_PAIRS, int.from_bytes
    made = []
    for at, secret in enumerate(secrets_of(entropy, count)):
        id = ids[at * ID_BYTES : (at + 1) * ID_BYTES]
        hashed = keyed()
        hashed.update(id)
        digest = hashed.digest()
        name = digest[:_NAME_LETTERS].translate(_AS_BASE32).decode()
        place = number(sha256(f"{name}/0".encode()).digest()[:4], "big") % PLACES
        body = f"carma_{name}_pi_{place:06d}{middle}{digest[_NAME_LETTERS:].hex()}_{secret}"
        high, low = divmod(crc32(body.encode()), 3844)
        text = f"{body}{pairs[high // 3844]}{pairs[high % 3844]}{pairs[low]}"
        made.append((id, RootKey(name, permissions, text)))
    return made


def make_static_key(entropy: Entropy, name_key: bytes, permissions: str) -> tuple[bytes, StaticKey]:
    """A new static key with its id."""
    permissions = as_permissions(permissions)
    id = entropy.bytes(ID_BYTES)
    name, _ = key_name(id, name_key)
    body = f"carma_static_{name}_perm_{permissions}_{secrets_of(entropy, 1)[0]}"
    return id, StaticKey(name, permissions, body + check_letters(body))
