"""What a server refuses, and what it cannot do now."""

from __future__ import annotations

from typing import Any

from carma.errors.base import CarmaError

__all__ = [
    "AccountExists",
    "AccountNotFound",
    "BlockFull",
    "CannotListen",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "NoSuchRoute",
    "NotAcceptable",
    "RequestRefused",
    "RequestRepeated",
    "RequestTooSlow",
    "SeatUnavailable",
    "ServerBusy",
    "UnsupportedMedia",
]


class RequestRepeated(CarmaError):
    """A change with this Idempotency-Key was made already, or is being made now; it was not made again.

    answered: the `Answered` of what was made; None while it is still running.
    """

    code = "request-repeated"
    status = 409
    exit_code = 43
    default_hint = "Nothing was changed a second time. Wait for the first answer, or use another key."

    def __init__(self, message: str, *, answered: Any = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.answered = answered


class RequestRefused(CarmaError):
    """What came over HTTP is no request of this interface: malformed, of another digest, or out of place."""

    code = "request-refused"
    status = 400
    exit_code = 48
    default_hint = "Nothing was changed. The message says which part of the request is wrong."


class NoSuchRoute(RequestRefused):
    """Nothing is served at this path."""

    code = "no-such-route"
    status = 404
    default_hint = "`carma openapi` prints every path and what it takes."


class MethodNotAllowed(RequestRefused):
    """Something is served at this path, by other methods. allowed: those methods."""

    code = "method-not-allowed"
    status = 405
    default_hint = "The header Allow names the methods that are served there."

    def __init__(self, message: str, *, allowed: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.allowed = allowed


class NotAcceptable(RequestRefused):
    """The answer cannot be had in the form that was asked for."""

    code = "not-acceptable"
    status = 406
    default_hint = "Leave out the header Accept, or ask for application/json."


class UnsupportedMedia(RequestRefused):
    """The body is of a kind, or compressed in a way, that is not taken."""

    code = "unsupported-media"
    status = 415
    default_hint = "Send JSON in UTF-8 as application/json."


class RequestTooSlow(RequestRefused):
    """The request did not come whole in the time it is given."""

    code = "request-too-slow"
    status = 408
    default_hint = "Nothing was changed. Send it again over a faster connection, or in smaller parts."


class HeadersTooLarge(RequestRefused):
    """The headers, or one of them, are over the bound."""

    code = "headers-too-large"
    status = 431
    default_hint = "Nothing was read. Send fewer or shorter headers."


class AccountNotFound(CarmaError):
    """No account has this id, or it has none that this key may speak for."""

    code = "account-not-found"
    status = 404
    exit_code = 46
    default_hint = "Check the id with `carma users list`."


class AccountExists(CarmaError):
    """An account has this name already."""

    code = "account-exists"
    status = 409
    exit_code = 46
    default_hint = "Nothing was changed. Choose another name, or remove that account first."


class BlockFull(CarmaError):
    """Every seat of the block is taken."""

    code = "block-full"
    status = 409
    exit_code = 45
    default_hint = "Nothing was changed. Remove an account, or start another block with a folder of its own."


class CannotListen(CarmaError):
    """The server cannot listen at this address: it is taken, or is none of this machine."""

    code = "cannot-listen"
    status = 503
    exit_code = 47
    default_hint = "End what listens there, or give another --port; 0 takes a free one."


class ServerBusy(CarmaError):
    """Too much is being asked of the server at once, or it is about to end.

    retry_after_s: when it is worth asking again, in seconds from now.
    """

    code = "server-busy"
    status = 503
    exit_code = 47
    default_hint = "Nothing was done. Wait as long as the answer says, and send the request again."

    def __init__(self, message: str, *, retry_after_s: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class SeatUnavailable(ServerBusy):
    """The memory of this owner cannot be opened now; the others of the block are not touched by it."""

    code = "seat-unavailable"
    default_hint = "The operator finds the reason with `carma doctor` on the folder of the seat."
