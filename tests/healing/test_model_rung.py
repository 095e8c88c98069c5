"""The model rung in a dream, with a real server: what is kept of what a language model writes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carma.healing.model import OpenAICompatibleModel
from carma.memory.memory import Memory
from carma.models import Fragment

from .dreaming import PATIENT, fill, lose_beyond_parity, lose_index, open_at
from .model_server import Server, said, serving

Tell = Callable[[str], str]
"""What a model makes of the true text."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A memory of which nine files are lost, and its index; made once. With it the texts that it had."""
    folder = tmp_path_factory.mktemp("model") / "memory"
    texts = fill(folder, settings=PATIENT)
    lose_index(folder)
    lose_beyond_parity(folder)
    return folder, texts


@pytest.fixture(scope="session")
def composed(
    template: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What a dream without a model makes of it, by id."""
    with open_at(Path(shutil.copytree(template[0], tmp_path_factory.mktemp("plain") / "memory"))) as memory:
        memory.dream(in_process=True)
        return {id: memory.get(id).text for id in template[1]}


@pytest.fixture
def folder(template: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(template[0], tmp_path / "memory"))


@pytest.fixture
def texts(template: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return template[1]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def knows(server: Server, texts: dict[str, str], tell: Tell) -> OpenAICompatibleModel:
    """A model that finds the true text by the terms it is given, and tells it in its own way."""

    def answer(body: dict[str, Any]) -> Any:
        terms = set(json.loads(body["messages"][1]["content"])["terms"])
        return said(tell(max(texts.values(), key=lambda text: len(terms & set(re.findall(r"\w+", text))))))

    server.answer = answer
    return OpenAICompatibleModel(server.url, "small", timeout_s=20.0)


def rebuilt(memory: Memory, texts: dict[str, str], state: str = "reconstructed") -> dict[str, Fragment]:
    found = (memory.get(id) for id in texts)
    return {each.id: each for each in found if each.state == state}


def rungs(found: dict[str, Fragment]) -> list[str]:
    return [each.repair.rung for each in found.values() if each.repair is not None]


def test_a_model_that_writes_the_true_text_has_repaired_it(
    folder: Path, server: Server, texts: dict[str, str]
) -> None:
    """Its text is held against the digest like any other: the fragment is no guess, and the rung is named."""
    with open_at(folder) as memory:
        report = memory.dream(model=knows(server, texts, lambda text: text))
        assert report.rungs["model"] == len(server.requests) > 5 and report.reconstructed == 0
        repaired = rebuilt(memory, texts, "repaired")
        assert all(each.text == texts[id] for id, each in repaired.items())
        assert rungs(repaired).count("model") == report.rungs["model"]


def test_a_running_text_with_all_terms_is_kept_instead_of_the_list(
    folder: Path, server: Server, texts: dict[str, str]
) -> None:
    """What is almost the true text, and not to the letter, says that it is a guess, and by whom; and it takes
    the place of what an earlier cycle had without a model."""
    with open_at(folder) as memory:
        plain = memory.dream(in_process=True)
        lists = rebuilt(memory, texts)
        report = memory.dream(model=knows(server, texts, lambda text: text.removesuffix(".") + "!"))
        now = rebuilt(memory, texts)
        assert report.rungs["model"] == plain.reconstructed == len(now) > 5
        assert set(rungs(now)) == {"model"} and now.keys() == lists.keys()
        assert all(each.text == texts[id].removesuffix(".") + "!" for id, each in now.items())
        assert report.score is not None and plain.score is not None and report.score > plain.score
        later = memory.dream(in_process=True)
        assert later.reconstructed == 0 and later.score == report.score


@pytest.mark.parametrize(
    "tell",
    [
        lambda text: re.sub(r"Ann \d+", "Ann 4711", text),
        lambda text: text + " It was Zebulon who said so.",
        lambda text: text + " That was on 12 May 1987.",
        lambda text: text.replace("Ann", "Eve"),
        lambda text: " ".join(text.split()[:12]),
        lambda text: "Completely unrelated words.",
    ],
    ids=["a wrong number", "a name too many", "a date too many", "a wrong name", "too little", "nonsense"],
)
def test_a_text_that_contradicts_its_sketch_is_not_kept(
    folder: Path, server: Server, texts: dict[str, str], composed: dict[str, str], tell: Tell
) -> None:
    """However well it reads: what the composer has stays, to the letter."""
    with open_at(folder) as memory:
        report = memory.dream(model=knows(server, texts, tell))
        assert len(server.requests) == report.reconstructed > 5 and "model" not in report.rungs
        assert {id: memory.get(id).text for id in texts} == composed


def test_a_silent_model_costs_three_questions(folder: Path, server: Server, texts: dict[str, str]) -> None:
    """Then it is left alone; everything is rebuilt as without it, and the report says why."""
    server.answer = lambda body: (404, {}, b"no such model")
    with open_at(folder) as memory:
        report = memory.dream(model=OpenAICompatibleModel(server.url, "small"))
        assert report.reasons["language model: refused"] == len(server.requests) == 3
        assert report.still_blank == 0 and set(rungs(rebuilt(memory, texts))) == {"compose"}


def without_sketches(folder: Path) -> None:
    for path in sorted((folder / "parity").glob("000001-[67].par")):
        path.unlink()


def test_without_a_sketch_a_model_is_asked_with_what_stands_around(
    folder: Path, server: Server, texts: dict[str, str]
) -> None:
    """What it writes in the words of its neighbours is taken instead of a copy, and hardly trusted."""
    without_sketches(folder)

    def answer(body: dict[str, Any]) -> Any:
        context = json.loads(body["messages"][1]["content"])
        assert "terms" not in context
        words = " ".join([*context["before"][-3:], *context["after"][:3]]).split()
        return said(" ".join(words[1::2]))

    server.answer = answer
    with open_at(folder) as memory:
        report = memory.dream(model=OpenAICompatibleModel(server.url, "small", timeout_s=20.0))
        found = rebuilt(memory, texts)
        assert report.rungs["model"] > len(found) / 2 > 5
        for each in found.values():
            assert each.repair is not None and each.repair.confidence is not None
            assert each.repair.confidence <= 0.05 and each.repair.sources


def test_without_a_sketch_what_does_not_belong_is_not_kept(
    folder: Path, server: Server, texts: dict[str, str]
) -> None:
    """Neither a text that is far from its neighbours, nor one with a number that none of them has."""
    without_sketches(folder)
    answers = ["Completely unrelated words.", "The river bridge in winter cost 98765."]
    server.answer = lambda body: said(answers[len(server.requests) % 2])
    with open_at(folder) as memory:
        report = memory.dream(model=OpenAICompatibleModel(server.url, "small", timeout_s=20.0))
        assert len(server.requests) > 5 and "model" not in report.rungs and report.still_blank == 0
