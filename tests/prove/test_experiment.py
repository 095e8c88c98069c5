"""The experiment on real input of our own: folders and conversations go in, a report comes out."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from carma.cli.prove import prove as command
from carma.errors import InvalidInput
from carma.memory.memory import Memory
from carma.prove.corpus import build
from carma.prove.experiment import Plan, conduct, settings_for
from carma.prove.figures import figures
from carma.prove.page import summary_lines
from carma.prove.proof import passed, prove
from carma.prove.queries import make_queries
from carma.testing import HashEmbedder

PEOPLE = ("Ada", "Bob")
THINGS = (
    "a lighthouse",
    "two old maps",
    "the ferry to Lisbon",
    "a blue bicycle",
    "seven apple trees",
    "her violin",
)
PLACES = ("Porto", "the harbour", "Vienna", "the market hall", "Bergen")


def turn(session: int, number: int) -> dict[str, str]:
    thing, place = THINGS[(session + number) % len(THINGS)], PLACES[(session * 3 + number) % len(PLACES)]
    return {
        "speaker": PEOPLE[number % 2],
        "dia_id": f"D{session}:{number}",
        "text": f"On {number} May I saw {thing} in {place}, and {session * 100 + number} people came along.",
    }


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty turns in four sessions, with questions, in the layout of LoCoMo."""
    sessions = {f"session_{s}": [turn(s, n) for n in range(1, 11)] for s in range(1, 5)}
    questions = [
        {
            "question": f"Who saw something with {s * 100 + n} people?",
            "evidence": [f"D{s}:{n}"],
            "category": 4,
        }
        for s in range(1, 5)
        for n in range(1, 11)
    ]
    questions.append({"question": "Who was never there?", "evidence": ["D9:9"], "category": 5})
    questions.append({"question": "Who names nothing?", "evidence": [], "category": 5})
    path = tmp_path_factory.mktemp("chats") / "talk.json"
    path.write_text(json.dumps({"speaker_a": "Ada", "speaker_b": "Bob", **sessions, "qa": questions}))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some documents with headings and paragraphs."""
    docs = tmp_path_factory.mktemp("input") / "garden"
    docs.mkdir()
    for page in range(4):
        parts = [
            f"## {THINGS[part].title()} of page {page}\n\nIn {PLACES[part % 5]} there were "
            f"{page * 10 + part} gardens with {THINGS[(page + part) % 6]}. "
            f"Nobody counted them twice, not even in {1900 + page}."
            for part in range(6)
        ]
        (docs / f"page{page}.md").write_text(f"# Page {page}\n\n" + "\n\n".join(parts) + "\n")
    return docs


def report_of(path: Path, **plan: Any) -> dict[str, Any]:
    embedder = HashEmbedder()
    run = conduct(Plan(paths=(path,), queries=plan.pop("queries", 60), **plan), embedder=embedder)
    return figures(run, embedder)


@pytest.fixture(scope="module")
def healed(folder: Path) -> dict[str, Any]:
    """The report of an experiment within the promise."""
    return report_of(folder, damage="mixed", seed=3)


def test_within_the_promise_nothing_fails_and_all_comes_back_exactly(healed: dict[str, Any]) -> None:
    """No query failed, no text was wrong, nothing is blank or only rebuilt; asking went on all the time."""
    assert (healed["failed_queries"], healed["wrong_answers"], healed["examples"]) == (0, 0, [])
    assert healed["lost"] >= round(healed["losable"] * 0.05) > 0
    assert (healed["exact"], healed["reconstructed"], healed["blank"]) == (healed["lost"], 0, 0)
    assert healed["dream"]["errors"] == []
    assert passed(healed)
    assert set(healed["asked"]) == {"before", "damaged", "reopened", "dreaming", "after"}
    assert all(healed["asked"][name] == 60 for name in ("before", "damaged", "reopened", "after"))
    assert healed["asked"]["dreaming"] > 0
    assert healed["files"]["as_before"] == healed["files"]["hit"] > 0
    assert sum(healed["rungs"].values()) == healed["lost"]


@pytest.mark.parametrize("redundancy", ["none", "sketch"])
def test_beyond_it_everything_is_flagged_and_rebuilt(conversation: Path, redundancy: str) -> None:
    """While damaged each lost fragment is a blank, afterwards none is; no text was ever wrong; the figures
    are there.
    """
    report = report_of(conversation, redundancy=redundancy, loss=0.1, queries=100)
    assert (report["failed_queries"], report["wrong_answers"], report["examples"]) == (0, 0, [])
    assert report["losable"] == 40
    assert report["lost"] == 4
    assert report["while_damaged"] == {"recovered": 0, "exact": 0, "reconstructed": 0, "blank": 4}
    assert (report["recovered"], report["blank"]) == (4, 0)
    assert report["judge"]["questions"] > 0
    assert report["judge"]["evidence_recall_at_10"]["before"] > 0.5
    if report["reconstructed"]:
        assert 0 < report["token_f1"] <= 1
        assert report["confidence_calibration"]["fragments"] == report["reconstructed"]
    scores = [each["score"] for each in report["curves"]["cycles"] if each["score"] is not None]
    assert scores == sorted(scores)
    assert all(each["original"].startswith(("Ada", "Bob")) for each in report["samples"])


def test_the_same_seed_gives_the_same_report(healed: dict[str, Any], folder: Path) -> None:
    """But for times, and ids, which hold the time."""

    def steady(report: dict[str, Any]) -> dict[str, Any]:
        phases = {name: each for name, each in report["phases"].items() if name != "dreaming"}
        lost = sorted(each["original"] for each in report["samples"])
        kept = ("fragments", "lost", "exact", "answer_overlap_at_10", "while_damaged", "hits")
        return {"lost_texts": lost, "phases": phases, **{name: report[name] for name in kept}}

    assert steady(report_of(folder, damage="mixed", seed=3)) == steady(healed)


def test_queries_are_made_from_the_content(conversation: Path, tmp_path: Path) -> None:
    """All four verbs; words that stand in the fragment a search was made from; at most half are given
    questions.
    """
    plan = Plan(paths=(conversation,))
    embedder = HashEmbedder()
    corpus = build([conversation], tmp_path, settings_for(plan), embedder, Random(0), outdated=False)
    with Memory.open(corpus.folder, embedder=embedder) as memory:
        queries = make_queries(corpus, memory, 100, Random(1))
        assert queries == make_queries(corpus, memory, 100, Random(1))
        few = make_queries(corpus, memory, 10, Random(1))
    assert len(queries) == 100
    assert {query.verb for query in queries} == {"search", "get", "list", "tree"}
    assert {query.mode for query in queries if query.about} == {"hybrid", "vector", "words"}
    for query in queries:
        if query.about is not None:
            text = corpus.originals[query.about].text.lower()
            assert all(word in text for word in query.text.lower().split())
    assert sum(bool(query.evidence) for query in queries) == 41
    assert sum(bool(query.evidence) for query in few) == 5


def test_questions_know_the_fragments_of_their_evidence(conversation: Path, tmp_path: Path) -> None:
    """Each turn by its own id; a turn that does not exist is kept as one that nothing can find."""
    plan = Plan(paths=(conversation,))
    corpus = build([conversation], tmp_path, settings_for(plan), HashEmbedder(), Random(0), outdated=False)
    assert len(corpus.given) == 41
    for question in corpus.given:
        (turns,) = question.evidence
        if "never" in question.text:
            assert turns == frozenset()
        else:
            (id,) = turns
            number = question.text.split(" with ")[1].split()[0]
            assert f"{number} people" in corpus.originals[id].text


def test_the_memory_stands_alone_and_holds_outdated_texts(folder: Path, tmp_path: Path) -> None:
    """What it was made from is out of reach, and of some fragments there is an older text that differs."""
    corpus = build(
        [folder], tmp_path, settings_for(Plan(paths=(folder,))), HashEmbedder(), Random(0), outdated=True
    )
    assert not any(tmp_path.glob("input-*/*"))
    assert folder.is_dir()
    changed = [each for each in corpus.originals.values() if each.version == 3]
    assert 0 < len(changed) == corpus.outdated
    with Memory.open(corpus.folder, embedder=HashEmbedder()) as memory:
        for each in changed:
            first, older, newest = memory.history(each.id)
            assert first.text == newest.text == each.text != older.text


@pytest.mark.parametrize(
    "given",
    [
        {"loss": 0.0}, {"loss": 1.0}, {"loss": -1}, {"loss": float("nan")}, {"damage": "fire"},
        {"queries": 0}, {"redundancy": "some"}, {"cycles": 0}, {"sketch_bytes": -1}, {"paths": ()},
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(folder: Path, given: dict[str, Any]) -> None:
    """InvalidInput, before anything is done."""
    with pytest.raises(InvalidInput):
        conduct(Plan(**{"paths": (folder,), **given}), embedder=HashEmbedder())


def test_input_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A path that is not there, a folder without text, too few fragments to lose some, a report on a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "one.txt").write_text("Only one sentence.")
    for path in (tmp_path / "nothing", tmp_path / "empty", tmp_path / "few"):
        with pytest.raises(InvalidInput):
            conduct(Plan(paths=(path,)), embedder=HashEmbedder())
    with pytest.raises(InvalidInput):
        prove(Plan(paths=(tmp_path / "few",)), tmp_path / "few" / "one.txt", embedder=HashEmbedder())


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it ends, nor when its input cannot be used."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    (tmp_path / "few.txt").write_text("Only one sentence.")
    with pytest.raises(InvalidInput):
        conduct(Plan(paths=(tmp_path / "few.txt",)), embedder=HashEmbedder())
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The command with the packaged embedder."""
    app = typer.Typer()
    app.command()(command)
    out = tmp_path_factory.mktemp("reports") / "here"
    given = [str(folder), "--queries", "30", "--seed", "7", "--out", str(out), "--json"]
    return out, CliRunner().invoke(app, given)


def test_the_command_writes_its_report(ran: tuple[Path, Any]) -> None:
    """Report, topology and JSON lie in the folder; 80 columns sum them up."""
    out, done = ran
    assert done.exit_code == 0, done.output
    there = {path.name for path in out.iterdir()}
    report = json.loads(done.stdout)
    assert {"report.html", "report.json", "topology.html", "topology.json"} <= there
    assert set(report["written"]) == there
    assert list(json.loads((out / "topology.json").read_text())["topologies"]) == [
        "before",
        "damaged",
        "after",
    ]
    assert max(map(len, summary_lines(report))) <= 80


def test_its_json_is_the_report(ran: tuple[Path, Any]) -> None:
    """Every member that is promised; the same as in report.json."""
    out, done = ran
    report = json.loads(done.stdout)
    assert report == json.loads((out / "report.json").read_text())
    promised = (
        "fragments lost queries failed_queries wrong_answers recovered exact reconstructed blank cycles "
        "similarity token_f1 rouge_l entity_recall judge answer_overlap_at_10 latency_ms downtime_ms dream "
        "confidence_calibration rungs samples curves"
    )
    assert set(promised.split()) <= report.keys()
    assert set(report["latency_ms"]) == {"before", "damaged", "dreaming", "after"}
    assert all(set(each) == {"p50", "p99"} for each in report["latency_ms"].values())
    assert set(report["similarity"]) == {"mean", "p10", "min"}
    assert set(report["answer_overlap_at_10"]) == {"damaged", "healed"}
    assert {"planned_s", "actual_s"} <= report["dream"].keys()
    assert len(report["samples"]) == min(report["lost"], 20)
