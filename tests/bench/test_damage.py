"""The parts of `python -m bench.damage` that need no peer: which bits, what they did, how it is said."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.damage import trials
from bench.damage.campaign import record_at
from bench.damage.flips import Flip, choose, flip, kind_of
from bench.damage.table import markdown
from bench.damage.trials import OUT_OF_MEMORY, Ended
from bench.damage.verdicts import judge
from hypothesis import given
from hypothesis import strategies as st

from carma.memory.memory import Memory

A, B, C = "a" * 32, "b" * 32, "c" * 32
TRUTH = {A: "first", B: "second", C: "third"}
INTACT = [[key, text, "intact"] for key, text in TRUTH.items()]
FOUND = [[[INTACT[0], INTACT[1]], False]]


def seen(**changes: Any) -> Ended:
    """How a trial ended in which all was well but for `changes`."""
    answer = {"errors": [], "read": INTACT, "failed": [], "listed": INTACT, "found": FOUND, "complaints": []}
    return Ended(answer | changes)


def error(message: str) -> dict[str, str]:
    return {"at": "list", "type": "ValueError", "message": message}


@given(st.binary(min_size=1, max_size=64), st.data())
def test_a_flip_changes_one_bit_and_a_second_one_undoes_it(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    """Exactly one bit differs afterwards."""
    folder = tmp_path_factory.mktemp("flip")
    one = Flip("f", "f", data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7)))
    (folder / "f").write_bytes(content)
    flip(folder, one)
    changed = int.from_bytes((folder / "f").read_bytes(), "little") ^ int.from_bytes(content, "little")
    assert changed == 1 << (8 * one.offset + one.bit)
    flip(folder, one)
    assert (folder / "f").read_bytes() == content


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.integers(0, 20)), st.integers(1, 60), st.integers(0, 99))
def test_flips_are_different_bits_inside_their_files(files: dict[str, int], each: int, seed: int) -> None:
    """Each file that is not empty gets as many as asked for, or all of its bits."""
    flips = choose("another", files, each, seed)
    assert len(set(flips)) == len(flips) == sum(min(each, 8 * size) for size in files.values())
    assert all(0 <= one.offset < files[one.path] and 0 <= one.bit < 8 for one in flips)


def test_the_draw_is_seeded_and_one_kind_does_not_move_another() -> None:
    """The same seed gives the same flips, with or without another file beside; another seed gives others."""
    alone = choose("carma", {"segments/1.seg": 10_000}, 40, seed=1)
    beside = choose("carma", {"memory.json": 300, "segments/1.seg": 10_000, "turn": 4}, 40, seed=1)
    assert alone == [one for one in beside if one.kind == "segments"]
    assert alone != choose("carma", {"segments/1.seg": 10_000}, 40, seed=2)


def test_many_files_of_one_kind_share_its_flips_by_length() -> None:
    """Forty flips over twenty segments are forty, and the long file gets most."""
    files = {f"segments/c{number:06}.seg": 10 for number in range(19)} | {"segments/000001.seg": 100_000}
    flips = choose("carma", files, 40, seed=3)
    assert len(flips) == 40 and sum(one.path == "segments/000001.seg" for one in flips) > 35


@pytest.mark.parametrize(
    ("store", "path", "kind"),
    [
        ("carma", "segments/000001.seg", "segments"),
        ("carma", "index/registry-000002.sqlite", "registry"),
        ("carma", "index/turn", None),
        ("carma", "something/new", "something/new"),
        ("lancedb", "memory.lance/data/0.lance", "data file"),
        ("mem0", "faiss/memory.json", "docstore"),
        ("qdrant", ".lock", None),
    ],
)
def test_a_file_has_a_kind_unless_it_holds_no_data(store: str, path: str, kind: str | None) -> None:
    """An unknown file counts under its own path; a lock does not count."""
    assert kind_of(store, path) == kind


def test_the_kinds_fit_the_files_of_a_real_memory(tmp_path: Path) -> None:
    """Every file that CARMA leaves behind falls under a named kind, or is a lock."""
    memory_of(tmp_path)
    paths = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert paths and not [path for path in paths if kind_of("carma", path) == path != "memory.json"]


def test_the_record_that_holds_a_byte_is_named(tmp_path: Path) -> None:
    """Any byte of a text leads to its fragment's id; the first record of a segment belongs to none."""
    ids = memory_of(tmp_path)
    found = set()
    for segment in (tmp_path / "segments").iterdir():
        data = segment.read_bytes()
        assert record_at(data, 0) is None or record_at(data, 0) in ids.values()
        for text, identity in ids.items():
            place = data.find(text.encode())
            if place >= 0:
                found.add(text)
                assert {record_at(data, place), record_at(data, place + len(text) - 1)} == {identity}
    assert found == ids.keys()


def memory_of(folder: Path) -> dict[str, str]:
    """A small closed memory; the id of each text in it."""
    texts = [f"paragraph number {number} of a small memory" for number in range(5)]
    with Memory.open(folder, embedder="hash") as memory:
        return {text: memory.add(text).id for text in texts}


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (seen(), "correct"),
        (seen(read=[[A, "first", "repaired"], *INTACT[1:]]), "repaired on read"),
        (seen(read=[[A, "", "blank"], *INTACT[1:]]), "flagged blank"),
        (seen(read=[[A, "fist", "reconstructed"], *INTACT[1:]]), "reconstructed, flagged"),
        (seen(listed=[[A, "fist", "repaired"], *INTACT[1:]]), "silently wrong"),
        (seen(read=[[A, "fist", "intact"], *INTACT[1:]]), "silently wrong"),
        (seen(read=INTACT[1:]), "silently wrong"),
        (seen(listed=INTACT[1:]), "silently wrong"),
        (seen(listed=[*INTACT, INTACT[0]]), "silently wrong"),
        (seen(listed=[*INTACT, ["d" * 32, "new", "intact"]]), "silently wrong"),
        (seen(found=[[[[A, "fist", "intact"]], False]]), "silently wrong"),
        (seen(found=[None], errors=[error("checksum")]), "exception"),
        (seen(listed=None, errors=[error("checksum")]), "exception"),
        (seen(read=INTACT[1:], failed=[A], errors=[error("checksum")]), "exception"),
        (seen(listed=None, errors=[error(f"record {A} is damaged")]), "exception naming the record"),
        (seen(read=[[A, "fist", "intact"], *INTACT[1:]], errors=[error("checksum")]), "silently wrong"),
        (seen(read=[], listed=[], found=[[[], False]]), "lost everything"),
        (seen(read=[], listed=None, found=[], failed=list(TRUTH), errors=[error("header")]), "exception"),
        (Ended(None, hung=True), "hang"),
        (Ended(None, signal=signal.SIGSEGV), "process crash"),
        (Ended(None, exit_code=OUT_OF_MEMORY), "process crash"),
    ],
)
def test_the_worst_that_was_seen_is_the_verdict(ended: Ended, verdict: str) -> None:
    """What hands out a wrong text is silently wrong, even if another call raises."""
    assert judge(TRUTH, ended, FOUND).verdict == verdict


def test_an_error_that_lists_every_record_names_none() -> None:
    """Six ids in the messages do not say which record is damaged; one does, with dashes or without."""
    truth = {f"{number:032x}": "text" for number in range(16, 22)}
    rows = [[key, "text", "intact"] for key in truth]
    dashed = "00000000-0000-0000-0000-000000000010"
    for message, named in ((" ".join(truth), ()), (f"{dashed} is bad", (dashed.replace("-", ""),))):
        judged = judge(truth, seen(read=rows, listed=None, found=[], errors=[error(message)]))
        assert judged.named == named


def test_a_search_that_answers_otherwise_is_counted_unless_the_store_says_so() -> None:
    """Right texts in another order are no wrong texts; unflagged they are counted apart."""
    other = [INTACT[1], INTACT[0]]
    assert judge(TRUTH, seen(found=[[other, False]]), FOUND).searches_changed
    assert judge(TRUTH, seen(found=[[other, False]]), FOUND).verdict == "correct"
    assert not judge(TRUTH, seen(found=[[other, True]]), FOUND).searches_changed
    repaired = [[INTACT[0], [B, "second", "repaired"]], False]
    assert not judge(TRUTH, seen(found=[repaired]), FOUND).searches_changed


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("import os; os.kill(os.getpid(), 11)", Ended(None, signal=11)),
        ("import os; os._exit(3)", Ended(None, exit_code=3)),
        ("import time; time.sleep(60)", Ended(None, hung=True)),
        ("import time; held = b'1' * 2**25; time.sleep(60)", Ended(None, exit_code=OUT_OF_MEMORY)),
        ("open('answer.json', 'w').write('[]')", Ended([])),
    ],
)
def test_crash_and_hang_are_seen_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, ended: Ended
) -> None:
    """A signal, an exit code, a time limit and too much memory are told apart; an answer is read back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trials, "MOST_RESIDENT_BYTES", 2**25)
    command = [sys.executable, "-I", "-S", "-c", code]
    child = os.posix_spawn(sys.executable, command, os.environ, setpgroup=0)
    limit_s = 0.5 if ended.hung else 60.0
    found = trials.wait(child, limit_s, tmp_path / "answer.json", tmp_path / "log.txt")
    assert (found.answer, found.signal, found.hung, found.exit_code) == (
        ended.answer, ended.signal, ended.hung, ended.exit_code,
    )  # fmt: skip


def test_the_table_counts_what_the_trials_say() -> None:
    """One row per kind; files that are not read are marked and left out of the summary."""

    def trial(kind: str, verdict: str, **more: Any) -> dict[str, Any]:
        what = {"verdict": verdict, "readable": more.pop("readable", 0), "searches_changed": False}
        return {"kind": kind, "named": "no", "seen": what} | more

    about: dict[str, Any] = {"version": "1", "kinds": {}, "when": "today", "command": "x", "cpu_s": 1.0}
    about |= {"records": 500, "seed": 1, "searches": 10}
    right = {"verdict": "correct"}
    stores = {
        "lancedb": about
        | {
            "heals": False,
            "not_read": ["log"],
            "trials": [
                trial("data", "silently wrong"),
                trial("data", "exception", readable=7),
                trial("log", "correct"),
            ],
        },
        "carma": about
        | {
            "heals": True,
            "not_read": [],
            "trials": [
                trial("segments", "flagged blank", named="record", healed=right, file="same"),
                trial("segments", "correct", healed=right, file="replaced"),
            ],
        },
    }
    page = markdown({"stores": json.loads(json.dumps(stores))})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    assert ["CARMA", "segments", "2", "1", "1", "", "", "", ""] in rows
    assert ["LanceDB", "data", "2", "", "", "1", "1", "7", ""] in rows
    assert ["LanceDB", "log (not read)", "1", "1", "", "", "", "", ""] in rows
    assert ["CARMA", "2", "0", "0", "0", "1", "1", "record 1", "2", "same 1, replaced 1"] in rows
    assert ["LanceDB", "2", "1", "0", "1", "0", "0", "never", "no such verb", "no such verb"] in rows
