"""The shape of the program: what is public is listed, files stay small, names say what things are."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import carma
from carma import errors
from carma.errors import CarmaError

SOURCE = Path(carma.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(SOURCE.parent).as_posix() for path in FILES]
MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in FILES
]
MOST_LINES = 400
EMPTY_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
ERROR_CLASSES = [getattr(errors, name) for name in errors.__all__]


def _top_level(path: Path) -> tuple[set[str], list[str] | None]:
    """The public classes and functions a module defines, and its `__all__`."""
    defined: set[str] = set()
    listed: list[str] | None = None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined |= {node.name} if not node.name.startswith("_") else set()
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            listed = ast.literal_eval(node.value)
    return defined, listed


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_is_public_is_listed(path: Path) -> None:
    """A module that defines public names has an `__all__` without a name twice (ruff sorts it)."""
    defined, listed = _top_level(path)
    if listed is None:
        assert not defined, f"{path.name} defines {sorted(defined)} and has no __all__"
        return
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_listed_can_be_imported(name: str) -> None:
    """Every name in an `__all__` is there."""
    if name == "carma.__main__":
        return
    module = importlib.import_module(name)
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing


def test_the_package_offers_what_it_lists_and_nothing_else() -> None:
    """`carma.__all__` is what `from carma import` can give, besides its own subpackages."""
    known = {path.stem if path.is_file() else path.name for path in SOURCE.iterdir()}
    public = {name for name in dir(carma) if not name.startswith("_")}
    assert public - known - {"annotations", "Any", "TYPE_CHECKING"} == set(carma.__all__) - {
        "__version__",
        "errors",
    }
    assert all(getattr(carma, name) is not None for name in carma.__all__)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_is_small_and_named_by_its_subject(path: Path) -> None:
    """At most 400 lines, a docstring that says what it is, and a name that says something."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    assert path.stem not in EMPTY_NAMES
    assert path.parent.name not in EMPTY_NAMES
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "no docstring"


def test_the_package_loads_without_its_heavy_parts() -> None:
    """`import carma` brings neither NumPy nor FAISS nor a model runtime: a command line can afford it."""
    heavy = "{'apsw', 'faiss', 'httpx', 'numpy', 'onnxruntime', 'tokenizers'}"
    program = f"import sys, carma; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_error_has_a_code_of_its_own() -> None:
    """Codes are unique, stable in form, and stand in every class itself, not in its parent only."""
    codes = Counter(error.code for error in ERROR_CLASSES)
    assert [code for code, count in codes.items() if count > 1] == []
    assert all("code" in vars(error) for error in ERROR_CLASSES)
    assert all(code == code.lower() and code.replace("-", "").isalpha() for code in codes)


def test_every_error_is_listed() -> None:
    """`errors.__all__` names every class below `CarmaError`, and the tree in the docstring shows it."""
    below = {CarmaError}
    while more := {child for parent in below for child in parent.__subclasses__()} - below:
        below |= more
    ours = {error.__name__ for error in below if error.__module__.startswith("carma.errors.")}
    assert ours == set(errors.__all__)
    assert all(name in (errors.__doc__ or "") for name in errors.__all__)


@pytest.mark.parametrize("kind", ERROR_CLASSES, ids=errors.__all__)
def test_every_error_says_what_to_do_in_one_shape(kind: type[CarmaError]) -> None:
    """`problem()` is problem details of RFC 9457 with a hint: these members, of these types, as JSON."""
    problem = kind("What happened.").problem()
    assert json.loads(json.dumps(problem)) == {
        "type": f"urn:carma:error:{kind.code}",
        "title": kind.__name__,
        "status": kind.status,
        "detail": "What happened.",
        "hint": kind.default_hint,
    }
    assert 400 <= kind.status < 600
    assert 1 <= kind.exit_code < 126
    assert kind.default_hint.endswith((".", "`"))
