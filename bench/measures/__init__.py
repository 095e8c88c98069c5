"""The measurements, in the order of the table they fill."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Measurement
from bench.measures import footprint, growth, hybrid, promises, querying, retrieval, writing
from bench.rounds import Context

MEASURES: dict[str, Callable[[Context], Measurement]] = {
    "promises": promises.promises,
    "texts": writing.texts,
    "vectors": writing.vectors,
    "writers": writing.writers,
    "query": querying.single,
    "batch": querying.batch,
    "small": querying.small,
    "hybrid": hybrid.hybrid,
    "opening": footprint.opening,
    "leak": footprint.leak,
    "growth": growth.growth,
    "locomo": retrieval.locomo,
}

__all__ = ["MEASURES"]
