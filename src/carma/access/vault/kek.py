"""The key-encryption key: the one key that wraps all others, and lies outside the data directory.

Whoever copies the data directory, a snapshot or a backup has wrapped keys and nothing that opens them. The
key comes from a file of its own (`keyfile`: plain, under a passphrase, or under a key service) or from the
environment. It is made at most once, and never where something wrapped already exists: a new key beside old
secrets would only hide that they are lost. The recovery code is the key itself, for paper (`recovery`).

Wrapped bytes are the key's id (8 bytes), a random nonce (24), the ciphertext and the tag (16), under
XAES-256-GCM with the id and a context. The id tells a wrong key from damage. While a rotation is under way,
two keys are known: one wraps, both unwrap. Rejected: deriving the wrapping keys from a passphrase directly
(then another passphrase would mean wrapping everything anew, and there would be no recovery code).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from carma.access.vault.context import context as fields
from carma.access.vault.context import derived
from carma.access.vault.keyfile import Protection, read_key_file, write_key_file
from carma.access.vault.nonces import Nonces
from carma.access.vault.recovery import from_recovery_code, to_recovery_code
from carma.access.vault.xaes import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Xaes256Gcm
from carma.errors import KekMissing, KekUnsafe, KekWrong, VaultKeyWrong
from carma.ports.cipher import CipherDamaged
from carma.ports.clock import Entropy, SystemEntropy

__all__ = [
    "KEK_ID_BYTES", "KekGiven", "KekPlace", "KekSource", "KeyEncryptionKey", "create_kek", "kek_from_code",
    "kek_source", "load_kek", "load_or_create_kek", "recover_kek",
]  # fmt: skip

KEK_ID_BYTES = 8
_OVERHEAD = KEK_ID_BYTES + NONCE_BYTES + TAG_BYTES


class KeyEncryptionKey:
    """Wraps and unwraps other keys. Safe to share between threads; never pickled, printed or logged.

    secret: 32 random bytes.
    """

    __slots__ = ("_entropy", "_keys", "_nonces", "_secret", "key_id")

    overhead = _OVERHEAD

    def __init__(self, secret: bytes, *, entropy: Entropy | None = None) -> None:
        assert len(secret) == KEY_BYTES, "a key-encryption key has 32 bytes"
        self.key_id = derived(secret, "kek id", KEK_ID_BYTES)
        self._secret = secret
        self._keys = {self.key_id: Xaes256Gcm(derived(secret, "kek wrap"))}
        self._entropy = entropy or SystemEntropy()
        self._nonces = Nonces(self._entropy)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`secret` encrypted and bound to `context`, which is not stored: 48 bytes longer than `secret`."""
        nonce = self._nonces.draw()
        sealed = self._keys[self.key_id].encrypt(nonce, secret, fields(self.key_id, context))
        return self.key_id + nonce + sealed

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """What was wrapped in `context`.

        Raises KekWrong (another key wrapped it), VaultKeyWrong (another context, or damage).
        """
        if len(wrapped) < _OVERHEAD:
            raise VaultKeyWrong("A wrapped key is too short: it is damaged.")
        key_id, nonce = wrapped[:KEK_ID_BYTES], wrapped[KEK_ID_BYTES : KEK_ID_BYTES + NONCE_BYTES]
        aead = self._keys.get(key_id)
        if aead is None:
            raise KekWrong(
                f"The key-encryption key {key_id.hex()} wrapped this; the one at hand is {self.key_id.hex()}."
            )
        try:
            return aead.decrypt(nonce, wrapped[KEK_ID_BYTES + NONCE_BYTES :], fields(key_id, context))
        except CipherDamaged:
            raise VaultKeyWrong("A wrapped key is damaged, or was wrapped for another use.") from None

    def knows(self, key_id: bytes) -> bool:
        """Whether this key, or one that it stands beside, has this id."""
        return key_id in self._keys

    def beside(self, other: KeyEncryptionKey) -> KeyEncryptionKey:
        """A key that wraps as this one does and unwraps what `other` wrapped too: for rotation."""
        both = KeyEncryptionKey(self._secret, entropy=self._entropy)
        both._keys |= other._keys
        return both

    def recovery_code(self) -> str:
        """The key as 14 groups of 4 characters: show it once, store it nowhere."""
        return to_recovery_code(self._secret)

    def __repr__(self) -> str:
        return f"KeyEncryptionKey({self.key_id.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key-encryption key is not pickled")


@dataclass(frozen=True, slots=True, kw_only=True)
class KekPlace:
    """The key in a file. protection: what protects it there, besides its mode. outside: folders that are
    copied, served or backed up, in which it must not lie.
    """

    path: Path
    protection: Protection = field(default_factory=Protection)
    outside: tuple[Path, ...] = ()

    @property
    def next(self) -> Path:
        """Where the key lies that a rotation is about to put in its place."""
        return self.path.with_name(f"{self.path.name}.next")


@dataclass(frozen=True, slots=True, kw_only=True)
class KekGiven:
    """The key itself, as the environment gives it: 32 bytes in base64, with either alphabet.

    next_text: the key that a rotation moves to, while it does.
    """

    text: str = field(repr=False)
    next_text: str | None = field(default=None, repr=False)


KekSource = KekPlace | KekGiven


def kek_source(
    environ: Mapping[str, str], *, outside: Sequence[Path] = (), passphrase: str | None = None
) -> KekSource:
    """Where the environment says that the key is.

    CARMA_KEK (the key in base64) goes before CARMA_KEK_FILE (a path), and that before the default
    `$XDG_CONFIG_HOME/carma/key-encryption-key` (`~/.config` where that is not set). A passphrase for the file
    comes from the argument, else from CARMA_KEK_PASSPHRASE. CARMA_KEK_NEXT: the key to rotate to.
    """
    if given := environ.get("CARMA_KEK"):
        return KekGiven(text=given, next_text=environ.get("CARMA_KEK_NEXT") or None)
    named = environ.get("CARMA_KEK_FILE")
    config = environ.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(named or f"{config}/carma/key-encryption-key").expanduser()
    typed = passphrase if passphrase is not None else environ.get("CARMA_KEK_PASSPHRASE") or None
    return KekPlace(path=path, protection=Protection(passphrase=typed), outside=tuple(outside))


def load_kek(source: KekSource) -> KeyEncryptionKey:
    """The key that exists. Raises KekMissing, KekUnsafe, KekWrong (passphrase, damage)."""
    if isinstance(source, KekGiven):
        kek = KeyEncryptionKey(_from_base64(source.text))
        return KeyEncryptionKey(_from_base64(source.next_text)).beside(kek) if source.next_text else kek
    _refuse_inside(source)
    successor = None
    with suppress(KekMissing):  # If it became the key just now, it is read below.
        if source.next.exists():
            successor = _read(source.next, source.protection)
    kek = _read(source.path, source.protection)
    # A rotation is under way or was cut off: some secrets are wrapped by the one, some by the other.
    return successor.beside(kek) if successor else kek


def create_kek(source: KekPlace, *, entropy: Entropy | None = None) -> tuple[KeyEncryptionKey, str]:
    """A new key in its new file, and its recovery code, which is the caller's to show once.

    Raises FileExistsError if there is a file, KekUnsafe, StorageError.
    """
    return _placed(source, KeyEncryptionKey((entropy or SystemEntropy()).bytes(KEY_BYTES), entropy=entropy))


def recover_kek(source: KekPlace, code: str) -> KeyEncryptionKey:
    """The key of a recovery code, in a new file.

    Raises InvalidInput (no such code), FileExistsError if there is a file, KekUnsafe, StorageError.
    """
    return _placed(source, kek_from_code(code))[0]


def kek_from_code(code: str) -> KeyEncryptionKey:
    """The key that a recovery code stands for; nothing is written. Raises InvalidInput."""
    return KeyEncryptionKey(from_recovery_code(code))


def load_or_create_kek(
    source: KekSource, *, something_is_wrapped: bool, entropy: Entropy | None = None
) -> tuple[KeyEncryptionKey, str | None]:
    """The key, and its recovery code if it was made just now.

    something_is_wrapped: secrets exist that an earlier key wrapped; then none is made, and a missing one is
    KekMissing. Raises what `load_kek` and `create_kek` raise.
    """
    if isinstance(source, KekGiven) or something_is_wrapped or source.path.exists():
        return load_kek(source), None
    try:
        return create_kek(source, entropy=entropy)
    except FileExistsError:  # Another process was faster; its key is ours.
        return load_kek(source), None


def _placed(source: KekPlace, kek: KeyEncryptionKey) -> tuple[KeyEncryptionKey, str]:
    _refuse_inside(source)
    write_key_file(source.path, kek._secret, kek.key_id, source.protection)
    return kek, kek.recovery_code()


def _read(path: Path, protection: Protection) -> KeyEncryptionKey:
    secret, key_id = read_key_file(path, protection)
    kek = KeyEncryptionKey(secret) if len(secret) == KEY_BYTES else None
    if kek is None or not hmac.compare_digest(kek.key_id, key_id):
        raise KekWrong(f"The key file {path} is damaged.", hint="Move it away, then `carma vault recover`.")
    return kek


def _refuse_inside(source: KekPlace) -> None:
    """The key must not lie among what it protects. Raises KekUnsafe."""
    resolved = source.path.resolve()
    for folder in source.outside:
        if resolved.is_relative_to(folder.resolve()):
            raise KekUnsafe(
                f"The key file {source.path} lies inside {folder}, which is copied with the data."
            )


def _from_base64(text: str) -> bytes:
    try:
        standard = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
        secret = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KekMissing(
            "CARMA_KEK does not hold a key: 32 bytes in base64 are needed.",
            hint="Set it to 44 characters of base64, or unset it to use the key file.",
        )
    return secret
