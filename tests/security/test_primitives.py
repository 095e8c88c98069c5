"""Security rests on vetted primitives: nothing weak and nothing that runs data is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

import carma

SOURCE = Path(carma.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

RUN_DATA = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop"}
"""What they read can run as a program."""
GUESSABLE = {"random", "uuid", "numpy"}
"""Their random numbers can be computed from earlier ones, or were not made for secrets."""
PRIMITIVES = {"cryptography", "hmac", "secrets", "hashlib", "blake3"}
MAY_BE_SEEDED = (
    "carma.cli.first_harm",
    "carma.prove",
    "carma.testing",
    "carma.healing",
    "carma.search",
    "carma.uml",
)
"""Experiments and indexes that are to give the same result every time; no secret comes from there."""
KEEPERS = ("carma.access", "carma.serve", "carma.client", "carma.compliance")
WEAK_HASHES = {"md5", "sha1", "new"}
RISKY_CALLS = {"eval", "exec", "compile", "system", "popen", "mktemp", "_create_unverified_context"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("carma", include_external_packages=True, cache_dir=None)


def _imported(*packages: str) -> dict[str, set[str]]:
    """What each module in these packages imports by itself."""
    graph = _graph()
    ours = [name for name in graph.modules if any(f"{name}.".startswith(f"{each}.") for each in packages)]
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in ours}


def test_nothing_that_runs_data_is_in_the_import_graph() -> None:
    """No pickle and nothing like it, in any module of the package."""
    found = {name: each & RUN_DATA for name, each in _imported("carma").items() if each & RUN_DATA}
    assert not found
    assert len(_imported("carma")) > 300, "the graph is not empty"


def test_secrets_never_come_from_a_guessable_source() -> None:
    """What keeps secrets imports no generator but the operating system's, through the port `Entropy`."""
    found = {
        name: each & GUESSABLE for name, each in _imported(*KEEPERS).items() if each & {"random", "uuid"}
    }
    assert not found
    seeded = {name for name, each in _imported("carma").items() if "random" in each}
    assert all(name.startswith(MAY_BE_SEEDED) for name in seeded), seeded


def test_the_primitives_are_those_that_are_named() -> None:
    """Whoever encrypts, signs or computes a tag does it by the packages that docs/SECURITY.md names."""
    foreign = {"Crypto", "nacl", "rsa", "ecdsa", "pyaes", "jose", "jwt", "passlib", "bcrypt", "M2Crypto"}
    imported = _imported("carma")
    assert not {name: each & foreign for name, each in imported.items() if each & foreign}
    users = {name for name, each in imported.items() if "cryptography" in each}
    stand_in = {"carma.testing.cipher"}  # Stands in for a data key in tests.
    assert users and all(name.startswith("carma.access.") for name in users - stand_in), users
    external = {
        each for found in _imported("carma.access").values() for each in found if each[:6] != "carma."
    }
    assert external - PRIMITIVES - set(__import__("sys").stdlib_module_names) <= {
        "rfc8785", "__future__", "carma", "msgpack",
    }, external  # fmt: skip


def _calls(tree: ast.AST) -> Iterator[tuple[int, str, ast.Call]]:
    """Every call: its line and the last name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield node.lineno, name, node


def _module_of(node: ast.Call) -> str:
    value = node.func.value if isinstance(node.func, ast.Attribute) else None
    return value.id if isinstance(value, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(SOURCE).as_posix() for path in FILES])
def test_no_source_calls_what_is_weak_or_runs_data(path: Path) -> None:
    """No MD5 or SHA-1, no eval, no shell, no unchecked certificate, no pickled array."""
    found = []
    for line, name, node in _calls(ast.parse(path.read_text(encoding="utf-8"))):
        given = {each.arg: each.value for each in node.keywords}
        module = _module_of(node)
        weak = module == "hashlib" and name in WEAK_HASHES
        risky = name in RISKY_CALLS and module in ("", "os", "tempfile", "ssl", "builtins")
        for option, bad in (("shell", True), ("verify", False), ("allow_pickle", True)):
            value = given.get(option)
            risky |= isinstance(value, ast.Constant) and value.value is bad
        if weak or risky:
            found.append(f"{path.name}:{line} {module}.{name}")
    assert not found


def test_the_search_finds_what_it_looks_for() -> None:
    """The same walk over a planted source finds each of them."""
    planted = "import hashlib, os\nhashlib.md5(b'')\nos.system('x')\nrun('x', shell=True)\neval('1')\n"
    names = [name for _, name, _ in _calls(ast.parse(planted))]
    assert names == ["md5", "system", "run", "eval"]
