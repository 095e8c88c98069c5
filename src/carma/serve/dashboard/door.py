"""The door: what every request for a page goes through before anything of NiceGUI sees it.

    host ─▶ origin ─▶ visit ─▶ page ─▶ headers that keep the browser strict

Without a visit there is the page to sign in, its style and its script, and nothing else: no other page, no
websocket, no component. A websocket is closed when its visit ends. NiceGUI itself checks none of this: it
takes a socket from any origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI

from carma.errors import CarmaError, MethodNotAllowed, RequestRefused, Unauthorized
from carma.serve.call import Answer
from carma.serve.dashboard.asking import Asking, Desk
from carma.serve.dashboard.assets import Assets
from carma.serve.dashboard.origin import check_host, check_origin, cookie_of, cookie_value, headers_of
from carma.serve.dashboard.places import is_place
from carma.serve.dashboard.rooms import Rooms
from carma.serve.dashboard.signing_in import SIGN_IN, SignIn
from carma.serve.dashboard.strict import NONCE_BYTES, Page, Strict
from carma.serve.dashboard.visits import Visit, Visits
from carma.serve.guard import Guard
from carma.serve.log import Log
from carma.serve.problems import answer_of
from carma.serve.services import Services

__all__ = ["Door", "mount_dashboard"]

_SOCKETS = "/_nicegui_ws/"
_LOOK_S = 15.0
_PICTURE = "/topology/picture"


def mount_dashboard(app: FastAPI, services: Services, guard: Guard, log: Log) -> None:
    """Put the dashboard under `/` of an application, behind all its routes."""
    door = Door(services, guard, log)
    app.mount("/", door)
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        async with outer(app) as state:
            try:
                yield state
            finally:
                await door.close()

    app.router.lifespan_context = lifespan


class Door:
    """The application in front of the pages."""

    def __init__(self, services: Services, guard: Guard, log: Log) -> None:
        self._services = services
        self._guard = guard
        self.visits = Visits(services.settings, services.clock, services.entropy)
        self._desk = Desk(services, guard, self.visits, log)
        self._sign_in = SignIn(services, guard, self.visits)
        self._assets = Assets()
        self._rooms = Rooms()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = headers_of(scope["headers"])
        secure = self._is_secure(scope, headers)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, headers, secure)
            return
        request_id = self._services.entropy.bytes(8).hex()
        try:
            check_host(headers, secure, self._services.settings.dashboard_hosts)
            if scope["method"] not in ("GET", "HEAD"):
                check_origin(headers, secure)
            await self._request(scope, receive, Strict(send), headers, secure)
        except CarmaError as error:
            await answer_of(error, request_id, self._sign_in.challenge(error))(scope, receive, Strict(send))

    async def close(self) -> None:
        """The server ends."""
        await self._rooms.close()

    # Requests

    async def _request(self, scope: Any, receive: Any, send: Any, headers: Any, secure: bool) -> None:
        path, method = scope["path"], scope["method"]
        visit = self.visits.find(cookie_of(headers, secure), touch=_is_page(path))
        if visit is not None and not self._desk.holds(visit):
            self.visits.end(visit)
            visit = None
        answer: Answer | None = None
        if asset := self._assets.find(path):
            answer = asset
        elif path == SIGN_IN:
            if method == "POST":
                answer = self._sign_in.enter(scope, headers, secure, visit)
            elif visit is not None:
                answer = _moved("/")
            else:
                answer = self._sign_in.page()
        elif path == "/sign-out" and method == "POST":
            if visit is not None:
                self.visits.end(visit)
            answer = _moved(SIGN_IN, {"set-cookie": cookie_value("", secure)})
        elif method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Pages are only read.", allowed=("GET", "HEAD"))
        elif path.startswith(_SOCKETS):
            raise RequestRefused("Pages talk by websocket only.")
        elif visit is None:
            if not _is_page(path) or headers.get("sec-fetch-dest", "document") != "document":
                raise Unauthorized("Nobody is signed in.", hint="Sign in at /sign-in.")
            answer = _moved(f"{SIGN_IN}?to={quote(path, safe='/')}" if path != "/" else SIGN_IN)
        elif path == _PICTURE:
            answer = await self._picture(scope, visit)
        if answer is not None:
            await answer(scope, receive, send)
            return
        assert visit is not None
        scope["carma.asking"] = Asking(self._desk, visit)
        nonce = self._services.entropy.bytes(NONCE_BYTES)
        known = is_place(path) or not _is_page(path)
        await (await self._rooms.open())(scope, receive, Page(send, nonce, known=known))

    async def _picture(self, scope: Any, visit: Visit) -> Answer:
        from carma.serve.dashboard.picture import picture

        return await picture(Asking(self._desk, visit), scope["query_string"])

    # Websockets

    async def _socket(self, scope: Any, receive: Any, send: Any, headers: Any, secure: bool) -> None:
        try:
            check_host(headers, secure, self._services.settings.dashboard_hosts)
            check_origin(headers, secure)
        except RequestRefused:
            await self._refuse_socket(receive, send)
            return
        visit = self.visits.find(cookie_of(headers, secure))
        allowed = visit is not None and visit.sockets < self._services.settings.dashboard_sockets_most
        if visit is None or not allowed or not scope["path"].startswith(_SOCKETS):
            await self._refuse_socket(receive, send)
            return
        scope["carma.visit"] = visit
        visit.sockets += 1
        try:
            await (await self._rooms.open())(scope, self._while_it_lasts(visit, receive, send), send)
        finally:
            visit.sockets -= 1

    def _while_it_lasts(self, visit: Visit, receive: Any, send: Any) -> Callable[[], Awaitable[Any]]:
        """`receive`, which ends with the visit."""

        async def received() -> Any:
            message = asyncio.ensure_future(receive())
            over = asyncio.ensure_future(visit.over.wait())
            try:
                while True:
                    waits = (message, over)
                    await asyncio.wait(waits, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                    if message.done():
                        return message.result()
                    if over.done() or not self.visits.goes_on(visit) or not self._desk.holds(visit):
                        self.visits.end(visit)
                        with suppress(Exception):
                            await send({"type": "websocket.close", "code": 1008})
                        return {"type": "websocket.disconnect", "code": 1008}
            finally:
                over.cancel()
                if not message.done():
                    message.cancel()

        return received

    async def _refuse_socket(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    def _is_secure(self, scope: Any, headers: Any) -> bool:
        """Whether the browser speaks TLS, to this server or to a proxy that it trusts."""
        if scope.get("scheme") in ("https", "wss"):
            return True
        return self._guard.is_forwarded_securely(scope, headers)


def _is_page(path: str) -> bool:
    return not path.startswith(("/_nicegui", "/assets/", "/favicon"))


def _moved(where: str, more: dict[str, str] | None = None) -> Answer:
    return Answer(
        b"", status=303, media=None, headers={"location": where, "cache-control": "no-store", **(more or {})}
    )
