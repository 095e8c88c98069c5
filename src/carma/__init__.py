"""CARMA: a memory for AI agents that heals itself.

    from carma import Memory

    with Memory.open("notes") as memory:
        memory.add("The spare key hangs behind the blue door.")
        print(memory.search("where is the key?")[0].text)

`Memory`, `Client` and their awaited twins are loaded when they are first named, because they bring NumPy,
FAISS, ONNX Runtime or httpx with them: a program that only asks for the version does not wait for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carma import errors
from carma.config import Settings
from carma.models import Blank, Fragment, Hit, HitParts, Node, Page, SearchResult, Source

if TYPE_CHECKING:
    from carma.client.aio import AsyncClient
    from carma.client.client import Client
    from carma.ingest.options import IngestOptions
    from carma.memory.aio import AsyncMemory
    from carma.memory.batch import SearchBatch
    from carma.memory.memory import Memory

__all__ = [
    "AsyncClient",
    "AsyncMemory",
    "Blank",
    "Client",
    "Fragment",
    "Hit",
    "HitParts",
    "IngestOptions",
    "Memory",
    "Node",
    "Page",
    "SearchBatch",
    "SearchResult",
    "Settings",
    "Source",
    "__version__",
    "errors",
]

__version__ = "0.1.0"

_LATER = {
    "AsyncClient": "carma.client.aio",
    "AsyncMemory": "carma.memory.aio",
    "Client": "carma.client.client",
    "IngestOptions": "carma.ingest.options",
    "Memory": "carma.memory.memory",
    "SearchBatch": "carma.memory.batch",
}


def __getattr__(name: str) -> Any:
    """The public names that are expensive to load, at their first use (PEP 562)."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'carma' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
