"""The one interface through which every system is measured.

A peer is opened on a folder, is given texts with their vectors, and answers queries. Each adapter calls the
public API that a user of that system would call, with the settings its documentation names, and states in
words what has happened on disk when `add` returns: a figure without that sentence compares nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts in, L2-normalised float32 vectors (n, dimension) out."""


class Row(NamedTuple):
    """One record as a store gives it back. state: what the store says of it; only CARMA says anything."""

    id: str
    text: str
    state: str = "intact"


class Peer(ABC):
    """One system under measurement; made and used inside one worker process."""

    name: ClassVar[str]
    promise: ClassVar[str]
    """What is on disk when `add` returns."""
    syncs: ClassVar[bool]
    """Whether `add` returns only after a sync of the data it wrote."""
    efforts: ClassVar[tuple[Any, ...]] = (None,)
    """Search efforts, least first; the measurement takes the first one that reaches the wanted recall."""
    index: ClassVar[str] = ""
    """The index that answers at 100,000 vectors."""
    embed: Embed | None = None

    @abstractmethod
    def open(self, folder: Path, dimension: int) -> None:
        """Opens or creates the store in `folder`."""

    @abstractmethod
    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        """Stores texts with given vectors; returns when they are searchable and as durable as the system
        promises.
        """

    def add_texts(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Embeds and stores texts, the way the system does it itself where it does."""
        assert self.embed is not None
        self.add(ids, texts, self.embed(texts))

    def await_searchable(self) -> None:  # noqa: B027  (most systems are searchable when `add` returns)
        """Returns when everything added is searchable by meaning; part of every timed write."""

    def load(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors) -> None:
        """Fills the store for the query measurements, by the quickest public way; not timed against
        others.
        """
        for start in range(0, len(ids), 1000):
            stop = start + 1000
            self.add(ids[start:stop], texts[start:stop], vectors[start:stop])

    def settle(self) -> None:  # noqa: B027  (nothing to do is the common case)
        """Builds whatever index queries want; called once after filling."""

    def set_effort(self, effort: Any) -> None:  # noqa: B027
        """Sets how hard `query` searches; one of `efforts`."""

    @abstractmethod
    def query(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[float]]:
        """The ids and scores of the `k` nearest to one vector (dimension,)."""

    def query_many(self, vectors: Vectors, k: int) -> Any:
        """The answers for each vector (n, dimension), in the system's own form; `ids_at` reads it."""
        return [self.query(vector, k)[0] for vector in vectors]

    def ids_at(self, answers: Any, number: int) -> Sequence[str]:
        """The ids of one answer of `query_many`."""
        ids: Sequence[str] = answers[number]
        return ids

    @abstractmethod
    def query_texts(self, vector: Vectors, k: int) -> tuple[Sequence[str], Sequence[str]]:
        """The ids and the texts of the `k` nearest."""

    def query_text(self, text: str, k: int) -> Sequence[str]:
        """The ids found for a question in words, embedding included, by the best mode the system has."""
        assert self.embed is not None
        return self.query(self.embed([text])[0], k)[0]

    def read(self, ids: Sequence[str]) -> list[Row]:
        """The records with these ids, by the call that reads by id; unknown ones are left out."""
        raise NotImplementedError(f"{self.name} does not read by id")

    def everything(self, most: int) -> list[Row]:
        """The records, by the call that lists them; at most `most`."""
        raise NotImplementedError(f"{self.name} does not list")

    def find(self, vector: Vectors, k: int) -> tuple[list[Row], bool]:
        """The `k` nearest, and whether the store itself says that something is missing from the answer."""
        ids, texts = self.query_texts(vector, k)
        return [Row(identity, text) for identity, text in zip(ids, texts, strict=True)], False

    def complaints(self) -> list[str]:
        """What the store itself says is wrong with it, one sentence each; only CARMA says anything."""
        return []

    def heal(self) -> dict[str, Any] | None:
        """Repairs by the store's own verb; what that reports. None: there is no such verb."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Closes the store."""
