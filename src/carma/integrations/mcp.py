"""An MCP server over a memory: any agent that speaks the Model Context Protocol remembers with it.

    from carma import Memory
    from carma.integrations.mcp import serve_stdio

    serve_stdio(Memory.open("notes"))        # what `carma mcp` does

Over stdio the process that started it is the caller. Over HTTP every request brings a static key, which
says whose memory is meant and what may be done with it; requests are independent of each other, so a stolen
session id is worth nothing. Rejected: the SDK's OAuth flow, which needs an authorization server beside it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import carma
from carma.errors import CarmaError, KeyMalformed, MissingExtra

try:
    import anyio
    from mcp.server import MCPServer
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp.types import ToolAnnotations
except ImportError as error:
    raise MissingExtra(
        "The MCP SDK is not installed.", hint="Install it with `pip install 'carma-memory[mcp]'`."
    ) from error

from carma.integrations.mcp_tools import CALLER, EVERYTHING, NEEDS, Caller, Tools

if TYPE_CHECKING:
    from carma.integrations.steps import AnyMemory

__all__ = ["EVERYTHING", "Admit", "Caller", "http_app", "mcp_server", "serve_stdio"]

Admit = Callable[[str], Awaitable[Caller]]
"""Who calls, by the key behind `Bearer`; raises an error of the tree for a key that is not good."""

_PATH = "/mcp"
_BODY_BYTES = 4 * 2**20
_ABOUT = (
    "A memory that heals itself. Recall before you answer from memory; remember what will matter later; "
    "when a hit is blank or status names losses, use heal."
)
_HINTS = {
    "remember": ToolAnnotations(title="Remember", destructive_hint=False, idempotent_hint=True),
    "recall": ToolAnnotations(title="Recall", read_only_hint=True),
    "forget": ToolAnnotations(title="Forget", destructive_hint=True, idempotent_hint=True),
    "history": ToolAnnotations(title="History", read_only_hint=True),
    "status": ToolAnnotations(title="Status", read_only_hint=True),
    "heal": ToolAnnotations(title="Heal", destructive_hint=False, idempotent_hint=True),
}


def mcp_server(caller: Caller | None) -> MCPServer[Any]:
    """A server with the six tools. caller: who calls; None where each request says it (`http_app`)."""
    server: MCPServer[Any] = MCPServer(
        "carma", title="CARMA", instructions=_ABOUT, version=carma.__version__, log_level="WARNING"
    )
    tools = Tools(caller)
    for name in NEEDS:
        server.add_tool(getattr(tools, name), name=name, annotations=_HINTS[name])
    return server


def serve_stdio(memory: AnyMemory, permissions: frozenset[str] = EVERYTHING) -> None:
    """Serve over standard input and output until the input ends."""
    anyio.run(mcp_server(Caller(memory, permissions)).run_stdio_async)


def http_app(admit: Admit, hosts: Sequence[str] = ("127.0.0.1:*", "localhost:*", "[::1]:*")) -> Any:
    """An ASGI application that serves `/mcp` over streamable HTTP.

    admit: who calls. hosts: the Host headers, and the hosts of Origin headers, that are answered; `*` stands
    for any port. Others are refused, so a web page cannot reach it through a name of its own.
    """
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=list(hosts),
        allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
    )
    app = mcp_server(None).streamable_http_app(
        streamable_http_path=_PATH,
        stateless_http=True,
        max_request_body_size=_BODY_BYTES,
        transport_security=security,
    )
    return _Door(app, admit)


class _Door:
    """Lets requests in that bring a good key, before anything of them is read."""

    def __init__(self, app: Any, admit: Admit) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope[CALLER] = await self._admit(_bearer(scope["headers"]))
        except CarmaError as error:
            await _refuse(error, send)
            return
        await self._app(scope, receive, send)


def _bearer(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The key behind `Authorization: Bearer`; "" if there is none, or several."""
    given = [value for name, value in headers if name.lower() == b"authorization"]
    scheme, _, key = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
    return key.strip() if scheme.lower() == "bearer" else ""


async def _refuse(error: CarmaError, send: Any) -> None:
    problem = error.problem()
    if isinstance(error, KeyMalformed):  # What is no key opens nothing either (RFC 6750, section 3.1).
        problem["status"] = 401
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if problem["status"] == 401:
        headers.append((b"www-authenticate", b'Bearer realm="carma"'))
    await send({"type": "http.response.start", "status": problem["status"], "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
