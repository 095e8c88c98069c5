"""What people decide about a reconstruction holds: against later dreams, and when the index is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from carma.errors import InvalidInput
from carma.memory.memory import Memory
from carma.models import Act, Fragment
from carma.testing.embedder import HashEmbedder
from tests.conformance.test_healing import guessable, lose_words_and_most_segments


def opened(folder: Path) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder())


@pytest.fixture
def dreamt(tmp_path: Path) -> Path:
    """A memory of which a dream had to rebuild more than half."""
    folder = tmp_path / "memory"
    with opened(folder) as memory:
        memory.add_many((guessable(number) for number in range(40)), session="talk", metadata={"n": 1})
    lose_words_and_most_segments(folder)
    with opened(folder) as memory:
        assert memory.dream(in_process=True).reconstructed
    return folder


def rebuilt(memory: Memory) -> list[Fragment]:
    return [each for each in memory.blanks(reconstructed=True) if each.state == "reconstructed"]


def test_nothing_guesses_at_what_was_rejected(dreamt: Path) -> None:
    """The next dream leaves the blank and says why, also after the index was lost; the others keep theirs."""
    with opened(dreamt) as memory:
        first, *others = rebuilt(memory)
        memory.reject(first.id)
    shutil.rmtree(dreamt / "index")
    with opened(dreamt) as memory:
        report = memory.dream(in_process=True)
        assert report.reasons["its reconstruction was rejected"] == 1 and report.still_blank == 1
        found = memory.get(first.id)
        assert found.state == "blank" and found.blank is not None
        assert found.blank.reason == "its reconstruction was rejected"
        assert {each.id for each in rebuilt(memory)} == {each.id for each in others}
        assert memory.search(first.text[:40], mode="words")[0].id != first.id


def test_a_rejected_fragment_can_be_told_again(dreamt: Path) -> None:
    """A new text is a new version; nothing of the rejection is left."""
    with opened(dreamt) as memory:
        first = rebuilt(memory)[0]
        memory.reject(first.id)
        told = memory.update(first.id, "told again")
        assert (told.state, told.text, told.version) == ("intact", "told again", first.version + 1)
        assert first.id not in {each.id for each in memory.blanks()}


def test_what_was_accepted_stays(dreamt: Path) -> None:
    """It is proven like every text, also after the index was lost; its history says what came before."""
    with opened(dreamt) as memory:
        first = rebuilt(memory)[0]
        accepted = memory.accept(first.id)
        assert (accepted.metadata, accepted.session) == (first.metadata, first.session)
    shutil.rmtree(dreamt / "index")
    with opened(dreamt) as memory:
        assert memory.get(first.id) == accepted
        assert [each.state for each in memory.history(first.id)][-1] == "intact"


def test_a_decision_is_noted_for_whom_it_was_made(dreamt: Path) -> None:
    """An act with an Idempotency-Key is found again, and names the fragment that was judged."""
    with opened(dreamt) as memory:
        one, other = rebuilt(memory)[:2]
        for number, (judge, fragment) in enumerate(((memory.accept, one), (memory.reject, other))):
            act = Act(account="ada", operation="update", idempotency_key=f"k{number}", body_digest=bytes(32))
            with memory.acting(act):
                made = judge(fragment.id)
            answered = memory.answered(f"k{number}")
            assert answered is not None
            assert list(zip(answered.ids, answered.versions, strict=True)) == [(made.id, made.version)]


def test_there_must_be_something_to_judge(tmp_path: Path) -> None:
    """Neither an intact fragment nor a blank has a reconstruction."""
    with opened(tmp_path / "m") as memory:
        made = memory.add("tea")
        for judge in (memory.accept, memory.reject):
            with pytest.raises(InvalidInput, match="no reconstruction"):
                judge(made.id)
