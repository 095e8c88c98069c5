"""Recipients: whom a sealed file is for. A public half to give away, and an identity that opens.

The key pair is X-Wing (X25519 and ML-KEM-768 together, draft-connolly-cfrg-xwing-kem): what is sealed stays
closed as long as either of the two holds, so a recording of today is no use to a quantum computer of
tomorrow. An identity is 32 bytes, from which both keys are made as X-Wing does it; a recipient is the public
key of 1,216 bytes in a file that may be sent anywhere. Rejected: age's files (their hybrid recipients are
newer than the Python packages that read them), and a passphrase as the only way to seal a backup.
"""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256, shake_256
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from carma.access.vault.privatefile import create_private, read_private
from carma.errors import InvalidInput, KekMissing, StorageError
from carma.ports.clock import Entropy, SystemEntropy

__all__ = ["FINGERPRINT_BYTES", "Identity", "Recipient", "create_identity", "save_recipient"]

FINGERPRINT_BYTES = 16
_SEED_BYTES = 32
_MLKEM_BYTES, _X25519_BYTES = 1184, 32
_RECIPIENT, _IDENTITY = "carma recipient 1", "carma identity 1"
_MOST_BYTES = 64 * 2**10


class Recipient:
    """The public half. public: 1,216 bytes: ML-KEM-768's encapsulation key, then X25519's public key.

    fingerprint: the first 16 bytes of SHA-256 of them, to compare by telephone.
    Raises InvalidInput if they are no such key.
    """

    __slots__ = ("fingerprint", "key", "public")

    def __init__(self, public: bytes) -> None:
        if len(public) != _MLKEM_BYTES + _X25519_BYTES:
            raise InvalidInput(f"A recipient has {_MLKEM_BYTES + _X25519_BYTES:,} bytes.")
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_BYTES])
            x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_BYTES:])
        except ValueError:
            raise InvalidInput("These bytes are not a recipient's key.") from None
        self.public = public
        self.key = hpke.MLKEM768X25519PublicKey(mlkem, x25519)
        self.fingerprint = sha256(public).digest()[:FINGERPRINT_BYTES]

    def to_text(self) -> str:
        """What stands in a recipient's file: one JSON object."""
        key = base64.b64encode(self.public).decode()
        value = {"format": _RECIPIENT, "fingerprint": self.fingerprint.hex(), "key": key}
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Recipient:
        """The recipient in a file. Raises InvalidInput."""
        try:
            with open(path, "rb") as file:
                data = file.read(_MOST_BYTES)
        except OSError as error:
            raise InvalidInput(f"The recipient's file {path} cannot be read ({error.strerror}).") from error
        public, fingerprint = _parsed(path, data, _RECIPIENT, "key")
        recipient = cls(public)
        if not hmac.compare_digest(recipient.fingerprint, fingerprint):
            raise InvalidInput(f"The recipient's file {path} is damaged: its fingerprint does not fit.")
        return recipient

    def __repr__(self) -> str:
        return f"Recipient({self.fingerprint.hex()})"


class Identity:
    """The secret half. seed: 32 random bytes; both private keys are SHAKE256 of it, as X-Wing says."""

    __slots__ = ("_seed", "key", "recipient")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == _SEED_BYTES, "an identity has 32 bytes"
        expanded = shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._seed = seed
        self.key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.recipient = Recipient(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def load(cls, path: Path) -> Identity:
        """The identity in a file. Raises KekMissing, KekUnsafe (others may read it), InvalidInput."""
        try:
            data = read_private(path)
        except KekMissing as error:
            raise InvalidInput(error.message) from error
        seed, fingerprint = _parsed(path, data, _IDENTITY, "seed")
        identity = cls(seed) if len(seed) == _SEED_BYTES else None
        if identity is None or not hmac.compare_digest(identity.recipient.fingerprint, fingerprint):
            raise InvalidInput(f"The identity's file {path} is damaged.")
        return identity

    def save(self, path: Path) -> None:
        """Write a new file of mode 0600. Raises FileExistsError, StorageError."""
        value = {
            "format": _IDENTITY,
            "fingerprint": self.recipient.fingerprint.hex(),
            "seed": base64.b64encode(self._seed).decode(),
        }
        create_private(path, (json.dumps(value, indent=1) + "\n").encode())

    def __repr__(self) -> str:
        return f"Identity({self.recipient.fingerprint.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is not pickled")


def create_identity(entropy: Entropy | None = None) -> Identity:
    """A new key pair."""
    return Identity((entropy or SystemEntropy()).bytes(_SEED_BYTES))


def save_recipient(recipient: Recipient, path: Path) -> None:
    """Write a new file that may be given away. Raises FileExistsError, StorageError."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(recipient.to_text())
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"Could not write {path} ({error.strerror}).") from error


def _parsed(path: Path, data: bytes, format: str, field: str) -> tuple[bytes, bytes]:
    """The key and the fingerprint in a file. Raises InvalidInput, which never repeats what stands there."""
    try:
        value = json.loads(data)
        if value["format"] == format:
            key = base64.b64decode(value[field], validate=True)
            return key, bytes.fromhex(value["fingerprint"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InvalidInput(
        f"{path} is no file of a {format.split()[1]}.",
        hint="`carma vault recipient --out FILE` makes FILE, the identity, and FILE.pub, the recipient.",
    )
