"""Where a request of a browser comes from: Host, Origin, and the cookie of a visit.

Any page of the internet can send a browser here; so whatever changes something, and every websocket, has to
come from a page of this very host, and the host has to be one that nobody else can point at this server. A
foreign name that was made to resolve to 127.0.0.1 (DNS rebinding) is none. Rejected: a token in each form
beside the cookie; `SameSite=Strict` and Origin say the same in every browser that shows these pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from carma.errors import RequestRefused

__all__ = ["COOKIE", "check_host", "check_origin", "cookie_of", "cookie_value", "headers_of"]

COOKIE = "carma_visit"
_SECURE_COOKIE = f"__Host-{COOKIE}"


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; several with one name are joined as the grammar of cookies wants it."""
    found: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        found[name] = f"{found[name]}; {value}" if name in found else value
    return found


def check_host(headers: Mapping[str, str], secure: bool, names: Iterable[str]) -> None:
    """Raises RequestRefused unless the Host is an address, localhost, or one of `names`.

    secure: under TLS the certificate has said whose name it is.
    """
    host = _name_in(headers.get("host", ""))
    if host is None:
        raise RequestRefused("The Host header is not the name of a server.")
    if secure or host == "localhost" or host.endswith(".localhost") or host in names:
        return
    try:
        ip_address(host)
    except ValueError:
        raise RequestRefused(
            "The dashboard is not served under this name.",
            hint="Open it by the address of the server, or name the host in `dashboard_hosts`.",
        ) from None


def check_origin(headers: Mapping[str, str], secure: bool) -> None:
    """Raises RequestRefused unless the request comes from a page of this host."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:
        origin = urlsplit("")
    schemes = ("https",) if secure else ("http", "https")  # A proxy may have taken the TLS off.
    host = headers.get("host", "").lower()
    if origin.scheme not in schemes or not host or origin.netloc.lower() != host:
        raise RequestRefused("The request does not come from a page of this server.")
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise RequestRefused("The request does not come from a page of this server.")


def cookie_of(headers: Mapping[str, str], secure: bool) -> str:
    """The value of the visit's cookie; "" if there is none, or more than one."""
    wanted = _SECURE_COOKIE if secure else COOKIE
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    values = [value for name, _, value in pairs if name == wanted]
    return values[0] if len(values) == 1 else ""


def cookie_value(token: str, secure: bool) -> str:
    """The Set-Cookie that gives a visit to the browser; with "" the one that takes it away."""
    name = _SECURE_COOKIE if secure else COOKIE
    parts = [f"{name}={token}", "Path=/", "HttpOnly", "SameSite=Strict"]
    if secure:
        parts.append("Secure")
    if not token:
        parts.append("Max-Age=0")
    return "; ".join(parts)


def _name_in(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        split = urlsplit(f"//{host}")
        named, _ = split.hostname, split.port
    except ValueError:
        return None
    if not named or split.netloc != host or split.path or "@" in host:
        return None
    return named.rstrip(".")
