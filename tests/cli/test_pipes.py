"""The program as a process of its own: between pipes, in odd locales, and cut off by its reader."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import FIRST_ID, FOLDER_ID, SECOND_ID, Carma, environment, spawn


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "fox", "--mode", "words", "--explain"), ("get", FIRST_ID), ("list",), ("tree",),
        ("history", FIRST_ID), ("stats",), ("doctor",), ("get", "nonsense"), ("no-such-verb",),
        ("search", "--help"),
    ],
)  # fmt: skip
def test_a_pipe_holds_no_escape_sequence(filled: Carma, arguments: tuple[str, ...]) -> None:
    """Plain text, also on standard error."""
    ran = filled(*arguments)
    assert "\x1b" not in ran.out + ran.err


def test_a_pipe_holds_no_escape_sequence_even_where_colours_are_forced(filled: Carma, store: Path) -> None:
    """In a process of its own, as CI systems run it."""
    ran = spawn(("list", "--store", str(store)), FORCE_COLOR="1", TERM="xterm-256color")
    assert ran.code == 0
    assert "\x1b" not in ran.out + ran.err
    assert ran.out.count("\n") == 3


def test_text_goes_in_and_comes_out_unchanged(carma: Carma) -> None:
    """Through standard input and output, line ends and all."""
    text = "first line\n\n  second\tline \u00e9\u6f22 \n"
    id = carma("add", stdin=text + "\n").out.strip()
    assert carma("get", id).out == text + "\n"
    assert carma("update", id, "-", stdin="other").code == 0
    assert carma("get", id).out == "other\n"
    assert carma("get", id, "--version", "1").out == text + "\n"


def test_what_was_added_is_found_by_words_at_once(carma: Carma) -> None:
    """The next process finds it, without a flush."""
    id = carma("add", "Zanzibar exports cloves.").out.strip()
    found = carma("search", "cloves", "--mode", "words").out.split("\t")
    assert found[1] == id
    assert found[-1] == "Zanzibar exports cloves.\n"


def test_adding_loads_no_model(store: Path) -> None:
    """`carma add` stores; embedding is left to `carma flush` or the next search."""
    code = (
        "import sys\nfrom carma.cli.app import app\n"
        f"try:\n app(['add', 'text', '--store', {str(store)!r}])\n"
        "except SystemExit as stop:\n code = stop.code\n"
        "print(code, [m for m in ('onnxruntime',) if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, env=environment(), timeout=60
    )
    assert done.stdout.decode().splitlines()[-1] == "0 []", done.stderr


def test_ids_can_be_piped_on(filled: Carma) -> None:
    """The first field of `list` is what `get` takes."""
    ids = [line.split("\t")[0] for line in filled("list").out.splitlines()]
    assert ids == [FOLDER_ID, FIRST_ID, SECOND_ID]
    assert filled("get", *ids).out.splitlines()[0] == "Animals"


def test_a_reader_that_leaves_ends_it_quietly(filled: Carma, store: Path) -> None:
    """`carma list | head -1`: no message, and the exit code shells give for it."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "carma", "list", "--store", str(store)],
        stdout=write, stderr=subprocess.PIPE, check=False, env=environment(), timeout=60,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_any_encoding_will_do(carma: Carma, store: Path) -> None:
    """What the stream cannot hold is replaced, in JSON escaped; nothing fails."""
    text = "na\u00efve \u6f22\u5b57 \U0001f98a"
    assert carma("add", text, "--id", FIRST_ID).code == 0
    options = ("--store", str(store))
    plain = spawn(("get", FIRST_ID, *options), PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert (plain.code, plain.out) == (0, "na\ufffdve ?? ?\n")
    as_json = spawn(("get", FIRST_ID, "--json", *options), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert as_json.json()["items"][0]["text"] == text


def test_a_terminal_shows_a_table(filled: Carma, store: Path) -> None:
    """With a heading, and ids whole."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "carma", "list", "--store", str(store)]
    subprocess.run(command, stdout=theirs, check=True, env=environment(TERM="xterm"), timeout=60)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    os.close(theirs)
    assert "fragment" in shown.splitlines()[1]
    assert FIRST_ID in shown
    assert "\x1b[" in shown
