"""What can go wrong between a client and a server, seen from the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carma.errors.base import CarmaError

__all__ = [
    "AnswerLost",
    "InvalidAnswer",
    "NotRemote",
    "RemoteProblem",
    "ServerUnreachable",
]


class NotRemote(CarmaError):
    """A verb that works on a memory of this machine only was asked of a client."""

    code = "not-remote"
    status = 501
    exit_code = 50
    default_hint = "Run it where the memory lies, with Memory.open(path) or the command line."


class ServerUnreachable(CarmaError):
    """The server could not be asked, also after several tries."""

    code = "server-unreachable"
    status = 503
    exit_code = 51
    default_hint = "Nothing was changed. Check the address (CARMA_URL) and that `carma serve` runs."


class AnswerLost(ServerUnreachable):
    """A change was sent and its answer never came: it may or may not have been made.

    idempotency_key: the key under which it can be repeated without being made twice.
    """

    code = "answer-lost"
    status = 504
    exit_code = 52
    default_hint = "Look whether it was made, or repeat it with the same idempotency key."

    def __init__(self, message: str, *, idempotency_key: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.idempotency_key = idempotency_key


class InvalidAnswer(CarmaError):
    """The server answered what is no answer of CARMA."""

    code = "invalid-answer"
    status = 502
    exit_code = 53
    default_hint = "Check that the address is that of `carma serve`, and that no proxy answers for it."


class RemoteProblem(CarmaError):
    """The server reported a problem that this client does not know.

    remote: the problem details as they came; remote_status: the HTTP status.
    """

    code = "remote-problem"
    status = 502
    exit_code = 54
    default_hint = "The message is the server's own. A newer client may say more."

    def __init__(
        self,
        message: str,
        *,
        remote_status: int = 0,
        remote: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.remote_status = remote_status
        self.remote = dict(remote or {})
