"""The topology as the page that `carma topology` writes, for the frame of the dashboard.

The page's own policy (CSP) forbids it everything but its own script and style; it is the more strict of the
two that hold for it.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from carma.healing.topology.page import page
from carma.healing.topology.views import STATES as STATES_ORDER
from carma.memory.memory import Memory
from carma.serve.call import Answer
from carma.serve.dashboard.asking import Asking

__all__ = ["MOST", "STATES_ORDER", "picture"]

MOST = 20_000
"""Fragments that are drawn."""
_SCHEMES = {None: "light dark", False: "light", True: "dark"}


async def picture(asking: Asking, query: bytes) -> Answer:
    """The page. query: `threads=1` with the threads. Raises what `Asking.ask` raises."""
    threads = parse_qs(query.decode("latin-1")).get("threads") == ["1"]
    scheme = _SCHEMES[asking.visit.dark]

    def work(memory: Memory) -> bytes:
        found = memory.topology(threads=threads, limit=MOST)
        return page({"now": found}, scheme=scheme).encode()

    body = await asking.ask("topology", work)
    headers = {
        "cache-control": "no-store", "x-frame-options": "SAMEORIGIN",
        "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    }  # fmt: skip
    return Answer(body, media="text/html; charset=utf-8", headers=headers)
