"""How an operation becomes a route: its row of the table, its answer, and every error it may end with.

The routes read bodies themselves, so that one strict reader serves the fast way and the usual one; what they
take is said to OpenAPI here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import JSONResponse

from carma.client.operations import OPERATIONS, PREFIX
from carma.errors import NotAcceptable, RequestRefused, TooLarge
from carma.serve.call import JSON, Call
from carma.serve.problems import invalid

__all__ = [
    "BODIES",
    "ERRORS",
    "STREAM",
    "Body",
    "body_of",
    "bounded",
    "check_accept",
    "described",
    "read_body",
]

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

Body = type[BaseModel] | TypeAdapter[Any]
BODIES: dict[str, Body] = {}
"""What each operation takes, by name; filled when the routes are made."""

ERRORS: Mapping[int, str] = {
    400: "The request is malformed: its body, its digest, its key or its square.",
    401: "No key, a wrong key, or no session yet; then the answer carries Carma-Nonce and Carma-Session.",
    403: "The key lacks the permission, or the source, key or account is blocked.",
    404: "There is no such fragment, dream or account; or it is not yours, which looks the same.",
    406: "The answer cannot be had in the form asked for.",
    408: "The body did not come whole in time.",
    409: "It conflicts with what is there, or the same request is being carried out.",
    410: "The owner's data key was destroyed.",
    412: "If-Match names another version than the stored one.",
    413: "Over a named bound.",
    415: "The body is not JSON, or packed in a way that is not taken.",
    422: "The request is not as it must be; `errors` says where.",
    429: "Too many requests; Retry-After says when the next is let through.",
    431: "The headers are over the bound.",
    500: "The server failed.",
    502: "The embedder or the language model failed.",
    503: "The memory, or the server, is busy; Retry-After says when to ask again.",
    507: "The disk refused.",
}
STREAM: Final = "text/event-stream"
_TAKEN = (JSON, "application/*", "*/*")


def described(
    router: APIRouter,
    name: str,
    answer: Any,
    *,
    body: Body | None = None,
    body_required: bool = True,
    more: Mapping[int | str, dict[str, Any]] | None = None,
) -> Callable[[Function], Function]:
    """Make a function the route of an operation.

    answer: the type of its JSON. body: what it takes. more: answers beside the usual ones, for OpenAPI.
    """
    operation = OPERATIONS[name]
    if body is not None:
        BODIES[name] = body

    def add(function: Function) -> Function:
        # Without the shape of a problem: making it anew for every status of every route takes a second.
        responses: dict[int | str, dict[str, Any]] = {
            status: {"description": what} for status, what in ERRORS.items()
        }
        extra: dict[str, Any] = {"x-permission": operation.permission}
        if body is not None:
            schema = {"$ref": f"#/components/schemas/{name}_body"}
            extra["requestBody"] = {"required": body_required, "content": {JSON: {"schema": schema}}}
        router.add_api_route(
            PREFIX + operation.path,
            function,
            methods=[operation.method],
            operation_id=name,
            status_code=operation.status,
            response_model=answer,
            response_class=JSONResponse,  # Only said, for OpenAPI: the routes make their answers themselves.
            responses={**responses, **(more or {})},
            openapi_extra=extra,
        )
        return function

    return add


def body_of(call: Call, model: type[B]) -> B:
    """The body of a call; an empty one is an empty object. Raises Invalid, RequestRefused."""
    return _read(call.body or b"{}", model.model_validate_json)


def read_body(body: bytes, kinds: TypeAdapter[T]) -> T:
    """A body of one of several kinds. Raises Invalid, RequestRefused."""
    return _read(body, kinds.validate_json, tagged=True)


def _read(body: bytes, reader: Callable[[bytes], T], *, tagged: bool = False) -> T:
    """A body read by a reader of Pydantic. tagged: faults name the kind first, which was not in the body."""
    try:
        return reader(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if tagged:
            found = [{**each, "loc": each["loc"][1:]} for each in found]
        raise invalid(found) from None
    except RecursionError:
        raise RequestRefused("The body is nested too deep.") from None


def bounded(asked: BaseModel, name: str, most: int) -> int:
    """A number of a query or body, `most` at the most; `most` itself where none was asked for and the usual
    one is larger. Raises TooLarge.
    """
    value = getattr(asked, name)
    if value is not None and value <= most:
        return int(value)
    if value is not None and name in asked.model_fields_set:
        raise TooLarge(f"{name} is {value}; this server allows {most}.")
    return most


def check_accept(call: Call) -> None:
    """Raises NotAcceptable unless the asker takes JSON, or, of a dream, its events."""
    accept = call.headers.get("accept")
    if accept is None or accept in ("*/*", JSON):
        return
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if STREAM in wanted and call.operation.name == "show_dream":
        return
    if not any(each in wanted for each in _TAKEN):
        raise NotAcceptable("The answer is application/json.")
