"""The package as it is published: it builds, installs into an empty environment, and works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import carma

ROOT = Path(__file__).resolve().parents[2]
MODEL = {"MODEL.json", "model.onnx", "tokenizer.json"}
Run = Callable[..., str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    _checked(command, folder, dict(os.environ))
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of an environment that holds the wheel and what it needs, far from the sources."""
    place = tmp_path_factory.mktemp("elsewhere")
    home = place / "home"
    home.mkdir()
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--only-binary=:all:"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    _checked([sys.executable, *install, *constraints, str(wheel)], place, dict(os.environ))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARMA_", "PYTHON"))}
    environment = kept | {"HOME": str(home), "CARMA_STORE": str(home / "memory")}

    def run(program: str, *arguments: str) -> str:
        return _checked([str(python.parent / program), *arguments], place, environment)

    return run


def _checked(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What the command wrote. Raises AssertionError, with all of it, if it failed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_the_model_and_the_types(built: Path) -> None:
    """What a download would have to bring is inside, and a type checker sees the types."""
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"carma/embed/model/{name}" for name in MODEL} <= names
    assert "carma/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"carma", "carma_memory"}
    assert not [name for name in names if name.endswith((".pyc", ".md"))]


def test_the_source_archive_can_be_tested(built: Path) -> None:
    """It holds sources, model, tests, documentation and pins."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    wanted = {
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "LICENSE",
        "README.md",
        "tests/test_architecture.py",
    }
    assert wanted | {f"src/carma/embed/model/{name}" for name in MODEL} <= names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name]


@pytest.mark.timeout(600)
def test_the_installed_command_remembers_and_finds(installed: Run) -> None:
    """`carma` in an empty environment tells its version, adds, and finds by meaning."""
    assert installed("carma", "--version").split() == ["carma", carma.__version__]
    installed("carma", "add", "The spare key hangs behind the blue door.")
    installed("carma", "add", "Tea is brewed with boiling water.")
    found = json.loads(installed("carma", "search", "How do I get in without my own key?", "--json"))
    assert found["hits"][0]["text"] == "The spare key hangs behind the blue door."
    assert not found["degraded"]


@pytest.mark.timeout(600)
def test_the_installed_package_does_not_see_the_sources(installed: Run) -> None:
    """What was tested above is the wheel's copy, with the dependencies that were declared and no others."""
    place = installed("python", "-c", "import carma; print(carma.__file__)").strip()
    assert not Path(place).is_relative_to(ROOT)
    program = (
        "import sys; from importlib.metadata import distributions as all; print(*(d.name for d in all()))"
    )
    names = {name.lower() for name in installed("python", "-c", program).split()}
    assert {"carma-memory", "numpy"} <= names
    assert not names & {"pytest", "mypy", "ruff", "markitdown", "torch"}
