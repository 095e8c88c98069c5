"""What the documentation shows is what happens: its Python runs, and its `carma` commands succeed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.healing.model_server import serving
from tests.serve.running import running

from .copies import Copied
from .pages import PAGES, ROOT, Block, blocks

LIMIT_S = 120
SERVED = {"clients.md"}
"""Pages whose examples ask a server: one runs for them, found by CARMA_URL and the key in the home."""

ASKING_A_MODEL = {"healing.md"}
"""Pages whose examples ask a language model: one runs for them, found by MODEL_URL."""


def _with(language: str) -> list[ParameterSet]:
    """The pages that hold blocks of a language which are to run, with these blocks."""
    found = ((page, [each for each in blocks(page) if each.language == language]) for page in PAGES)
    return [
        pytest.param(page, [each for each in several if each.runs], id=page.relative_to(ROOT).as_posix())
        for page, several in found
        if several
    ]


def _environment(home: Path) -> dict[str, str]:
    """The environment of a user with an empty home, whose memory is in there too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARMA_", "XDG_"))}
    return kept | {"HOME": str(home), "CARMA_STORE": str(home / "memory"), "PYTHONUTF8": "1"}


@contextmanager
def _server(page: Path, home: Path) -> Iterator[dict[str, str]]:
    """What the environment of a page says beside that: where its server is. The key lies in the home."""
    if page.name in ASKING_A_MODEL:
        with serving() as model:
            yield {"MODEL_URL": model.url}
        return
    if page.name not in SERVED:
        yield {}
        return
    with running(home / "data") as server:
        account, _ = server.join("ada")
        file = home / ".config" / "carma" / "key"
        file.parent.mkdir(parents=True)
        file.touch(mode=0o600)
        file.write_text(server.key(account, static=False))
        yield {"CARMA_URL": server.url}


def _run(arguments: list[str], home: Path, folder: Path, more: dict[str, str]) -> str:
    """Run a program in `folder`; what it wrote if it failed, else nothing."""
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=_environment(home) | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        check=False,
    )
    return f"exit code {done.returncode}\n{done.stdout.decode()}" if done.returncode else ""


@pytest.mark.parametrize(("page", "found"), _with("python"))
def test_every_python_example_runs(page: Path, found: list[Block], tmp_path: Path) -> None:
    """The ```python blocks of a page run in order: one program, an empty folder, warnings as errors."""
    lines: list[str] = []
    for block in found:
        # Line numbers of the program are those of the page, so a traceback points to it.
        lines += [""] * (block.line - 1 - len(lines)) + block.text.split("\n")
    folder, program = tmp_path / "folder", tmp_path / page.name
    folder.mkdir()
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-W", "error", "-W", "ignore:builtin type", str(program)]
    with _server(page, tmp_path) as more:
        failed = _run(command, tmp_path, folder, more)
    assert not failed, failed


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    with Copied() as copied:
        yield copied


@pytest.mark.parametrize(("page", "found"), _with("console"))
def test_every_carma_command_succeeds(page: Path, found: list[Block], tmp_path: Path, copied: Copied) -> None:
    """The `$ carma …` lines of a page's ```console blocks exit with 0, in a folder with some of our docs."""
    folder = tmp_path / "folder"
    shutil.copytree(ROOT / "docs" / "decisions", folder / "docs" / "decisions")
    shutil.copy(ROOT / "docs" / "ARCHITECTURE.md", folder / "docs")
    commands = [command for block in found for command in _commands(block.text)]
    with _server(page, tmp_path) as more:
        for command in commands:
            out = tmp_path / "out"
            code = copied.run(command[1:], folder, _environment(tmp_path) | more, out, LIMIT_S)
            assert not code, f"{page.name}: $ {shlex.join(command)}\nexit code {code}\n{out.read_text()}"


def _commands(text: str) -> list[list[str]]:
    """The words of each command that begins with `$ carma`; a backslash joins it with the line below."""
    lines = text.replace("\\\n", " ").split("\n")
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ carma ")]


def test_a_block_is_left_out_only_on_purpose() -> None:
    """Python is fenced as `python` or `python no-run`, commands as `console` or `console no-run`."""
    odd = [
        f"{page.name}:{block.line} {block.info!r}"
        for page in PAGES
        for block in blocks(page)
        if block.language in ("py", "python3", "pycon", "bash", "sh", "shell")
        or (block.language in ("python", "console") and block.info.split(" ")[1:] not in ([], ["no-run"]))
    ]
    assert not odd
