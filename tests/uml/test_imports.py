"""Security does not rest on this mathematics: the import graph says so, read from the sources and at run."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import grimp
import pytest

SECURITY = ("access",)
BELOW = ("store", "embed", "ports", "reports", "models", "config", "errors")
MAY = {"carma.cli", "carma.serve", "carma.client", "carma.integrations"}


@cache
def _graph() -> grimp.ImportGraph:
    """The imports in the sources, without those of the package's front door: it loads a name when it is asked
    for, so that `from carma import errors` brings nothing else. The last test looks at what is really loaded.
    """
    graph = grimp.build_graph("carma", include_external_packages=True, cache_dir=None)
    for imported in graph.find_modules_directly_imported_by("carma"):
        graph.remove_import(importer="carma", imported=imported)
    return graph


@pytest.mark.parametrize("layer", [*SECURITY, *BELOW])
def test_nothing_below_reaches_the_mathematics(layer: str) -> None:
    """Not directly, and not through any other module; `access` above all."""
    chains = _graph().find_shortest_chains(importer=f"carma.{layer}", imported="carma.uml", as_packages=True)
    assert not chains


def test_the_mathematics_reaches_no_security() -> None:
    """Nor the other way round: nothing of it could be called for a key, a tag or a cipher."""
    found = _graph().find_shortest_chains(importer="carma.uml", imported="carma.access", as_packages=True)
    assert not found
    modules = [module for module in _graph().modules if module.startswith("carma.uml")]
    assert len(modules) > 8
    for module in modules:
        assert not _graph().find_modules_directly_imported_by(module) & {"cryptography", "hmac", "secrets"}


def test_only_the_surfaces_import_it() -> None:
    """The command line, the server, the client and the adapters; no memory, no search, no healing."""
    importers = {
        ".".join(importer.split(".")[:2])
        for module in _graph().modules
        if module.startswith("carma.uml")
        for importer in _graph().find_modules_that_directly_import(module)
    }
    assert "carma.cli" in importers
    assert importers - {"carma.uml"} <= MAY


def test_whoever_imports_all_of_access_has_none_of_it() -> None:
    """At run, too, where an import inside a function or by name would show."""
    program = (
        "import importlib, pkgutil, sys, carma.access\n"
        "names = [each.name for each in pkgutil.walk_packages(carma.access.__path__, 'carma.access.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "assert len(names) > 5, names\n"
        "print([name for name in sys.modules if name.startswith(('carma.uml', 'mpmath'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
