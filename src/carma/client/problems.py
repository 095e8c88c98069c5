"""From an answer that is no success to the typed error that the server raised (RFC 9457).

The `type` of a problem names the error's code, and the error tree says which class that is. An answer that is
no problem comes from something in between, a proxy or another server, and is called so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from carma import errors
from carma.errors import CarmaError, InvalidAnswer, RemoteProblem

__all__ = ["error_of", "is_passing"]

_PREFIX: Final = "urn:carma:error:"
_PASSING: Final = frozenset(
    {
        "memory-busy",
        "memory-closed",
        "replayed-attempt",
        "seat-unavailable",
        "server-busy",
        "still-running",
        "too-many-requests",
    }
)
_GATEWAYS: Final = frozenset({502, 503, 504})
_SHOWN_CHARS: Final = 120


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> CarmaError:
    """The error that an answer reports. headers: by lower-case name."""
    problem = _problem(headers, body)
    if problem is None:
        return _foreign(status, headers, body)
    code = str(problem.get("type", "")).removeprefix(_PREFIX)
    detail = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
    hint = problem.get("hint")
    kind = _KINDS.get(code)
    if kind is None:
        error: CarmaError = RemoteProblem(detail, remote_status=status, remote=problem, hint=_text(hint))
    else:
        error = kind(detail, hint=_text(hint))
    if hasattr(error, "retry_after_s"):
        error.retry_after_s = _seconds(headers.get("retry-after"))
    instance = problem.get("instance")
    if isinstance(instance, str):
        error.add_note(f"The server's name for the request: {instance}")
    return error


def is_passing(error: CarmaError, status: int) -> bool:
    """Whether the same request may succeed a moment later."""
    return error.code in _PASSING or (isinstance(error, InvalidAnswer) and status in _GATEWAYS)


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _foreign(status: int, headers: Mapping[str, str], body: bytes) -> CarmaError:
    said = " ".join(body[: 4 * _SHOWN_CHARS].decode("utf-8", "replace").split())
    shown = "".join(c if c.isprintable() else "\ufffd" for c in said)[:_SHOWN_CHARS]
    kind = headers.get("content-type", "nothing").partition(";")[0]
    return InvalidAnswer(f"An answer with status {status} is no answer of CARMA ({kind}): {shown!r}.")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(value: str | None) -> float | None:
    """The seconds of Retry-After; a date there is not ours."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else None


_KINDS: Final[Mapping[str, type[CarmaError]]] = {
    kind.code: kind for kind in (getattr(errors, name) for name in errors.__all__)
}
