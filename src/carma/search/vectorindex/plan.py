"""Which trained index suits how many vectors; the figures behind it are in docs/decisions.

The trade is between the coarse part (how many inverted lists, how many of them are probed), the codes (how
many bytes describe a vector in the scan) and the re-ranking (how many candidates are compared exactly).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Plan", "plan_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parameters of a trained index."""

    lists: int
    """Inverted lists (centroids of k-means)."""
    reduced: int
    """Dimensions that the scan of the codes sees; the re-ranking sees all."""
    codes: int
    """Sub-quantisers of 4 bits each."""
    probes: int
    """Inverted lists scanned for k = 10."""
    candidates: int
    """Vectors re-ranked for k = 10."""
    training: int
    """Vectors trained on, at most."""
    seed: int = 1234
    """Of the sample and of k-means: the same vectors train the same index."""

    def probes_for(self, k: int, share: float) -> int:
        """Inverted lists scanned for `k` results of which a filter allows only a `share`."""
        wider = max(1.0, math.sqrt(k / 10)) * min(4.0, 1 / math.sqrt(max(share, 1e-6)))
        return min(self.lists, math.ceil(self.probes * wider))

    def factor_for(self, k: int) -> float:
        """Candidates for each of `k` results: fewer the more results, because the codes err by a few ranks
        only.
        """
        return max(2.5, self.candidates / 10 * min(1.0, math.sqrt(10 / k))) if k > 10 else self.candidates / k

    def exact_at_most(self, count: int) -> int:
        """A filter that allows at most this many of `count` vectors is answered by comparing all that it
        allows.
        """
        return max(1000, count // 64)

    def as_dict(self) -> dict[str, Any]:
        """The fields, for the disk."""
        return asdict(self)


def plan_for(count: int, dimension: int) -> Plan:
    """The plan for `count` vectors of `dimension` floats."""
    lists = 2 ** max(2, round(math.log2(1.6 * math.sqrt(count))))
    reduced = max(1, dimension // 4 * 2) if dimension >= 128 else dimension
    return Plan(
        lists=lists,
        reduced=reduced,
        codes=reduced // 2 if reduced % 2 == 0 else reduced,
        probes=round(2.56 * math.sqrt(lists)),
        candidates=64,
        training=max(25_000, 50 * lists),
    )
