"""One request on its way through the server, and the answer to it.

A `Call` is made by the gate and handed from station to station; what a station learns it writes down here.
An `Answer` is what a route returns: bytes that are ready, so that nothing between the route and the wire has
to look into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from carma.client.operations import Operation

if TYPE_CHECKING:
    from carma.serve.guard import Admission
    from carma.serve.seat import Seat

__all__ = ["JSON", "PROBLEM", "SEALED", "Answer", "Call", "call_of"]

JSON = "application/json"
PROBLEM = "application/problem+json"
SEALED = "application/carma-sealed"

Headers = dict[str, str]


class Answer(Response):
    """A status, headers and a body that is ready. media: its type, None for no body."""

    media_type = JSON

    def __init__(
        self, body: bytes, *, status: int = 200, media: str | None = JSON, headers: Headers | None = None
    ) -> None:
        # Not the parent's: it would make headers anew from what is known already.
        self.status_code = status
        self.body = body
        self.media = media
        self.extra = headers or {}
        self.background = None
        self.raw_headers = [(name.encode(), value.encode()) for name, value in self.extra.items()]
        if media is not None:
            self.raw_headers.append((b"content-type", media.encode()))
        self.raw_headers.append((b"content-length", str(len(body)).encode()))


class Call:
    """What is known about one request.

    operation: which of the 17. request_id: for logs and answers. headers: by lower-case name; of several with
    one name the last. admission: who asks, and seat: whose memory; set by the gate before any route is asked.
    body: what came, unsealed and unpacked.
    """

    admission: Admission
    seat: Seat

    __slots__ = (
        "admission",
        "answer_key",
        "body",
        "headers",
        "held_bytes",
        "operation",
        "parameters",
        "query",
        "request_id",
        "sealed_digest",
        "seat",
        "source",
    )  # fmt: skip

    def __init__(
        self,
        operation: Operation,
        parameters: Mapping[str, str],
        request_id: str,
        headers: Mapping[str, str],
        query: bytes,
        source: str,
    ) -> None:
        self.operation = operation
        self.parameters = parameters
        self.request_id = request_id
        self.headers = headers
        self.query = query
        self.source = source
        self.body = b""
        self.held_bytes = 0
        """Bytes of the body that are held for this call."""
        self.answer_key: bytes | None = None
        """Seals the answer, if the request asked for it."""
        self.sealed_digest = b""
        """SHA-256 of the sealed request, to which a sealed answer is bound."""

    @property
    def idempotency_key(self) -> str | None:
        """The header Idempotency-Key."""
        return self.headers.get("idempotency-key")


def call_of(scope: Any) -> Call:
    """The call that the gate made of a request."""
    call = scope["carma"]
    assert isinstance(call, Call)
    return call
