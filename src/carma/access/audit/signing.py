"""The signing keys of a log or a witness, as they lie on disk: two seeds, kept twice, wrapped if possible.

With a key-encryption key the seeds are wrapped under it; without one they lie in a file that only its owner
can read. They sign checkpoints and open nothing. Whoever has them can sign another log under the same name:
that is what witnesses are for.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carma.access.audit.checkpoint import Signer
from carma.access.audit.twofold import Twofold
from carma.errors import AuditDamaged, KekMissing
from carma.ports.clock import Entropy

__all__ = ["Wraps", "load_signer", "rewrap_signer"]

_NAME = "signing-key"
_CONTEXT = b"carma audit signing key 1"
_SEED_BYTES = 32


class Wraps(Protocol):
    """What wraps secrets: a key-encryption key."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`secret`, encrypted, for this use only."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """What was wrapped. Raises VaultKeyWrong, KekWrong."""


def load_signer(
    kept: Twofold, entropy: Entropy, *, prefix: str, name: str | None = None, kek: Wraps | None = None
) -> Signer:
    """The signing keys in `kept`; new ones if there are none.

    prefix: of the name of new keys that are given no `name`: behind it comes a part of the public key's
    digest. kek: wraps new keys, and opens those that are wrapped.
    Raises AuditDamaged, KekMissing (they are wrapped, and there is none), VaultKeyWrong, StorageError.
    """
    data = kept.get(_NAME)
    if data is None:
        return _made(kept, entropy, prefix, name, kek)
    try:
        value = json.loads(data)
        found, seeds = str(value["name"]), base64.b64decode(value["seeds"], validate=True)
        wrapped = bool(value["wrapped"])
    except (ValueError, KeyError, TypeError) as error:
        raise AuditDamaged("The signing keys cannot be read.") from error
    if wrapped:
        if kek is None:
            raise KekMissing("The signing keys of the audit log are wrapped by a key-encryption key.")
        seeds = kek.unwrap(seeds, _CONTEXT)
    if len(seeds) != 2 * _SEED_BYTES:
        raise AuditDamaged("The signing keys cannot be read.")
    return Signer(found, seeds[:_SEED_BYTES], seeds[_SEED_BYTES:])


def rewrap_signer(kept: Twofold, kek: Wraps) -> bool:
    """Wrap the signing keys by another key-encryption key; False if there are none, or they are not wrapped.

    kek: unwraps what is here and wraps by the new key. Raises AuditDamaged, VaultKeyWrong, StorageError.
    """
    data = kept.get(_NAME)
    if data is None:
        return False
    try:
        value = json.loads(data)
        seeds, wrapped = base64.b64decode(value["seeds"], validate=True), bool(value["wrapped"])
    except (ValueError, KeyError, TypeError) as error:
        raise AuditDamaged("The signing keys cannot be read.") from error
    if wrapped:
        again = kek.wrap(kek.unwrap(seeds, _CONTEXT), _CONTEXT)
        kept.put(_NAME, json.dumps({**value, "seeds": base64.b64encode(again).decode()}).encode())
    return wrapped


def _made(kept: Twofold, entropy: Entropy, prefix: str, name: str | None, kek: Wraps | None) -> Signer:
    seeds = entropy.bytes(2 * _SEED_BYTES)
    public = Ed25519PrivateKey.from_private_bytes(seeds[:_SEED_BYTES]).public_key().public_bytes_raw()
    signer = Signer(
        name or f"{prefix}/{sha256(public).hexdigest()[:16]}", seeds[:_SEED_BYTES], seeds[_SEED_BYTES:]
    )
    stored = kek.wrap(seeds, _CONTEXT) if kek is not None else seeds
    value = {
        "name": signer.name, "wrapped": kek is not None, "seeds": base64.b64encode(stored).decode(),
    }  # fmt: skip
    kept.put(_NAME, json.dumps(value).encode())
    return signer
