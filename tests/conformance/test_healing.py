"""Looking for damage, dreaming, and what is told of it: the same promises on every surface."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from carma.errors import InvalidInput
from carma.reports import DreamReport, ScanReport

from .conftest import Make
from .kinds import Spoken


def text(number: int) -> str:
    """No two alike, and too strange to be guessed or kept short."""
    return f"Fragment {number} {Random(number).randbytes(150).hex()}"


def lose_beyond_repair(folder: Path) -> None:
    """Every segment at rest and all parity: the index alone knows what there was."""
    for path in [*folder.glob("segments/c*"), *folder.glob("parity/*")]:
        path.unlink()


def lose_one_segment(folder: Path) -> None:
    """Parity gives its records back."""
    min(folder.glob("segments/c*")).unlink()


def guessable(number: int) -> str:
    """Sentences that no sketch holds whole and that can be told again in part."""
    rng = Random(number)
    words = "river bridge winter music garden letter engine window silver morning doctor harbour".split()  # noqa: SIM905
    return " ".join(" ".join(rng.choices(words, k=8)).capitalize() + "." for _ in range(9))


def lose_words_and_most_segments(folder: Path) -> None:
    """The log, more segments than there is parity for, and the index; sketches stay."""
    gone = sorted(folder.glob("segments/c*"))[:12]
    for path in [*gone, *folder.glob("segments/0*"), *folder.glob("mirror/*")]:
        path.unlink()
    shutil.rmtree(folder / "index")


def test_a_healthy_memory_says_so(memory: Spoken) -> None:
    """No findings and no blanks, by names alone and by every byte."""
    memory.add_many(f"tea {number}" for number in range(5))
    for deep in (False, True):
        report = memory.scan(deep=deep)
        assert isinstance(report, ScanReport) and report.healthy and report.deep is deep
        assert report.records > 0
    assert memory.blanks() == []


def test_what_parity_has_comes_back_bit_for_bit(fresh: Spoken) -> None:
    """A lost segment costs no reader anything; a dream writes it anew, tells how far it is, and is logged,
    with its steps where they are asked for.
    """
    made = fresh.add_many(text(number) for number in range(30))
    assert fresh.dreams() == []
    fresh.damage(lose_one_segment)
    assert {fresh.get(each.id).text for each in made} == {each.text for each in made}
    told: list[tuple[int, int, str]] = []
    report = fresh.dream(budget_s=30.0, progress=lambda *what: told.append(what))
    assert isinstance(report, DreamReport) and report.status == "completed"
    assert report.files_repaired > 0 and report.still_blank == 0 and told
    assert fresh.scan(deep=True).damaged == 0
    assert all(fresh.get(each.id).state == "intact" for each in made)
    (logged,) = fresh.dreams()
    assert (logged.cycle, logged.files_repaired, logged.steps) == (report.cycle, report.files_repaired, ())
    steps = fresh.dreams(1, steps=True)[0].steps
    assert steps and {step.cycle for step in steps} == {report.cycle}
    assert fresh.show_dream(report.cycle).steps == steps


def test_what_is_lost_is_a_typed_blank(fresh: Spoken) -> None:
    """Readers get its reason; lists, searches and trees go on; `blanks` names all of them."""
    top = fresh.add("top")
    made = fresh.add_many((text(number) for number in range(24)), parent=top.id, metadata={"n": 1})
    fresh.damage(lose_beyond_repair)
    for each in made[:3]:
        found = fresh.get(each.id)
        assert (found.state, found.text, found.parent) == ("blank", "", top.id)
        assert found.blank is not None and found.blank.reason and found.digest == each.digest
    assert len(fresh.list(parent=top.id)) == 24 and len(fresh.tree(top.id).children) == 24
    searched = fresh.search("Fragment 3", mode="words")
    assert searched.degraded and searched.reasons and searched[0].state == "blank"
    report = fresh.scan(deep=True)
    assert report.lost >= 25 and not report.healthy and report.findings
    blanks = fresh.blanks()
    assert {each.id for each in blanks} == {top.id, *(each.id for each in made)}
    assert len(fresh.blanks(limit=5)) == 5 and all(each.blank.priority >= 0 for each in blanks)
    assert {spot.state for spot in fresh.topology(threads=False).spots} == {"blank"}


@pytest.mark.parametrize("fresh", ["Memory", "Client"], indirect=True)  # Awaited, they are the same steps.
def test_a_reconstruction_is_accepted_or_rejected(fresh: Spoken) -> None:
    """Accepted, it is the next version, intact from then on; rejected, the fragment is a blank again."""
    fresh.add_many((guessable(number) for number in range(40)), session="talk")
    fresh.damage(lose_words_and_most_segments)
    assert fresh.dream().reconstructed > 1
    one, other = fresh.blanks(reconstructed=True)[:2]
    assert one.state == other.state == "reconstructed" and one.repair.confidence is not None
    accepted = fresh.accept(one.id)
    assert (accepted.text, accepted.state, accepted.version) == (one.text, "intact", one.version + 1)
    assert fresh.get(one.id) == accepted
    rejected = fresh.reject(other.id)
    assert (rejected.state, rejected.text) == ("blank", "") and "rejected" in rejected.blank.reason
    assert other.id in {each.id for each in fresh.blanks()}
    assert one.id not in {each.id for each in fresh.blanks(reconstructed=True)}
    for judge in (fresh.accept, fresh.reject):
        for id in (one.id, other.id):
            with pytest.raises(InvalidInput):
                judge(id)


def test_a_dream_can_be_tried_dry(make: Make) -> None:
    """It says what it would do, and changes nothing; here over a server."""
    memory = make("Client")
    memory.add_many(text(number) for number in range(24))
    memory.damage(lose_one_segment)
    report = memory.dream(dry_run=True)
    assert report.dry_run and report.status == "completed" and memory.dreams() == []
    assert not memory.scan().healthy


def test_an_order_that_cannot_be_is_refused(memory: Spoken) -> None:
    """A budget below nothing."""
    with pytest.raises(InvalidInput):
        memory.dream(budget_s=-1.0)
