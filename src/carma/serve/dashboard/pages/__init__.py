"""The pages, one file each. Importing this package registers them; `missing`, which is for every other path,
is registered behind them by who imports it.
"""

from __future__ import annotations

from carma.serve.dashboard.pages import (
    audit,
    blanks,
    dream,
    dreams,
    keys,
    overview,
    reconstructions,
    search,
    topology,
    tree,
    usage,
)

__all__ = [
    "audit", "blanks", "dream", "dreams", "keys", "overview", "reconstructions", "search", "topology", "tree",
    "usage",
]  # fmt: skip
