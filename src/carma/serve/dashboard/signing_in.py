"""Signing in: a key is shown once, and a visit begins.

A static key is sent as a bearer; a root key never leaves the browser: its script makes an attempt key of it,
as every client does, and forgets it. Both go through the same guard as `/v1`: the same limits, the same
charges for wrong ones, the same entries in the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Any

from carma.client.operations import Operation
from carma.errors import CarmaError, NewSession
from carma.serve.call import Answer
from carma.serve.dashboard.assets import address_of, asset
from carma.serve.dashboard.origin import cookie_value
from carma.serve.dashboard.visits import Visit, Visits
from carma.serve.guard import Guard
from carma.serve.services import Services

__all__ = ["SIGN_IN", "SignIn"]

SIGN_IN = "/sign-in"
_OPERATION = Operation("usage", "POST", SIGN_IN, "read")
"""Whoever may see what an account uses may come in; each page asks for more where it needs more."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SignIn:
    """The page to sign in, and what it sends."""

    def __init__(self, services: Services, guard: Guard, visits: Visits) -> None:
        self._services = services
        self._guard = guard
        self._visits = visits
        shown = {name: address_of(f"{file}") for name, file in _FILES.items()}
        self._page = Template(asset("sign_in.html")).substitute(shown).encode()

    def page(self) -> Answer:
        """The page."""
        headers = {"cache-control": "no-store", "content-security-policy": _POLICY}
        return Answer(self._page, media="text/html; charset=utf-8", headers=headers)

    def enter(self, scope: Any, headers: Mapping[str, str], secure: bool, before: Visit | None) -> Answer:
        """Begin a visit. Raises what `Guard.admit` raises."""
        request_id = self._services.entropy.bytes(8).hex()
        source = self._guard.source(scope, headers)
        admission = self._guard.admit(_OPERATION, "POST", _target(scope), headers, source, request_id)
        self._services.block.seat(admission.principal.account)
        if before is not None:
            self._visits.end(before)
        token = self._visits.begin(admission.principal)
        return Answer(
            b"", status=204, media=None,
            headers={"set-cookie": cookie_value(token, secure), "cache-control": "no-store"},
        )  # fmt: skip

    def challenge(self, error: CarmaError) -> dict[str, str]:
        """What tells the page how to go on signing."""
        if not isinstance(error, NewSession):
            return {}
        headers = {"carma-nonce": error.nonce, "carma-audience": self._services.settings.audience}
        if error.session is not None:
            headers["carma-session"] = str(error.session)
        return headers


_FILES = {"style": "sign_in.css", "script": "sign_in.js", "mark": "mark.svg"}


def _target(scope: Any) -> str:
    query = scope["query_string"]
    raw = scope.get("raw_path") or SIGN_IN.encode()
    return (raw + b"?" + query if query else raw).decode("latin-1")
