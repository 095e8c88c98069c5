"""`carma keys rotate` over a server: a key asks for its own successor.

The new key goes into the file that the old one came from and is shown nowhere. Nobody rotates a key over the
network but the key itself; where the keys lie, `carma keys rotate KEY` does it for any of them.
"""

from __future__ import annotations

import os
from typing import Any

from carma.cli.remote import address, given, reached
from carma.errors import InvalidInput

__all__ = ["refuse_other", "rotate_own"]


def rotate_own(grace_s: float) -> dict[str, Any]:
    """Rotate the key that was given; what may be shown of it. Raises InvalidInput (no server, no file)."""
    url = address(None)
    if url is None:
        raise InvalidInput("Which key?", hint="Name one of `carma keys list`; or give --url.")
    if given().key_file is None and os.environ.get("CARMA_KEY"):
        raise InvalidInput(
            "A key in CARMA_KEY cannot be rotated: there is nowhere to keep the new one.",
            hint="Put it into a file (0600) and name that with --key-file.",
        )
    with reached(url) as client:
        new = client.rotate_key(grace_s=grace_s)
    return {
        "fingerprint": new.fingerprint,
        "permissions": new.permissions,
        "old_fingerprint": new.old_fingerprint,
        "old_works_until": new.old_works_until,
    }


def refuse_other() -> None:
    """Raises InvalidInput if a server was named beside a key."""
    if given().url is not None:
        raise InvalidInput("Over a server a key rotates itself alone.", hint="Leave out KEY, or --url.")
