"""OpenAPI: what FastAPI finds out by itself, made exact.

What it cannot know is added here: bodies that the routes read themselves, the two ways to show a key, the
headers of answers, and that every error is a problem. What it says too much is taken away (its own shape of a
validation error).
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from carma.client.operations import OPERATIONS, PREFIX
from carma.serve.call import PROBLEM
from carma.serve.routes.describe import BODIES, ERRORS
from carma.serve.shapes import Problem

__all__ = ["exact_openapi"]

_ABOUT = """\
Every request shows a key: a static one as a bearer, or an attempt key that the client signs for this one
request (docs/guides/keys.md). Whatever is not the asker's own is answered as if it did not exist.

Any body may be sent sealed to the server's key (HPKE) as `application/carma-sealed`; then the answer is
sealed to the key inside, and has the same media type (docs/guides/server.md).
"""
_REF = "#/components/schemas/{model}"
_SECURITY: list[dict[str, list[str]]] = [{"attempt": []}, {"static": []}]
_SCHEMES = {
    "attempt": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Carma <attempt key>`, signed by the client for this one request.",
    },
    "static": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "carma_static_…",
        "description": "A static key, over TLS or on the same machine.",
    },
}
_TEXT = {"type": "string"}
_HEADERS: dict[str, dict[str, Any]] = {
    "Carma-Account": {
        "description": "The account whose memory is meant; the key's own if it is not named.",
        "schema": _TEXT,
    },
    "Idempotency-Key": {
        "description": "The same for every repetition of this very request; 1 to 200 printable characters.",
        "schema": {**_TEXT, "pattern": r"^[!-~]([ -~]{0,198}[!-~])?$"},
    },
    "If-Match": {
        "description": 'Change it only if this is the stored version: `"3"`, as an ETag gave it; or `*`.',
        "schema": {**_TEXT, "pattern": r'^(\*|"[0-9]{1,15}(-[!#-~]*)?")$', "examples": ['"1"', "*"]},
    },
    "If-None-Match": {"description": "Answer 304 if this very answer is known.", "schema": _TEXT},
    "Last-Event-ID": {"description": "The id of the last event that was seen.", "schema": _TEXT},
}
_ALWAYS: dict[str, Any] = {
    "X-Request-ID": {"description": "Names this request in the server's log.", "schema": _TEXT},
    "Carma-Square": {"description": "The magic square of the request's tag.", "schema": _TEXT},
}
_SOME: dict[tuple[str, str], Any] = {
    ("get", "200"): {"ETag": {"description": "The version shown.", "schema": _TEXT}},
    ("update", "200"): {"ETag": {"description": "The version written.", "schema": _TEXT}},
    ("dream", "202"): {"Location": {"description": "Where to follow it.", "schema": _TEXT}},
}
_OF_STATUS: dict[str, Any] = {
    "401": {
        "WWW-Authenticate": {"schema": _TEXT},
        "Carma-Nonce": {"description": "The server's nonce, to open a session with.", "schema": _TEXT},
        "Carma-Session": {"description": "The session that was opened.", "schema": _TEXT},
    },
    "429": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    "503": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}


def exact_openapi(app: FastAPI) -> dict[str, Any]:
    """The description of an application, as OpenAPI 3.1."""
    if app.openapi_schema:
        return app.openapi_schema
    found = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary="A memory for AI agents that heals itself.",
        description=_ABOUT,
        routes=[route for route in app.routes if getattr(route, "path", "").startswith(PREFIX)],
    )
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, schema in schemas.items():
        if name != Problem.__name__ and "properties" in schema:
            # An answer names everything, also what has its usual value.
            schema["required"] = list(schema["properties"])
    for name, body in BODIES.items():
        adapter = body if isinstance(body, TypeAdapter) else TypeAdapter(body)
        schema = adapter.json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[f"{name}_body"] = schema
    schemas[Problem.__name__] = TypeAdapter(Problem).json_schema(ref_template=_REF)
    found["components"]["responses"] = {str(status): _problem(str(status)) for status in ERRORS}
    for operation in OPERATIONS.values():
        _complete(found["paths"][PREFIX + operation.path][operation.method.lower()], operation.name)
    found["components"]["securitySchemes"] = _SCHEMES
    app.openapi_schema = found
    return found


def _complete(route: dict[str, Any], name: str) -> None:
    operation = OPERATIONS[name]
    route["security"] = _SECURITY
    route.setdefault("parameters", []).extend(_parameters(operation.changes, name))
    for status, response in route["responses"].items():
        if int(status) >= 400:
            route["responses"][status] = {"$ref": f"#/components/responses/{status}"}
            continue
        response["headers"] = {**_ALWAYS, **_SOME.get((name, status), {})}
        if int(status) == 304:
            response.pop("content", None)


def _problem(status: str) -> dict[str, Any]:
    """An error, said once for all operations."""
    return {
        "description": ERRORS[int(status)],
        "headers": {**_ALWAYS, **_OF_STATUS.get(status, {})},
        "content": {PROBLEM: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}},
    }


def _parameters(changes: bool, name: str) -> list[dict[str, Any]]:
    """The headers that an operation takes."""
    here = {
        "Carma-Account": True,
        "Idempotency-Key": changes,
        "If-Match": name in ("update", "delete"),
        "If-None-Match": name == "get",
        "Last-Event-ID": name == "show_dream",
    }
    return [
        {"name": header, "in": "header", "required": False, **_HEADERS[header]}
        for header, taken in here.items()
        if taken
    ]
