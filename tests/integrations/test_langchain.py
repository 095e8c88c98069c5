"""The LangChain vector store: LangChain's own standard tests, and what they do not ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from carma import AsyncMemory, Memory
from carma.errors import EmbedderMismatch, InvalidInput
from carma.integrations.langchain import CarmaVectorStore, embedder_of
from carma.testing.embedder import HashEmbedder

from .losing import lose_all, opened


class TestOverAMemoryThatEmbeds(VectorStoreIntegrationTests):
    """LangChain's suite over a memory with an embedder of its own."""

    @pytest.fixture
    def vectorstore(self, memory: Memory) -> CarmaVectorStore:
        return CarmaVectorStore(memory)


class TestOverVectorsOfAModel(VectorStoreIntegrationTests):
    """LangChain's suite with the vectors of its model, in a memory that was made for it."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[CarmaVectorStore]:
        model = self.get_embeddings()
        with Memory.open(tmp_path / "memory", embedder=embedder_of(model)) as opened:
            yield CarmaVectorStore(opened, model, mode="vector")


class TestOverAnAsyncMemory(VectorStoreIntegrationTests):
    """LangChain's suite over a memory that is awaited."""

    @pytest.fixture
    def vectorstore(self, memory: Memory) -> CarmaVectorStore:
        return CarmaVectorStore(AsyncMemory(memory))


@pytest.fixture
def store(memory: Memory) -> CarmaVectorStore:
    return CarmaVectorStore(memory)


def test_a_filter_and_a_scope_restrict_a_search(memory: Memory) -> None:
    """`filter` is a memory's `where`; another user's documents are neither found, nor got, nor deleted."""
    ann, bob = CarmaVectorStore(memory, user="ann"), CarmaVectorStore(memory, user="bob")
    ann.add_texts(["tea in a cup", "tea in a pot"], [{"n": 1}, {"n": 2}], ids=["a1", "a2"])
    hers = bob.add_texts(["tea in a tin"])
    assert [each.id for each in ann.similarity_search("tea", filter={"n": {"gte": 2}})] == ["a2"]
    assert [each.page_content for each in bob.similarity_search("tea")] == ["tea in a tin"]
    assert bob.get_by_ids(["a1"]) == [] and ann.get_by_ids(hers) == []
    bob.delete(["a1", "a2"])
    ann.delete(hers)
    assert memory.count() == 3


def test_everything_is_never_deleted(store: CarmaVectorStore) -> None:
    """`delete()` without ids is refused, not understood as all."""
    store.add_texts(["one"])
    with pytest.raises(InvalidInput, match="No ids"):
        store.delete()
    assert store.similarity_search("one")


def test_what_was_ingested_is_found_as_documents(memory: Memory, tmp_path: Path) -> None:
    """A retriever works over a folder that the memory took in; the file is the document's source."""
    (tmp_path / "tea.md").write_text("# Tea\n\nGreen tea is steeped at eighty degrees.\n")
    memory.ingest(tmp_path / "tea.md")
    found = CarmaVectorStore(memory).as_retriever(search_kwargs={"k": 1}).invoke("how hot is green tea?")
    assert found[0].page_content == "Green tea is steeped at eighty degrees."
    assert found[0].metadata["source"] == "tea.md"


def test_what_is_the_same_is_not_written_again(memory: Memory, store: CarmaVectorStore) -> None:
    """Adding a document with a known id and the same content makes no new version."""
    store.add_texts(["one"], [{"n": 1}], ids=["x"])
    store.add_texts(["one"], [{"n": 1}], ids=["x"])
    (fragment,) = memory.list()
    assert fragment.version == 1
    assert store.add_texts(["first", "second"], ids=["y", "y"]) == ["y", "y"]
    assert [each.page_content for each in store.get_by_ids(["y"])] == ["second"]


def test_an_id_can_come_back(store: CarmaVectorStore) -> None:
    """A deleted id may be added again, as LangChain's indexing does."""
    store.add_texts(["one"], ids=["0" * 32])
    store.delete(["0" * 32])
    store.add_texts(["two"], ids=["0" * 32])
    assert [each.page_content for each in store.get_by_ids(["0" * 32])] == ["two"]


def test_scores_are_relevances(store: CarmaVectorStore) -> None:
    """Higher is better, and relevance scores lie between 0 and 1."""
    store.add_texts(["alpha beta", "gamma delta", "epsilon zeta"])
    scored = store.similarity_search_with_score("alpha beta", k=3)
    assert [score for _, score in scored] == sorted((score for _, score in scored), reverse=True)
    assert all(0 <= score <= 1 for _, score in store.similarity_search_with_relevance_scores("alpha", k=3))


def test_diversity_prefers_what_is_new(store: CarmaVectorStore) -> None:
    """Marginal relevance leaves out the copy of the best hit; a wrong weight is refused."""
    store.add_texts(["red tea leaves", "red tea leaves again", "tea cups of glass"])
    found = store.max_marginal_relevance_search("red tea leaves", k=2, lambda_mult=0.1)
    assert [each.page_content for each in found] == ["red tea leaves", "tea cups of glass"]
    with pytest.raises(InvalidInput, match="lambda_mult"):
        store.max_marginal_relevance_search("tea", lambda_mult=2)


def test_a_search_by_vector_needs_no_words(memory: Memory, store: CarmaVectorStore) -> None:
    """The nearest document to a vector of the memory's embedder."""
    store.add_texts(["alpha beta", "gamma delta"])
    (vector,) = HashEmbedder().embed(["gamma delta"]).tolist()
    assert store.similarity_search_by_vector(vector, k=1)[0].page_content == "gamma delta"


def test_a_store_can_be_made_from_texts(tmp_path: Path) -> None:
    """`from_texts` opens a memory for the model at a path; another model is refused there."""
    model = VectorStoreIntegrationTests.get_embeddings()
    store = CarmaVectorStore.from_texts(["one", "two"], model, [{"n": 1}, {"n": 2}], path=tmp_path / "m")
    assert store.similarity_search("two", k=1)[0].metadata == {"n": 2}
    store._bound.memory.close()
    with pytest.raises(EmbedderMismatch):
        Memory.open(tmp_path / "m", embedder=HashEmbedder())
    with pytest.raises(InvalidInput, match="either"):
        CarmaVectorStore.from_texts(["one"], model)


def test_wrong_lengths_are_refused(store: CarmaVectorStore) -> None:
    """As many ids and metadatas as texts."""
    with pytest.raises(InvalidInput, match="2 ids for 1 texts"):
        store.add_texts(["one"], ids=["1", "2"])
    with pytest.raises(InvalidInput, match="0 metadatas"):
        store.add_texts(["one"], metadatas=[])


def test_what_is_lost_says_so(tmp_path: Path) -> None:
    """A damaged document is found and says so in its metadata; its text is empty, never wrong."""
    folder = tmp_path / "m"
    with opened(folder) as memory:
        CarmaVectorStore(memory).add_texts([f"tea number {number}" for number in range(24)])
    lose_all(folder)
    with opened(folder) as memory:
        found = CarmaVectorStore(memory).similarity_search("tea", k=3)
    assert [each.page_content for each in found] == ["", "", ""]
    assert all(each.metadata["carma_state"] == "blank" and each.metadata["carma_reason"] for each in found)
