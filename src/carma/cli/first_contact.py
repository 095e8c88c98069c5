"""The first minute with a server: an account, a key, a line to paste, and something to find.

The key is a static one and ends after a day, so that a line which was pasted somewhere is worth nothing
tomorrow; `carma users` and `carma keys` make those that last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from carma.cli.first_harm import WAIT_S, destroy, heal_after
from carma.errors import AccountNotFound, CarmaError

if TYPE_CHECKING:
    from carma.serve.accounts import Account
    from carma.serve.server import Server

__all__ = ["address_of", "greet"]

_NAME = "local"
_KEY_S = 86_400.0


def greet(fill: Path | None, harm: int = 0) -> Callable[[Server], None]:
    """What to do when the server is ready. fill: taken in by the account's memory if that is empty. harm: so
    many of its fragments are destroyed then, shown as blanks, and healed.
    """

    def ready(server: Server) -> None:
        account = _account(server)
        key, _ = server.household.keys.create(account.id, "rwha", kind="static", expires=time.time() + _KEY_S)
        print(_words(server, key.text), flush=True)
        if fill is not None:
            threading.Thread(target=_fill, args=(server, account, fill, harm), daemon=True).start()

    return ready


def address_of(server: Server) -> str:
    """The URL that this machine reaches the server by."""
    scheme = "https" if server.settings.tls_certificate else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.settings.host, server.settings.host)
    return f"{scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{server.port}"


def _account(server: Server) -> Account:
    try:
        return server.household.accounts.find(_NAME)
    except AccountNotFound:
        # The root key that comes with it is not shown, so nobody has it; it ends here.
        joined = server.household.churn().join(_NAME, "rwha")
        server.household.keys.revoke(joined.key.name)
        return joined.account


def _words(server: Server, key: str) -> str:
    address = address_of(server)
    insecure = " --insecure" if address.startswith("https") else ""
    lines = [
        f"CARMA serves at {address}. Ctrl-C ends it. Ask it something:",
        "",
        f"  curl{insecure} {address}/v1/search -H 'Authorization: Bearer {key}' \\",
        """    -H 'Content-Type: application/json' -d '{"query": "how does a memory heal?"}'""",
        "",
        "The key is shown only now and ends in a day.",
    ]
    if server.has_dashboard:
        lines.append(f"The dashboard: {address}/ (sign in with the same key).")
    return "\n".join(lines) + "\n"


def _fill(server: Server, account: Account, path: Path, harm: int) -> None:
    with suppress(CarmaError):
        with server.services.block.seat(account.id).use() as memory:
            if memory.count():
                return
            memory.ingest(path)
        if harm:
            lost = destroy(server, account, harm)
            print(_harmed(server, len(lost)), flush=True)
            heal_after(server, account, WAIT_S)


def _harmed(server: Server, lost: int) -> str:
    """What was done to the memory, where to see it, and how to have it healed."""
    where = "Blanks shows them, Dreams heals them" if server.has_dashboard else "a dream heals them"
    return (
        f"{lost} of its fragments were just destroyed on the disk, both copies. "
        f"{where}; if nobody starts a dream, it begins in {WAIT_S:.0f} seconds.\n"
    )
