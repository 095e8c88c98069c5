"""Embedders by name, for the command line and for settings: `minilm`, `openai:<model>@<base_url>`, `hash`,
...
 A name is `<kind>` or `<kind>:<argument>`. The kinds are a table; `register` adds one. A key never stands in
a name, which ends up in process lists and shell histories: it is read from the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from carma.embed.minilm import MiniLM
from carma.embed.openai_compatible import OpenAICompatibleEmbedder
from carma.embed.port import Embedder, Fingerprint
from carma.embed.sentence_transformers import SentenceTransformersEmbedder
from carma.errors import CarmaError, InvalidInput

__all__ = ["KEY_VARIABLE", "NAME_VARIABLE", "embedder_by_name", "embedder_for", "embedder_names", "register"]

KEY_VARIABLE = "CARMA_EMBED_API_KEY"
NAME_VARIABLE = "CARMA_EMBEDDER"
"""Names the embedder of a memory that records only what it is, not where: a model that a server runs."""
_Factory = Callable[[str], Embedder]


def embedder_by_name(name: str) -> Embedder:
    """Make the embedder called `name`.

    Raises InvalidInput when no kind has that name or its argument cannot be used, MissingExtra when it needs
    a package that is not installed, EmbedderError when it cannot be loaded.
    """
    kind, _, argument = name.partition(":")
    factory = _factories.get(kind)
    if factory is None:
        raise InvalidInput(f"no embedder is called {kind!r}; there are: {', '.join(embedder_names())}")
    return factory(argument)


def embedder_for(fingerprint: Fingerprint, threads: int | None = None) -> Embedder | None:
    """The embedder that has a fingerprint: the packaged one, one that its name leads to, or the one that
    CARMA_EMBEDDER names; None if none of them is it, or it cannot be had.

    threads: for the packaged one.
    """
    packaged = MiniLM(threads)
    if packaged.fingerprint == fingerprint:
        return packaged
    size = fingerprint.name.removeprefix(f"{packaged.fingerprint.name}/")
    for name in (
        fingerprint.name, f"minilm:{size}", f"hash:{fingerprint.dimension}", os.environ.get(NAME_VARIABLE)
    ):  # fmt: skip
        try:
            found = embedder_by_name(name) if name else None
            if found is not None and found.fingerprint == fingerprint:
                return found
        except CarmaError:
            continue
    return None


def embedder_names() -> list[str]:
    """The kinds known, sorted."""
    return sorted(_factories)


def register(kind: str, factory: Callable[[str], Embedder]) -> None:
    """Add a kind (letters, digits, hyphens); `factory` gets what follows the colon, or the empty text."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", kind):
        raise InvalidInput(f"{kind!r} cannot name an embedder: use small letters, digits and hyphens")
    if kind in _factories:
        raise InvalidInput(f"an embedder called {kind!r} exists already")
    _factories[kind] = factory


def _minilm(argument: str) -> Embedder:
    return MiniLM(max_tokens=_number(argument, "minilm:<max_tokens>")) if argument else MiniLM()


def _openai(argument: str) -> Embedder:
    match = re.fullmatch(r"(?P<model>.+?)@(?P<base_url>https?://.+)", argument)
    if match is None:
        raise InvalidInput(
            "write openai:<model>@<base_url>, for example openai:nomic-embed-text@http://localhost:11434/v1"
        )
    return OpenAICompatibleEmbedder(
        match["base_url"], match["model"], api_key=os.environ.get(KEY_VARIABLE) or None
    )


def _sentence_transformers(argument: str) -> Embedder:
    if not argument:
        raise InvalidInput("write sentence-transformers:<model name or path>")
    return SentenceTransformersEmbedder(argument)


def _hash(argument: str) -> Embedder:
    from carma.testing.embedder import (
        HashEmbedder,
    )  # what serves tests is not loaded by those who do not ask for it

    return HashEmbedder(_number(argument, "hash:<dimension>")) if argument else HashEmbedder()


def _number(argument: str, form: str) -> int:
    if not (argument.isascii() and argument.isdigit() and len(argument) < 6):
        raise InvalidInput(f"write {form} with a number, not {argument!r}")
    return int(argument)


_factories: dict[str, _Factory] = {
    "hash": _hash,
    "minilm": _minilm,
    "openai": _openai,
    "sentence-transformers": _sentence_transformers,
}
