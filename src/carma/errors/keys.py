"""What can be wrong with a key, an attempt or a rate, and with the store of keys."""

from __future__ import annotations

from carma.errors.base import CarmaError, InvalidInput
from carma.errors.memory import MemoryBusy

__all__ = [
    "Blocked",
    "BodyAltered",
    "Forbidden",
    "IdempotencyConflict",
    "JournalBusy",
    "JournalDamaged",
    "KeyExpired",
    "KeyMalformed",
    "KeyNotFound",
    "KeyRevoked",
    "KeyStoreDamaged",
    "NewSession",
    "ReplayedAttempt",
    "RootKeyExposed",
    "RotationRefused",
    "StaleRequest",
    "StaticKeyRefused",
    "StillRunning",
    "TooManyRequests",
    "Unauthorized",
]


class KeyMalformed(InvalidInput):
    """The text is not a key: it has another shape, or its check sum is wrong."""

    code = "key-malformed"
    status = 401
    exit_code = 20
    default_hint = "Copy the whole key as `carma keys create` printed it; capital and small letters differ."


class BodyAltered(InvalidInput):
    """The body is not the one for which Content-Digest was signed."""

    code = "body-altered"
    status = 400
    exit_code = 27
    default_hint = "Nothing was changed. Send Content-Digest as sha-256 of the body that is sent (RFC 9530)."


class IdempotencyConflict(InvalidInput):
    """An Idempotency-Key was used before, with another body."""

    code = "idempotency-conflict"
    exit_code = 25
    default_hint = "Nothing was changed. Use a new Idempotency-Key for another request."


class JournalBusy(MemoryBusy):
    """Another process writes keys, data keys or accounts and did not come to an end in time."""

    code = "journal-busy"
    default_hint = "Nothing was written. Try again, or end the process that writes."


class Unauthorized(CarmaError):
    """The request shows no key that opens anything here. It does not say what is wrong with it.

    tag_right: whether the sender has the key's secret; if not, the request is charged to its source.
    """

    code = "unauthorized"
    status = 401
    exit_code = 22
    default_hint = "Check the key with `carma keys check`."
    tag_right: bool = False


class NewSession(Unauthorized):
    """There is no current session between this key and this server.

    nonce: of the server, 32 hexadecimal digits. session: the number of the session that was opened, None if
    the request was no opening. tag_right: whether it was.
    """

    code = "new-session"
    default_hint = "Clients of CARMA open a session by themselves; see docs/guides/keys.md for others."

    def __init__(
        self, message: str, *, nonce: str = "", session: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.nonce = nonce
        self.session = session


class ReplayedAttempt(Unauthorized):
    """The attempt key is true and was used before. It is not charged as a forgery."""

    code = "replayed-attempt"
    default_hint = "Every attempt needs a new key; a client makes it, also after a failure."


class StaleRequest(Unauthorized):
    """A true request whose Carma-Date lies too far from the server's clock."""

    code = "stale-request"
    default_hint = "Set the clock of the machine that sent it; 300 seconds either way are allowed."
    tag_right = True


class KeyRevoked(Unauthorized):
    """A true key that was revoked."""

    code = "key-revoked"
    default_hint = "Ask for a new key."
    tag_right = True


class KeyExpired(Unauthorized):
    """A true key whose time is over."""

    code = "key-expired"
    default_hint = "Ask for a new key; a key that was rotated works for the days of grace only."
    tag_right = True


class RootKeyExposed(Unauthorized):
    """A root key was sent over the wire. It never has to be; it was refused."""

    code = "root-key-exposed"
    default_hint = "Rotate it: `carma keys rotate`. For curl, create a static key: `--static`."


class StaticKeyRefused(Unauthorized):
    """Static keys are switched off here, or the connection is neither local nor under TLS."""

    code = "static-key-refused"
    default_hint = "Use TLS, or sign attempts with a root key."


class Forbidden(CarmaError):
    """The key is valid and lacks the permission that the operation needs."""

    code = "forbidden"
    status = 403
    exit_code = 23
    default_hint = "Use a key with that permission; `carma keys show` says which ones a key has."


class KeyNotFound(CarmaError):
    """No key has this name."""

    code = "key-not-found"
    status = 404
    exit_code = 21
    default_hint = "Check the name with `carma keys list`."


class RotationRefused(CarmaError):
    """The key cannot be rotated in the state it is in."""

    code = "rotation-refused"
    status = 409
    exit_code = 24
    default_hint = "Nothing was changed. `carma keys show` says which key took its place."


class StillRunning(CarmaError):
    """A request with the same Idempotency-Key is being carried out."""

    code = "still-running"
    status = 409
    exit_code = 26
    default_hint = "Wait for the first request's answer, or ask again in a moment."


class KeyStoreDamaged(CarmaError):
    """A record of the key store is whole, and is not what CARMA wrote; or it was lost in every copy.

    Which key it speaks of cannot be known, and a revoked key might look valid: so no key is accepted.
    """

    code = "key-store-damaged"
    status = 503
    exit_code = 28
    default_hint = "Put back the keys folder from a backup, or `carma keys check --accept-loss`."


class JournalDamaged(CarmaError):
    """Records of keys, data keys or accounts are in no copy any more, or no copy can be read."""

    code = "journal-damaged"
    status = 503
    exit_code = 29
    default_hint = "Nothing was changed. Put back the folder that the message names from a backup."


class TooManyRequests(CarmaError):
    """Requests came faster than the profile of this key or source allows.

    retry_after_s: when the next one would be let through, in seconds from now.
    """

    code = "too-many-requests"
    status = 429
    exit_code = 34
    default_hint = "Nothing was done. Wait as long as the answer says, and send the request again."

    def __init__(self, message: str, *, retry_after_s: float = 0.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Blocked(CarmaError):
    """The source, the key or the account is blocked until a moment that the message names.

    retry_after_s: until then, in seconds from now; None if only a person ends it.
    """

    code = "blocked"
    status = 403
    exit_code = 34
    default_hint = (
        "Wait until it ends, or ask the operator. A request with a right key is never blocked by source."
    )

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
