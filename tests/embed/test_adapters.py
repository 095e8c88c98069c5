"""What the adapters to functions, to sentence-transformers and the choice by name promise."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from carma.embed import (
    KEY_VARIABLE,
    NAME_VARIABLE,
    CallableEmbedder,
    Embedder,
    Fingerprint,
    MiniLM,
    OpenAICompatibleEmbedder,
    SentenceTransformersEmbedder,
    embedder_by_name,
    embedder_for,
    embedder_names,
    register,
)
from carma.errors import EmbedderError, InvalidInput, MissingExtra
from carma.testing.embedder import HashEmbedder


def test_a_function_becomes_an_embedder() -> None:
    """Rows are scaled to length 1, huge and tiny ones too."""
    embedder = CallableEmbedder(lambda texts: [[3e200, 4e200], [3e-200, -4e-200]], "mine", 2)
    assert np.allclose(embedder.embed(["a", "b"]), [[0.6, 0.8], [0.6, -0.8]])
    assert embedder.embed([]).shape == (0, 2) and isinstance(embedder, Embedder)
    assert embedder.fingerprint == Fingerprint("mine", 2, "mine")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([[1.0, 2.0]], "shape"),
        ([[1.0], [2.0]], "shape"),
        ([[1.0, 2.0], [3.0]], "not a table of numbers"),
        ([1.0, 2.0], "shape"),
        ([[1.0, float("nan")], [1.0, 1.0]], "NaN"),
        ([[1.0, float("inf")], [1.0, 1.0]], "NaN or infinity"),
        ([[0.0, 0.0], [1.0, 1.0]], "zeros"),
        ([["a", "b"], ["c", "d"]], "not a table of numbers"),
        (None, "shape|not a table"),
    ],
)
def test_wrong_shapes_and_nan_are_refused(answer: Any, says: str) -> None:
    """What is not two finite rows of two numbers is a typed error that names the embedder."""
    with pytest.raises(EmbedderError, match=says) as caught:
        CallableEmbedder(lambda texts: answer, "mine", 2).embed(["a", "b"])
    assert "mine" in str(caught.value)


def test_a_function_that_raises_is_an_embedder_error() -> None:
    """The cause stays attached."""

    def fails(texts: list[str]) -> object:
        raise RuntimeError("out of order")

    with pytest.raises(EmbedderError, match="out of order") as caught:
        CallableEmbedder(fails, "mine", 2).embed(["a"])
    assert isinstance(caught.value.__cause__, RuntimeError)


class LikeSentenceTransformer:
    """The one method of a SentenceTransformer that is used, over the hashing embedder."""

    def encode(self, sentences: list[str], **options: Any) -> np.ndarray[Any, Any]:
        return HashEmbedder(8).embed(sentences) * 5


def test_a_sentence_transformer_instance_becomes_an_embedder() -> None:
    """Width and digest are learnt from the model; other vectors give another fingerprint."""
    embedder = SentenceTransformersEmbedder(LikeSentenceTransformer(), name="like")
    assert np.allclose(embedder.embed(["a b", "\ud800"]), HashEmbedder(8).embed(["a b", "\ufffd"]), atol=1e-6)
    assert embedder.fingerprint.dimension == 8 and embedder.embed([]).shape == (0, 8)

    class Other(LikeSentenceTransformer):
        def encode(self, sentences: list[str], **options: Any) -> np.ndarray[Any, Any]:
            return -super().encode(sentences)

    assert SentenceTransformersEmbedder(Other(), name="like").fingerprint != embedder.fingerprint


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="the package is installed"
)
def test_a_missing_package_is_named_with_its_extra() -> None:
    """Without sentence-transformers the error says what to install."""
    with pytest.raises(MissingExtra) as caught:
        SentenceTransformersEmbedder("some-model")
    assert "carma-memory[sentence-transformers]" in caught.value.hint


def test_embedders_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind makes its embedder; the key comes from the environment and is not shown."""
    assert isinstance(embedder_by_name("minilm"), MiniLM)
    assert embedder_by_name("minilm:128").fingerprint.name.endswith("/128")
    assert embedder_by_name("hash").fingerprint == HashEmbedder(64).fingerprint
    assert embedder_by_name("hash:32").fingerprint.dimension == 32
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    remote = embedder_by_name("openai:org/model@v2@http://127.0.0.1:9/v1")
    assert isinstance(remote, OpenAICompatibleEmbedder)
    assert "org/model@v2" in repr(remote) and "sk-secret" not in repr(remote)
    remote.close()


@pytest.mark.parametrize(
    "name",
    ["", "nonsense", "openai:", "openai:model", "openai:m@ftp://x/v1", "hash:x", "minilm:9999999", "hash:1"],
)
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    """The error is about the input and says what would be right."""
    with pytest.raises(InvalidInput):
        embedder_by_name(name)


def test_a_kind_can_be_added_once() -> None:
    """A registered kind is found by name; a second of the same name and an odd name are refused."""
    register("test-kind", lambda argument: HashEmbedder(int(argument)))
    assert "test-kind" in embedder_names()
    assert embedder_by_name("test-kind:12").fingerprint.dimension == 12
    for kind in ("test-kind", "minilm", "Über", "a:b"):
        with pytest.raises(InvalidInput):
            register(kind, lambda argument: HashEmbedder())


def test_a_fingerprint_that_is_not_one_is_refused() -> None:
    """Missing and mistyped members are typed errors."""
    for values in (
        {},
        {"name": "a", "dimension": "3", "digest": "b"},
        {"name": "a", "dimension": True, "digest": "b"},
    ):
        with pytest.raises(EmbedderError):
            Fingerprint.from_dict(values)


@pytest.mark.parametrize("embedder", [MiniLM(), MiniLM(max_tokens=128), HashEmbedder(), HashEmbedder(32)])
def test_an_embedder_is_found_again_by_its_fingerprint(embedder: Embedder) -> None:
    """The packaged one and the one of tests, whatever they were made with."""
    found = embedder_for(embedder.fingerprint)
    assert type(found) is type(embedder) and found.fingerprint == embedder.fingerprint


def test_what_a_fingerprint_does_not_lead_to_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And must be the one that is looked for; else there is none."""
    wanted = Fingerprint("elsewhere", 16, "hash-1-16")
    assert embedder_for(wanted) is None
    register(
        "far", lambda argument: CallableEmbedder(HashEmbedder(16).embed, "elsewhere", 16, digest="hash-1-16")
    )
    monkeypatch.setenv(NAME_VARIABLE, "far")
    found = embedder_for(wanted)
    assert found is not None and found.fingerprint == wanted
    assert embedder_for(Fingerprint("elsewhere", 17, "hash-1-16")) is None
    for name in ("unknown:kind", "openai:nonsense", ""):
        monkeypatch.setenv(NAME_VARIABLE, name)
        assert embedder_for(wanted) is None
