"""Problems: what went wrong, in the one JSON shape of RFC 9457.

The error tree says what there is to say: `type`, `title`, `status`, `detail`, `hint`. Here the request's id
is added as `instance`, and what the server failed in by itself loses its details: they may name files, and
are for the operator's log. What an answer never holds is a stack trace, a value that was sent, or a secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from carma.access.keys.text import redacted
from carma.errors import (
    Blocked,
    CarmaError,
    InvalidInput,
    MemoryBusy,
    MethodNotAllowed,
    RequestRefused,
    ServerBusy,
    TooManyRequests,
)
from carma.serve.call import PROBLEM, Answer

__all__ = ["INTERNAL", "Invalid", "answer_of", "invalid", "problem_of"]

INTERNAL = {
    "type": "urn:carma:error:internal",
    "title": "InternalError",
    "status": 500,
    "detail": "The server failed in a way that nobody foresaw; it is in its log under this request.",
    "hint": "Nothing is known to have changed. Report it with the request's id.",
}
_CHALLENGE = 'Carma realm="carma", Bearer realm="carma"'
_BUSY_S = 1.0
_MOST_FAULTS = 20


class Invalid(InvalidInput):
    """A request that does not have the shape it must have. faults: where, and what is wrong there."""

    code = InvalidInput.code

    def __init__(self, message: str, faults: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.faults = faults


def invalid(errors: Iterable[Any]) -> CarmaError:
    """The error of a validation by Pydantic, without the values that were sent."""
    found = list(errors)
    if any(each["type"] == "json_invalid" for each in found):
        return RequestRefused(f"The body is not JSON: {_plain(found[0]['msg'])}.")
    faults = [
        {"where": ".".join(str(part) for part in each["loc"]) or "body", "what": _plain(each["msg"])}
        for each in found[:_MOST_FAULTS]
    ]
    shown = f"{faults[0]['where']}: {faults[0]['what']}" if faults else "it has no known shape"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Invalid(f"The request is not as it must be: {shown}{more}.", faults)


def problem_of(error: BaseException, request_id: str) -> dict[str, Any]:
    """The problem details of an error."""
    if isinstance(error, ValidationError):
        error = invalid(error.errors(include_url=False, include_input=False, include_context=False))
    value: dict[str, Any] = error.problem() if isinstance(error, CarmaError) else dict(INTERNAL)
    if isinstance(error, CarmaError) and value["status"] >= 500:
        value["detail"] = (type(error).__doc__ or "").partition("\n")[0]
    if isinstance(error, Invalid):
        value["title"] = InvalidInput.__name__
        value["errors"] = error.faults
    return value | {"instance": f"urn:carma:request:{request_id}"}


def answer_of(error: BaseException, request_id: str, more: dict[str, str] | None = None) -> Answer:
    """The answer that tells an error."""
    value = problem_of(error, request_id)
    headers = {"cache-control": "no-store", **(more or {}), **_headers(error, value["status"])}
    text = json.dumps(value)
    if "carma_" in text:
        text = redacted(text)  # The name of a member may be a key that was mistaken for something else.
    return Answer(text.encode(), status=value["status"], media=PROBLEM, headers=headers)


def _headers(error: BaseException, status: int) -> dict[str, str]:
    """What RFC 9110 asks for beside some statuses."""
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests | Blocked | ServerBusy) and error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, MemoryBusy) or status == 503:
        headers["retry-after"] = str(math.ceil(_BUSY_S))
    if status == 401:
        headers["www-authenticate"] = _CHALLENGE
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    return headers


def _plain(message: str) -> str:
    """A message of Pydantic in our style: no full stop at its end."""
    return message.removesuffix(".")
