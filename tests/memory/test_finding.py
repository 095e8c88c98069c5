"""What search promises at the surface of `Memory`; ranking itself is tested in tests/search."""

from __future__ import annotations

import shutil
import string
import threading
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from carma.config import Settings
from carma.embed import Fingerprint
from carma.errors import EmbedderError, EmbedderMismatch, InvalidFilter, InvalidInput
from carma.memory.memory import Memory
from carma.testing.embedder import HashEmbedder
from tests.memory.conftest import Open


def test_hits_carry_text_score_source_and_the_parts_where_asked(memory: Memory) -> None:
    """A hit has the documented shape; `explain` shows its parts."""
    memory.add_many(["the red fox", "the blue whale", "a green tree"])
    result = memory.search("red fox", explain=True, limit=2)
    assert result[0].text == "the red fox" and result[0].score >= result[1].score
    assert result[0].parts is not None and result[0].parts.words is not None
    assert set(result.to_dict()) == {"hits", "degraded", "reasons", "took_ms"}
    assert list(result[0].to_dict())[:7] == ["id", "text", "score", "state", "parent", "source", "metadata"]
    assert not result.degraded and result.took_ms > 0


@pytest.mark.parametrize("mode", ["hybrid", "vector", "words"])
def test_scope_filter_and_subtree_bound_every_mode(memory: Memory, mode: str) -> None:
    """A hit never comes from another scope, past a filter or from another subtree."""
    top = memory.add("fox folder", user="ann")
    inside = memory.add("a fox inside", parent=top.id, user="ann", metadata={"year": 2021})
    memory.add("a fox outside", user="ann", metadata={"year": 2019})
    memory.add("a fox of bob", user="bob", metadata={"year": 2021})
    assert {hit.fragment.user for hit in memory.search("fox", mode=mode, user="ann")} == {"ann"}
    found = memory.search("fox", mode=mode, where={"year": {"gte": 2020}})
    assert {hit.text for hit in found} == {"a fox inside", "a fox of bob"}
    assert {hit.id for hit in memory.search("fox", mode=mode, under=top.id)} == {top.id, inside.id}


def test_updates_and_deletions_are_honoured_at_once(memory: Memory) -> None:
    """No search returns a text that was changed or deleted before."""
    fragment = memory.add("apples and pears")
    memory.update(fragment.id, "engines and gears")
    assert "apples and pears" not in {hit.text for hit in memory.search("apples pears")}
    memory.delete(fragment.id)
    assert not memory.search("engines gears")


def test_batches_give_columns_and_read_hits_on_demand(memory: Memory) -> None:
    """Scores and ids come without reading; the hits are the same as a single search's."""
    memory.add_many([f"number {n}" for n in range(50)])
    memory.flush()
    batch = memory.search_many(["number 7", "number 31"], limit=5)
    assert len(batch) == 2 and batch.scores.shape == (2, 5) and not batch.degraded
    for at, query in enumerate(["number 7", "number 31"]):
        single = memory.search(query, mode="vector", limit=5)
        assert batch.ids(at)[0] == single[0].id and batch.ids(at) == [hit.id for hit in batch[at]]
        assert np.allclose(
            batch.scores[at], [hit.score for hit in single], atol=1e-6
        )  # equals may swap places
    vectors = HashEmbedder().embed(["number 7"])
    assert memory.search_many(vectors, limit=3)[0][0].text == "number 7"


def test_the_short_way_of_a_vector_gives_what_the_engine_gives(memory: Memory) -> None:
    """Alone, in a batch, for a query that was embedded before, and with the parts explained: the same hits,
    of two equals the newer first, through updates and deletions, and beside what has expired.
    """
    random = Random(11)
    texts = [" ".join(random.choices(string.ascii_lowercase, k=random.randrange(5, 30))) for _ in range(40)]
    made = memory.add_many([*texts, *texts[:15]])  # Equal texts have equal scores, to the last bit.
    memory.flush()

    def agree() -> None:
        for query in texts[::5]:
            explained = memory.search(query, mode="vector", limit=8, explain=True)
            want = [(hit.id, hit.text, round(hit.score, 5)) for hit in explained]
            vector = HashEmbedder().embed([query])[0]
            for found in (
                memory.search(query, mode="vector", limit=8),
                memory.search(vector=vector, mode="vector", limit=8),
                memory.search_many(vector[None], limit=8)[0],
            ):
                assert [(hit.id, hit.text, round(hit.score, 5)) for hit in found] == want
                assert not found.degraded

    agree()
    for each in made[::9]:
        memory.update(each.id, f"{each.text}, told again")
    memory.delete(made[5].id)
    memory.flush()
    agree()
    memory.add(texts[0], expires=time.time() - 1)
    memory.flush()
    agree()
    with pytest.raises(InvalidInput):
        memory.search(vector=[float("nan")] * HashEmbedder().fingerprint.dimension, mode="vector")


@pytest.mark.parametrize("mode", ["vector", "words", "hybrid"])
def test_a_search_beside_a_reload_finds_what_it_would_without(memory: Memory, mode: str) -> None:
    """Columns and vectors are read anew when a dream has changed them behind this process: rows get other
    numbers then. Whoever searches meanwhile finds the same hits, past the same filter, and never nothing.
    """
    random = Random(5)
    texts = ["".join(random.choices(string.ascii_lowercase + " ", k=40)) + str(n) for n in range(300)]
    made = memory.add_many({"text": text, "metadata": {"odd": n % 2}} for n, text in enumerate(texts))
    memory.flush()

    def move_up() -> None:
        for each in made[:150]:
            memory.delete(each.id)
            memory._parts.keeper.meaning.reset()  # After the next load all others have smaller numbers.

    thread = threading.Thread(target=move_up)
    thread.start()
    while thread.is_alive():
        n = random.randrange(150, 300)
        for found in (
            memory.search(texts[n], mode=mode, limit=5),
            memory.search(texts[n], mode=mode, limit=5, where={"odd": n % 2}),
            memory.search_many([texts[n]], mode=mode, limit=5)[0],
        ):
            assert found[0].text == texts[n]
        assert {hit.fragment.metadata["odd"] for hit in memory.search(texts[n], where={"odd": 1})} == {1}
    thread.join()


def test_given_vectors_are_found_without_an_embedder(open_memory: Open) -> None:
    """The caller's own vectors are searchable at once and survive a reopening and the loss of the index."""
    eye = np.eye(64, dtype=np.float32)
    memory = open_memory()
    made = memory.add_many([{"text": f"t{n}", "vector": eye[n]} for n in range(10)])
    assert memory.search(vector=eye[3], mode="vector", limit=1)[0].id == made[3].id
    memory.close()
    for name in (open_memory().path,):
        again = open_memory()
        assert again.path == name
        assert again.search(vector=eye[3], mode="vector", limit=1)[0].id == made[3].id


class Failing(HashEmbedder):
    """An embedder whose endpoint is down until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True

    def embed(self, texts):  # type: ignore[no-untyped-def]
        if self.down:
            raise EmbedderError("the endpoint does not answer")
        return super().embed(texts)


def test_an_embedder_that_fails_degrades_and_loses_nothing(open_memory: Open) -> None:
    """Words go on finding; the answer says that it is degraded; vectors follow when the embedder is back."""
    embedder = Failing()
    memory = open_memory(embedder=embedder)
    memory.add("the lighthouse keeper")
    result = memory.search("lighthouse")
    assert result[0].text == "the lighthouse keeper" and result.degraded and result.reasons
    with pytest.raises(EmbedderError):
        memory.flush(timeout_s=5)
    embedder.down = False
    assert memory.flush(timeout_s=30)
    assert not memory.search("lighthouse").degraded


class Other(HashEmbedder):
    """Another embedder with another fingerprint and dimension."""

    def __init__(self) -> None:
        super().__init__(dimension=32)

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("other", 32, "other")


def test_another_embedder_is_refused_and_reembed_moves_to_it(open_memory: Open) -> None:
    """Vectors of two embedders are never mixed; moving is one call and can be repeated."""
    memory = open_memory()
    made = memory.add_many(["alpha beta", "gamma delta"])
    memory.flush()
    memory.close()
    with pytest.raises(EmbedderMismatch):
        open_memory(embedder=Other())
    memory = open_memory()
    seen: list[tuple[int, int]] = []
    assert memory.reembed(Other(), progress=lambda done, total: seen.append((done, total)))["embedded"] == 2
    assert seen[-1] == (2, 2)
    assert memory.search("gamma delta", mode="vector", limit=1)[0].id == made[1].id
    assert memory.reembed(Other()) == {"embedded": 0, "kept": 2, "fragments": 2}
    memory.add("epsilon zeta")
    memory.flush()
    memory.close()
    with pytest.raises(EmbedderMismatch):
        open_memory()
    again = open_memory(embedder=Other())
    assert again.search("epsilon zeta", mode="vector", limit=1)[0].text == "epsilon zeta"


def test_another_process_that_moves_to_another_embedder_is_noticed(open_memory: Open) -> None:
    """An open memory says that its vectors no longer count."""
    first, second = open_memory(), open_memory()
    first.add("alpha")
    second.flush()
    first.reembed(Other())
    result = second.search("alpha")
    assert result.degraded and any("another embedder" in reason for reason in result.reasons)


def test_threads_search_while_others_write(memory: Memory) -> None:
    """A memory is shared between threads: every acknowledged write is found, nothing raises."""
    errors: list[Exception] = []

    def write(name: str) -> None:
        try:
            for n in range(20):
                added = memory.add(f"{name} item{n}")
                assert memory.get(added.id).text == added.text
                assert added.id in {
                    hit.id for hit in memory.search(f"{name} item{n}", mode="words", limit=50)
                }
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"writer{k}",)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and memory.count() == 120


def test_bad_searches_are_named(memory: Memory) -> None:
    """A wrong mode, an empty search, a filter that does not parse: typed errors."""
    with pytest.raises(InvalidInput):
        memory.search("x", mode="magic")
    with pytest.raises(InvalidInput):
        memory.search()
    with pytest.raises(InvalidInput):
        memory.search("x", limit=0)
    with pytest.raises(InvalidFilter):
        memory.search("x", where={"a": {"nearly": 1}})
    with pytest.raises(InvalidInput):
        memory.search(vector=[1.0, 2.0], mode="vector")
    with pytest.raises(InvalidInput):
        memory.search(" ")


def test_given_vectors_come_back_from_the_records_when_the_index_is_lost(open_memory: Open) -> None:
    """Without the index folder the caller's vectors are read from the records, not made from the texts."""
    eye = np.eye(64, dtype=np.float32)
    memory = open_memory()
    made = memory.add_many([{"text": f"t{n}", "vector": eye[n]} for n in range(10)])
    memory.close()
    shutil.rmtree(Path(memory.path) / "index")
    again = open_memory()
    assert again.flush(timeout_s=30)
    for n in range(10):
        hit = again.search(vector=eye[n], mode="vector", limit=1)[0]
        assert hit.id == made[n].id and hit.score == pytest.approx(1.0)


class Stopping(Other):
    """Another embedder that stops answering after some texts."""

    left = 6

    def embed(self, texts):  # type: ignore[no-untyped-def]
        if self.left <= 0:
            raise EmbedderError("the endpoint does not answer")
        self.left -= len(texts)
        return super().embed(texts)


def test_an_interrupted_reembed_goes_on_where_it_stopped_and_costs_no_downtime(open_memory: Open) -> None:
    """What was made stays made; until the last vector is there the old ones answer."""
    memory = open_memory(settings=Settings(embed_batch=2))
    memory.add_many([f"word{n}" for n in range(20)])
    memory.flush()
    with pytest.raises(EmbedderError):
        memory.reembed(Stopping())
    found = memory.search("word7", mode="vector", limit=1)
    assert found[0].text == "word7" and not found.degraded
    assert memory.reembed(Other()) == {"embedded": 14, "kept": 6, "fragments": 20}
    assert memory.search("word7", mode="vector", limit=1)[0].text == "word7"


def test_a_trained_index_honours_updates_and_deletions_and_survives_a_reopening(open_memory: Open) -> None:
    """Above `exact_below` the index is trained; what changes afterwards counts at once and after opening."""
    settings = Settings(exact_below=1_000)
    generator = np.random.default_rng(7)
    vectors = generator.standard_normal((1_500, 64)).astype(np.float32)
    memory = open_memory(settings=settings)
    made = memory.add_many([{"text": f"t{n}", "vector": vectors[n]} for n in range(1_500)])
    memory.flush()
    memory.rest()
    assert list(Path(memory.path, "index").glob("vectors-*.faiss")), "the trained index was saved"
    memory.delete(made[10].id)
    added = memory.add("new", vector=vectors[10])
    memory.update(made[20].id, "changed", vector=-vectors[20])

    def check(memory: Memory) -> None:
        assert memory.search(vector=vectors[10], mode="vector", limit=1)[0].id == added.id
        assert memory.search(vector=-vectors[20], mode="vector", limit=1)[0].text == "changed"
        assert "t20" not in [hit.text for hit in memory.search(vector=vectors[20], mode="vector", limit=50)]
        assert memory.search(vector=vectors[700], mode="vector", limit=1)[0].text == "t700"

    check(memory)
    memory.close()
    check(open_memory(settings=settings))
