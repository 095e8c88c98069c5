"""A runner for the command line, and a memory to run it on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from carma.cli.app import app

FOLDER_ID = "0" * 31 + "1"
FIRST_ID = "0" * 31 + "2"
SECOND_ID = "0" * 31 + "3"
FIRST = "The quick brown fox jumps."
SECOND = "A snail crosses the road."
UNKNOWN_ID = "f" * 32

_COLOURS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TERMINAL_WIDTH")


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Carma = Callable[..., Ran]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what turns colours on."""
    kept = {name: value for name, value in os.environ.items() if name not in _COLOURS}
    return {**kept, "COLUMNS": "80", **more}


def spawn(arguments: Sequence[str], **more: str) -> Ran:
    """Run the program as its users do: in a process of its own, with pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "carma", *arguments],
        check=False,
        capture_output=True,
        env=environment(**more),
        timeout=60,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a memory that is not there yet."""
    return tmp_path / "memory"


@pytest.fixture
def carma(store: Path, monkeypatch: pytest.MonkeyPatch) -> Carma:
    """Run a command on the memory in `store`; `stdin` is what is piped into it."""
    monkeypatch.setenv("CARMA_STORE", str(store))
    monkeypatch.delenv("CARMA_DEBUG", raising=False)
    for name in _COLOURS:
        monkeypatch.delenv(name, raising=False)
    runner = CliRunner()

    def run(*arguments: str, stdin: str | bytes | None = None) -> Ran:
        result = runner.invoke(app, list(arguments), input=stdin)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with three fragments: a folder and two notes below it. Tests work on copies."""
    folder = tmp_path_factory.mktemp("template") / "memory"
    items = (
        {"text": "Animals", "id": FOLDER_ID, "kind": "folder"},
        {"text": FIRST, "id": FIRST_ID, "parent": FOLDER_ID, "user": "ada", "metadata": {"legs": 4}},
        {"text": SECOND, "id": SECOND_ID, "parent": FOLDER_ID, "user": "bob", "metadata": {"legs": 0}},
    )
    lines = "\n".join(map(json.dumps, items))
    result = CliRunner().invoke(app, ["add", "--many", "-", "--store", str(folder)], input=lines)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def filled(carma: Carma, template: Path, store: Path) -> Carma:
    """As `carma`, on a copy of the template."""
    shutil.copytree(template, store)
    return carma
