"""What is shown at a path that is no page. It is registered behind all others."""

from __future__ import annotations

from carma.serve.dashboard.pieces import link, nothing
from carma.serve.dashboard.view import View, page

__all__ = ["missing"]


@page("/{rest:path}", "Not found")
async def missing(view: View) -> None:
    """The page."""
    nothing("There is no such page.", "The address may be misspelt, or what was there is gone.")
    link("To the overview", "/", "act plain")
