"""A LangChain `VectorStore` over a memory: documents that are proven when they are found, and heal.

    from carma import Memory
    from carma.integrations.langchain import CarmaVectorStore

    retriever = CarmaVectorStore(Memory.open("notes")).as_retriever()

A search is by meaning and words together unless `mode` says otherwise. The memory embeds; `embedding` is for
those who want the vectors of a LangChain model in a memory that was made for them (`from_texts` makes one).
Rejected: LangChain's habit of deleting everything when no ids are given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from carma.errors import InvalidInput, MissingExtra

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore
except ImportError as error:
    raise MissingExtra(
        "LangChain is not installed.", hint="Install it with `pip install 'carma-memory[langchain]'`."
    ) from error

from carma.integrations.langchain_steps import DocumentSteps
from carma.integrations.steps import Bound

if TYPE_CHECKING:
    from carma.embed import Embedder
    from carma.integrations.steps import AnyMemory

__all__ = ["CarmaVectorStore", "embedder_of"]


def embedder_of(embedding: Embeddings, name: str | None = None) -> Embedder:
    """A LangChain embedding model as the embedder of a memory: `Memory.open(path, embedder=…)`.

    name: goes into the memory's fingerprint; the class's name if None. Raises EmbedderError.
    """
    from carma.embed.callable import CallableEmbedder  # Brings NumPy along.

    dimension = len(embedding.embed_query("dimension"))
    return CallableEmbedder(embedding.embed_documents, name or type(embedding).__name__, dimension)


class CarmaVectorStore(VectorStore):
    """Documents in a memory.

    memory: open, of any kind; it stays open. embedding: makes the vectors, of the dimension of the memory's
    embedder; None: the memory makes them. mode: "hybrid", "vector" or "words". user, agent, session: whose
    documents these are; nobody else's are seen. kind: of the fragments that are made.
    """

    def __init__(
        self,
        memory: AnyMemory,
        embedding: Embeddings | None = None,
        *,
        mode: str = "hybrid",
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        kind: str = "document",
    ) -> None:
        scope = {"user": user, "agent": agent, "session": session}
        named = {name: value for name, value in scope.items() if value is not None}
        self._steps = DocumentSteps(embedding, named, kind, mode)
        self._bound = Bound(memory)

    @property
    def embeddings(self) -> Embeddings | None:
        """The model given, if any."""
        return self._steps.embeddings

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        memory: AnyMemory | None = None,
        path: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts, in a memory that is open or in the folder `path`.

        A memory made at `path` embeds with `embedding`, or, if that is None, with the packaged model.
        """
        store = cls._made(embedding, memory, path, kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        memory: AnyMemory | None = None,
        path: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_texts`."""
        store = cls._made(embedding, memory, path, kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def _made(cls, embedding: Embeddings | None, memory: Any, path: Any, options: dict[str, Any]) -> Self:
        if (memory is None) == (path is None):
            raise InvalidInput("Give either a memory or a path.")
        if memory is not None:
            return cls(memory, embedding, **options)
        from carma.memory.memory import Memory  # Heavy, and not needed over a client.

        return cls(Memory.open(path, embedder=embedder_of(embedding) if embedding else None), **options)

    # Writing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts; an id that is there already is written anew. Raises InvalidInput, TooLarge."""
        return self._bound.run(self._steps.add(texts, metadatas, ids))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`."""
        return await self._bound.arun(self._steps.add(texts, metadatas, ids))

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete by id. Raises InvalidInput if no ids are given: nothing here deletes everything."""
        return self._bound.run(self._steps.delete(ids))

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """As `delete`."""
        return await self._bound.arun(self._steps.delete(ids))

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id; those that are not there are left out."""
        return self._bound.run(self._steps.get(ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As `get_by_ids`."""
        return await self._bound.arun(self._steps.get(ids))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The `k` best documents. filter: as in docs/guides/search.md; under, min_score: as in `search`."""
        return _plain(self.similarity_search_with_score(query, k, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """As `similarity_search`."""
        return _plain(await self.asimilarity_search_with_score(query, k, **kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The `k` best documents and their scores, higher is better."""
        return self._bound.run(self._steps.search(query, k, filter, **kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        return await self._bound.arun(self._steps.search(query, k, filter, **kwargs))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents nearest to a vector."""
        return _plain(self._bound.run(self._steps.search(None, k, filter, embedding, **kwargs)))

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search_by_vector`."""
        return _plain(await self._bound.arun(self._steps.search(None, k, filter, embedding, **kwargs)))

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Good documents unlike each other. lambda_mult: 1 for the best, 0 for the most diverse.

        fetch_k is not needed: the memory chooses among its own candidates.
        """
        return self.similarity_search(query, k, diversity=_diversity(lambda_mult), **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        return await self.asimilarity_search(query, k, diversity=_diversity(lambda_mult), **kwargs)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, from a vector."""
        return self.similarity_search_by_vector(embedding, k, diversity=_diversity(lambda_mult), **kwargs)

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search_by_vector`."""
        return await self.asimilarity_search_by_vector(
            embedding, k, diversity=_diversity(lambda_mult), **kwargs
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores are cosines, or cosines weighed by words: what is below 0 has nothing to do with it."""
        return lambda score: min(max(score, 0.0), 1.0)


def _plain(found: list[tuple[Document, float]]) -> list[Document]:
    return [document for document, _ in found]


def _diversity(lambda_mult: float) -> float:
    if not 0.0 <= lambda_mult <= 1.0:
        raise InvalidInput(f"lambda_mult is {lambda_mult}; it lies between 0 and 1.")
    return 1.0 - lambda_mult
