"""Named arrays of one length that grow together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table"]


class Table:
    """Columns by name; `size` is how much of them is filled.

    Arrays are replaced when they grow, never resized, so a reader keeps what it took.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self.size = 0
        self.of: dict[str, NDArray[Any]] = {name: np.empty(0, kind) for name, kind in types.items()}

    def reserve(self, count: int) -> None:
        """Makes room for `count` rows; what is beyond `size` is undefined."""
        have = len(next(iter(self.of.values())))
        if count <= have:
            return
        room = max(1024, count + (count >> 2 if have else count >> 6))
        grown = {}
        for name, old in self.of.items():
            grown[name] = np.empty(room, old.dtype)
            grown[name][: self.size] = old[: self.size]
        self.of = grown
