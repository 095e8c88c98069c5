"""Help, reference and completion are what the program says of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from carma.cli.app import app

from .conftest import Carma, environment, spawn

PROGRAM: Any = typer.main.get_command(app)
TOOL = Path(__file__).resolve().parents[2] / "tools" / "cli_reference.py"
ASKED_FOR = (
    "add delete doctor export flush get history import ingest list reembed search snapshot stats tree update"
)


def test_every_verb_is_there() -> None:
    """The verbs the project promises."""
    assert set(ASKED_FOR.split()) <= set(PROGRAM.commands)


@pytest.mark.parametrize("verb", ["", *PROGRAM.commands])
def test_help_fits_80_columns(carma: Carma, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Every verb's help, as it is printed into a pipe; and nothing of it is cut."""
    monkeypatch.setenv("COLUMNS", "80")
    ran = carma(*verb.split(), "--help")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "..." not in ran.out.partition("\n")[2]


def test_the_reference_is_up_to_date() -> None:
    """docs/cli.md is what tools/cli_reference.py writes; run it after changing the program."""
    done = subprocess.run([sys.executable, str(TOOL), "--check"], check=False, env=environment(), timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"), [("carma se", "search"), ("carma search --li", "--limit"), ("carma ", "ingest")]
)
def test_the_shell_completes(words: str, expected: str) -> None:
    """As bash asks."""
    ran = spawn((), _CARMA_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    assert expected in ran.out.split()


@pytest.mark.parametrize(("words", "alike"), [(("lst",), "'list'"), (("keys", "lst"), "'list'")])
def test_a_slip_is_told_what_is_alike(words: tuple[str, ...], alike: str) -> None:
    """The program lays out only the verb that was asked for, and all of them where that is none."""
    ran = spawn(words)
    assert ran.code == 2
    assert f"Did you mean {alike}?" in ran.err


def test_completion_can_be_installed() -> None:
    """The script that a shell loads."""
    ran = spawn(("--show-completion", "bash"), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert ran.code == 0
    assert "_CARMA_COMPLETE" in ran.out


def test_the_version_is_told(carma: Carma) -> None:
    """`carma --version`."""
    assert carma("--version").out.startswith("carma ")


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """Neither NumPy nor FAISS nor a model, nor even the registry: so it takes less than half a second."""
    code = (
        "import sys\nfrom carma.cli.app import app\n"
        f"try:\n app({arguments!r})\nexcept SystemExit:\n pass\n"
        "heavy = ('numpy', 'faiss', 'onnxruntime', 'tokenizers', 'apsw', 'rich')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, env=environment(), timeout=60
    )
    assert done.stderr.decode().strip() == "[]"
