"""`carma openapi`: print what the server says of itself, exactly, for those who generate clients from it."""

from __future__ import annotations

import json

from carma.cli.serve import need_extra

__all__ = ["openapi"]


def openapi() -> None:
    """Print the HTTP interface as OpenAPI 3.1."""
    need_extra()
    from carma.serve.app import description

    print(json.dumps(description(), indent=2))
