"""What the package depends on: pinned, compatible with its own licence, and named once."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import carma

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split())

_PERMISSIVE = re.compile(
    r"0BSD|apache|BSD|CC0|ISC|MIT|PSF|python software foundation|zlib|unlicense|HPND|any-OSI", re.IGNORECASE
)
_FORBIDDEN = re.compile(r"GPL|AGPL|SSPL|BUSL|commons clause|proprietary|non-?commercial", re.IGNORECASE)

# The Mozilla Public License 2.0 asks for the source of changed files of the package itself, and of nothing
# beside it. These come with httpx and tokenizers; they are used unchanged.
_MOZILLA = {"certifi", "tqdm"}

# Gigabytes of machine learning; its adapter is tested with a model in its place.
_NOT_TESTED = {"sentence-transformers"}


def _needed(names: list[str], extras: frozenset[str] = frozenset()) -> dict[str, Distribution]:
    """The distributions that requirements need here, with all that those need, by canonical name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, asked = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        found[name] = distribution(name)
        for text in found[name].requires or ():
            below = Requirement(text)
            marker = below.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *asked, *extras)):
                waiting.append(below)
    return found


def _licence(package: Distribution) -> str:
    """What the metadata say about the licence."""
    metadata = package.metadata.json
    classifiers = [each for each in metadata.get("classifier", ()) if each.startswith("License ::")]
    stated = [str(metadata.get("license_expression", "")), str(metadata.get("license", ""))[:200]]
    said = " | ".join(filter(None, [*stated, *classifiers]))
    return _zlib(package) if said == "OSI Approved" else said


def _zlib(package: Distribution) -> str:
    """The name of the licence whose text lies beside the metadata, where those do not give one."""
    texts = [Path(str(file.locate())).read_text() for file in package.files or () if file.name == "LICENSE"]
    words = " ".join(" ".join(texts).split())
    return "zlib" if "freely, subject to the following restrictions" in words else words[:200]


RUNTIME = _needed(PROJECT["dependencies"])
EXTRAS = {
    name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name not in _NOT_TESTED
}
DECLARED = [*PROJECT["dependencies"], *(text for wanted in EXTRAS.values() for text in wanted)]


@pytest.mark.parametrize("name", sorted(RUNTIME))
def test_a_runtime_dependency_has_a_permissive_licence(name: str) -> None:
    """Nothing that comes with CARMA restricts how it may be used; the exceptions are named above."""
    licence = _licence(RUNTIME[name])
    assert licence, f"{name} does not say its licence"
    assert not _FORBIDDEN.search(licence), licence
    if name in _MOZILLA:
        assert re.search(r"MPL-2\.0|Mozilla", licence)
    else:
        assert _PERMISSIVE.search(licence), licence
        assert "MPL" not in licence


def test_the_named_exceptions_are_needed() -> None:
    """Nothing stands among the exceptions that does not come with CARMA."""
    assert RUNTIME.keys() >= _MOZILLA


def test_what_is_installed_is_what_is_pinned() -> None:
    """What CARMA, its tests and its extras need is pinned to what is here, and nothing else is."""
    needed = _needed(DECLARED)
    unpinned = {name: found.version for name, found in needed.items() if PINS.get(name) != found.version}
    assert not unpinned
    assert PINS.keys() <= needed.keys()


def test_pins_are_names_and_versions_only() -> None:
    """The constraints name no host, no path and no hash; they are sorted, and every name stands once."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    assert list(PINS) == sorted(PINS)
    assert len(PINS) == len(lines)


def test_pins_lie_within_the_declared_bounds() -> None:
    """What is tested is what is promised: every declared dependency allows its pin."""
    for text in DECLARED:
        wanted = Requirement(text)
        assert Version(PINS[canonicalize_name(wanted.name)]) in wanted.specifier, text


def test_every_import_is_declared() -> None:
    """Third-party packages that the sources import are dependencies, or belong to an extra."""
    users = [*PROJECT["dependencies"], *(text for name in EXTRAS.keys() - {"dev"} for text in EXTRAS[name])]
    declared = {Requirement(text).name for text in users}
    known = {module for name in declared for module in _modules(distribution(name))} | {
        "sentence_transformers"
    }
    imported = {
        match[1]
        for path in (ROOT / "src").rglob("*.py")
        for match in re.finditer(r"^\s*(?:from|import) ([a-z_0-9]+)", _code(path), re.MULTILINE)
    }
    assert imported - known - set(sys.stdlib_module_names) - {"carma"} == set()


def _modules(package: Distribution) -> set[str]:
    """Top-level names that a distribution brings."""
    parts = (path.parts[0] for path in package.files or () if path.suffix in {".py", ".so", ".pyi"})
    return {part.split(".")[0] for part in parts}


def _code(path: Path) -> str:
    """The source without its docstrings, in which examples import too."""
    return re.sub(r'"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))


def test_the_version_is_one() -> None:
    """The package, its metadata and the changelog agree."""
    try:
        assert distribution("carma-memory").version == carma.__version__
    except PackageNotFoundError:
        pytest.fail("carma-memory is not installed; run the tests with `make test`")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in changelog or f"## {carma.__version__}" in changelog
