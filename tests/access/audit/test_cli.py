"""`carma audit …`: what people type, from the first checkpoint to a refused witness."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carma import Memory
from carma.cli.app import app
from carma.models import Act

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program in a folder, with a home and a data directory of its own."""
    for name in [name for name in os.environ if name.startswith(("CARMA_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CARMA_STORE", str(tmp_path / "memory"))
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, list(arguments), input=stdin)
        return done.exit_code, done.stdout, done.stderr

    return typed


def act(count: int = 3) -> list[str]:
    """Change the memory on somebody's behalf; the events."""
    with Memory.open(os.environ["CARMA_STORE"], embedder="hash") as memory:
        for number in range(count):
            with memory.acting(Act(account="alice", operation="fragments.add")):
                memory.add(f"number {number}")
        return [each.event for each in memory.acts()]


def test_what_was_done_is_copied_verified_and_proven(run: Run, tmp_path: Path) -> None:
    """Checkpoint, verify, tail, prove: exit code 0 each, and JSON of the documented shape."""
    events = act()
    code, out, _ = run("audit", "checkpoint", "--store", "memory", "--owner", "alice", "--json")
    value = json.loads(out)
    assert code == 0
    assert set(value) == {"origin", "size", "root", "copied", "signed_by", "note"}
    assert (value["size"], value["copied"]) == (3, 3)
    (tmp_path / "kept").write_text(value["note"])
    code, out, _ = run("audit", "verify", "--checkpoint", "kept", "--json")
    report = json.loads(out)
    assert code == 0 and report["sound"]
    assert set(report) == {"sound", "origin", "size", "root", "witnesses", "held", "findings", "took_s"}
    code, out, _ = run("audit", "tail", "-n", "2", "--owner", "alice", "--json")
    assert [each["leaf"]["event"] for each in json.loads(out)["items"]] == events[-2:]
    assert json.loads(run("audit", "tail", "--owner", "bob", "--json")[1]) == {"items": []}
    code, out, _ = run("audit", "prove", events[1], "--out", "proof", "--json")
    assert code == 0 and set(json.loads(out)) == {"number", "leaf", "proof"}
    shutil.copy(tmp_path / "data/audit/log/vkeys", tmp_path / "keys")
    code, out, _ = run("audit", "verify", "--proof", "proof", "--keys", "keys", "--json")
    assert code == 0 and json.loads(out)["leaf"]["event"] == events[1]


@pytest.mark.parametrize("what", [("checkpoint",), ("prove", "0"), ("witness", "state", "--name", "w")])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, what: tuple[str, ...]
) -> None:
    """The error names it; nothing was copied, and no witness has signed anything."""
    act()
    code, _, error = run("audit", *what, "--out", "missing/file")
    assert code == 2 and "missing/file cannot be written" in error and "bug" not in error
    assert not (tmp_path / "state").exists()


def test_an_edit_is_reported_with_exit_code_12(run: Run, tmp_path: Path) -> None:
    """The finding names the bundle and the entry; plain lines hold the same."""
    act()
    run("audit", "checkpoint", "--store", "memory")
    bundle = tmp_path / "data/audit/log/tile/entries/000.p/3"
    bundle.write_bytes(bundle.read_bytes().replace(b"fragments.add", b"fragments.bad"))
    code, out, _ = run("audit", "verify", "--json")
    findings = json.loads(out)["findings"]
    assert code == 12 and {each["kind"] for each in findings} == {"changed"}
    assert {each["path"] for each in findings} == {"tile/entries/000.p/3"}
    code, out, _ = run("audit", "verify")
    assert code == 12 and "changed\ttile/entries/000.p/3\t0\t1\t" in out


def test_two_witnesses_cosign_and_a_cut_off_log_is_refused(run: Run, tmp_path: Path) -> None:
    """Each keeps its own state; the log that lost its end gets exit code 42 and no cosignature."""
    act()
    run("audit", "checkpoint", "--store", "memory")
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    act(2)
    run("audit", "checkpoint", "--store", "memory")
    for name in ("w1", "w2"):
        code, out, _ = run("audit", "witness", name, "--name", f"example.com/{name}", "--json")
        assert code == 0
        assert set(json.loads(out)) == {"name", "vkeys", "origin", "size", "root", "cosignatures"}
    both = ("--witness", "w1/vkeys", "--witness", "w2/vkeys")
    assert run("audit", "verify", *both, "--quorum", "2")[0] == 0
    assert run("audit", "verify", *both, "--quorum", "3")[0] == 12
    shutil.rmtree(tmp_path / "data")
    shutil.move(tmp_path / "backup", tmp_path / "data")
    code, _, err = run("audit", "witness", "w1")
    assert code == 42 and "cut off" in err
    assert run("audit", "witness", "w1", "--name", "example.com/another")[0] == 2


def test_a_witness_elsewhere_answers_requests(run: Run, tmp_path: Path) -> None:
    """The request is carried over, answered where only the keys are known, and the answer carried back."""
    act()
    run("audit", "checkpoint", "--store", "memory")
    (tmp_path / "request").write_text(run("audit", "checkpoint", "--ask", "0")[1])
    shutil.copy(tmp_path / "data/audit/log/vkeys", tmp_path / "keys")
    assert run("audit", "witness", "w", "--request", "request")[0] == 2
    code, lines, _ = run("audit", "witness", "w", "--request", "request", "--keys", "keys")
    assert code == 0
    (tmp_path / "lines").write_text(lines)
    assert run("audit", "checkpoint", "--attach", "lines")[0] == 0
    assert run("audit", "verify", "--witness", "w/vkeys", "--quorum", "1")[0] == 0
    code, _, err = run("audit", "witness", "w", "--request", "-", stdin="old 9\n\nnonsense")
    assert code in (2, 42) and err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify",), 2), (("prove", "f" * 32), 2), (("tail",), 2), (("witness", "w"), 2),
        (("verify", "--log", "nowhere"), 2), (("checkpoint", "--attach", "nowhere"), 2),
        (("verify", "--keys", "nowhere", "--log", "."), 2), (("verify", "--log", "."), 41),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(run: Run, arguments: tuple[str, ...], code: int) -> None:
    """No log, no file, no keys: an error with a hint, and no trace."""
    found, out, err = run("audit", *arguments)
    assert found == code and err.startswith("carma: ") and "Traceback" not in out + err


def test_an_event_that_was_not_logged_is_said(run: Run) -> None:
    """Exit code 44, and what to do."""
    act()
    run("audit", "checkpoint", "--store", "memory")
    code, _, err = run("audit", "prove", "f" * 32)
    assert code == 44 and "carma audit checkpoint" in err
