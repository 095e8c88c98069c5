"""What a dream uses beside the store: the exact rungs, the embedder, the vectors, a language model.

The layer above has them; healing must not know it. All of them are optional but the exact rungs: a memory
without an embedder heals by everything that needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carma.healing.condense import Condenser
from carma.healing.exact import Exact
from carma.healing.model import LanguageModel
from carma.healing.priority import Threads
from carma.healing.selection import Embed

__all__ = ["Resources"]

Floats = NDArray[np.float32]


def _none(seqs: Sequence[int]) -> Mapping[int, Floats]:
    return {}


def _nothing(seconds: float) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """vectors: of writes, as far as they survive, shape (d,) each. nearest: the writes nearest to a vector.

    threads: how many begin at each write. embed: loads the embedder when it is first called. reindex: makes
    lost or stale indexes again within so many seconds, and says what was made. purge: leaves no vector of
    what is not alive in any file.
    """

    exact: Exact
    condense: Condenser | None = None
    embed: Embed | None = None
    vectors: Callable[[Sequence[int]], Mapping[int, Floats]] = _none
    nearest: Callable[[Floats, int], Sequence[int]] = lambda vector, count: ()
    threads: Threads = lambda seqs: {}
    reindex: Callable[[float], Mapping[str, int]] = _nothing
    purge: Callable[[], None] = lambda: None
    model: LanguageModel | None = None
