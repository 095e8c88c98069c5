"""The gate: the outermost application, through which every request goes.

    id ─▶ operation ─▶ key, limits, permission ─▶ seat ─▶ body ─▶ route ─▶ answer ─▶ log

Whatever goes wrong on the way becomes a problem here; nothing is left to the framework's own pages. Two
operations are asked so often that they are answered without the framework between (`get`, `search`): the same
functions, the same answers, a quarter of a millisecond less. Rejected: middleware in the framework's own
stack, which each costs a task and a queue for every request.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from carma.errors import CarmaError, MethodNotAllowed, NewSession, NoSuchRoute, RequestRefused, Unauthorized
from carma.serve.body import BodyReader, SenderGone
from carma.serve.call import Answer, Call
from carma.serve.guard import Admission, Guard, answer_tag
from carma.serve.health import Health
from carma.serve.log import Log, Ration, failure
from carma.serve.metrics import MEDIA
from carma.serve.outgoing import Outgoing, Send
from carma.serve.paths import is_ours, operation_at
from carma.serve.problems import answer_of
from carma.serve.routes.describe import check_accept
from carma.serve.routes.fragments import get_now
from carma.serve.routes.search import search_now
from carma.serve.services import Services
from carma.serve.tracing import Tracer

__all__ = ["Gate"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_ONCE = frozenset({
    "authorization", "carma-account", "carma-date", "carma-nonce", "carma-square", "content-digest",
    "content-encoding", "content-length", "content-type", "host", "idempotency-key", "if-match",
    "last-event-id", "x-request-id",
})  # fmt: skip
"""Headers that decide something: given twice, two readers could each believe another one."""
_GONE = 499
_SHORT_BODY = 64 * 2**10
"""An unread body up to so many bytes is passed over; for a longer one the connection is closed."""


class Gate:
    """The application of a server. app: what has the routes. dashboard: whether it has pages too."""

    def __init__(
        self,
        app: Any,
        guard: Guard,
        bodies: BodyReader,
        health: Health,
        services: Services,
        log: Log,
        tracer: Tracer,
        *,
        dashboard: bool = False,
    ) -> None:
        self._app = app
        self._guard = guard
        self._bodies = bodies
        self._health = health
        self._services = services
        self._log = log
        self._tracer = tracer
        self._dashboard = dashboard
        self._ration = Ration(services.settings.strangers_logged_per_s)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan" or self._dashboard:
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _request(self, scope: Any, receive: Any, send: Send) -> None:
        began = time.perf_counter()
        headers, twice = _headers(scope["headers"])
        request_id = _request_id(headers.get("x-request-id"))
        out = Outgoing(
            send, headers, request_id, self._services.settings.compress_from_bytes, self._services.entropy
        )
        out.secure = scope.get("scheme") == "https"
        told = _Told()
        try:
            if twice is not None:
                raise RequestRefused(f"The header {twice} stands twice.")
            if is_ours(scope["path"]):
                out.square_tag = answer_tag(None, request_id)
                await self._operation(scope, receive, headers, out, told)
            else:
                await self._beside(scope, receive, headers, out)
        except SenderGone:
            out.status = _GONE
        except CarmaError as error:
            told.error = error.code
            out.close = out.close or _has_much_left(headers)
            await self._tell(out, answer_of(error, request_id, _challenge(error)))
        except Exception as error:
            told.error = "internal"
            self._log.error("request-failed", request_id=request_id, **failure(error))
            out.close = True
            if out.started:
                raise _Ended from None
            await self._tell(out, answer_of(error, request_id))
        finally:
            self._ended(scope, out, told, time.perf_counter() - began)

    async def _tell(self, out: Outgoing, answer: Answer) -> None:
        if not out.started:
            await out.answer(answer)

    # The operations

    async def _operation(
        self, scope: Any, receive: Any, headers: Mapping[str, str], out: Outgoing, told: _Told
    ) -> None:
        method = scope["method"]
        operation, parameters = operation_at(method, scope["path"], scope["raw_path"])
        told.operation = operation.name
        source = self._guard.source(scope, headers)
        told.source = source.address
        query = scope["query_string"]
        target = _target(scope["raw_path"], query)
        with self._tracer.span(operation, headers) as span:
            admission = self._guard.admit(operation, method, target, headers, source, out.request_id)
            told.admission = admission
            out.square_tag = answer_tag(admission, out.request_id)
            call = Call(operation, parameters, out.request_id, headers, query, source.address)
            call.admission = admission
            call.seat = self._services.block.seat(admission.principal.account)
            out.belongs_to(call)
            if operation.permission == "read":
                self._services.audit.read(admission.principal.account)
            try:
                if method not in ("GET", "DELETE") or _has_body(headers):
                    out.close = (
                        True  # Until the body is read: what is left of it must not look like a request.
                    )
                    await self._bodies.read(call, receive, method, target)
                    out.close = False
                    told.received_bytes = call.held_bytes
                await self._answer(scope, receive, call, out)
                span.answered(out.status)
            finally:
                self._bodies.release(call)

    async def _answer(self, scope: Any, receive: Any, call: Call, out: Outgoing) -> None:
        name = call.operation.name
        check_accept(call)
        if name == "get":
            ready = get_now(call)
            if ready is not None:
                await out.answer(ready)
                return
        elif name == "search" and not call.query:
            await out.answer(await search_now(call, self._services))
            return
        scope["carma"] = call
        await self._app(scope, receive, out.send)

    # Everything beside them

    async def _beside(self, scope: Any, receive: Any, headers: Mapping[str, str], out: Outgoing) -> None:
        path, method = scope["path"], scope["method"]
        if path in ("/healthz", "/readyz", "/metrics"):
            if method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{method[:16]} is not served at this path.", allowed=("GET", "HEAD"))
            answer = self._public(path, headers)
            out.close = _has_much_left(headers)
            await out.answer(answer if method == "GET" else _without_body(answer))
        elif self._dashboard:
            await self._app(scope, receive, out.send)
        else:
            raise NoSuchRoute("Nothing is served at this path.")

    def _public(self, path: str, headers: Mapping[str, str]) -> Answer:
        if path == "/healthz":
            return self._health.living()
        if path == "/readyz":
            return self._health.ready()
        settings = self._services.settings
        if settings.metrics_port is not None:
            raise NoSuchRoute("Metrics are served on a port of their own.")
        page = metrics_page(self._services, headers.get("authorization", ""))
        return Answer(page, media=MEDIA, headers={"cache-control": "no-store"})

    # The end

    def _ended(self, scope: Any, out: Outgoing, told: _Told, seconds: float) -> None:
        services = self._services
        services.metrics.answered(told.operation, out.status, seconds)
        left_out = 0
        if told.admission is None and out.status >= 400:
            allowed = self._ration.take(time.monotonic())
            if allowed is None:
                return
            left_out = allowed
        line: dict[str, Any] = {
            "request_id": out.request_id,
            "method": scope["method"][:16],
            "operation": told.operation,
            "status": out.status,
            "ms": round(seconds * 1000, 3),
            "received_bytes": told.received_bytes,
            "sent_bytes": out.sent_bytes,
        }
        if told.source is not None:
            line["source"] = told.source
        if told.admission is not None:
            principal = told.admission.principal
            line["account"], line["key"] = principal.account, principal.key
            services.meter.add(principal.account, told.operation, told.received_bytes, out.sent_bytes)
        if told.error is not None:
            line["error"] = told.error
        if left_out:
            line["left_out"] = left_out
        self._log.info("request", **line)


class _Told:
    """What the log will say of a request."""

    __slots__ = ("admission", "error", "operation", "received_bytes", "source")

    def __init__(self) -> None:
        self.operation = "other"
        self.source: str | None = None
        self.admission: Admission | None = None
        self.error: str | None = None
        self.received_bytes = 0


class _Ended(Exception):
    """An answer was begun and cannot be ended: the connection is closed. It says nothing more."""


def metrics_page(services: Services, authorization: str) -> bytes:
    """The metrics. Raises Unauthorized unless the bearer is the one that was set."""
    wanted = services.settings.metrics_key
    if wanted is None:
        return services.metrics.page_for_anybody(services.clock.monotonic())
    scheme, _, shown = authorization.partition(" ")
    right = compare_digest(shown.encode("latin-1", "replace"), wanted.encode())
    if scheme.lower() != "bearer" or not right:
        raise Unauthorized("Metrics are shown to whoever has their key.")
    return services.metrics.page()


def _headers(raw: Any) -> tuple[dict[str, str], str | None]:
    """Headers by lower-case name, and one that stands twice and must not."""
    found: dict[str, str] = {}
    twice = None
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
        if name in found:
            if name in _ONCE:
                twice = name
            value = f"{found[name]}, {value}"
        found[name] = value
    return found, twice


def _request_id(given: str | None) -> str:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


def _target(raw_path: bytes, query: bytes) -> str:
    return (raw_path + b"?" + query if query else raw_path).decode("latin-1")


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _has_much_left(headers: Mapping[str, str]) -> bool:
    """Whether so much of a request is unread that its connection is not worth keeping, or its end unsure."""
    length = headers.get("content-length", "0")
    short = length.isdigit() and len(length) < 8 and int(length) <= _SHORT_BODY
    return not short or "transfer-encoding" in headers or "expect" in headers


def _challenge(error: CarmaError) -> dict[str, str]:
    """What tells a client how to open a session."""
    if not isinstance(error, NewSession):
        return {}
    headers = {"carma-nonce": error.nonce}
    if error.session is not None:
        headers["carma-session"] = str(error.session)
    return headers


def _without_body(answer: Answer) -> Answer:
    """The answer to HEAD."""
    bare = Answer(b"", status=answer.status_code, media=answer.media)
    bare.raw_headers = list(answer.raw_headers)
    return bare
