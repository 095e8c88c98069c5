"""The dashboard's own files: the style, the scripts, the mark. They hold nothing of anybody."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from carma.serve.call import Answer

__all__ = ["Assets", "address_of", "asset"]

_MEDIA = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_SHOWN = ("style.css", "sign_in.css", "sign_in.js", "keys.js", "mark.svg")


def asset(name: str) -> str:
    """The text of a file."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def address_of(name: str) -> str:
    """The path of a file; it changes with its content, so that a browser may keep what it has."""
    return f"/assets/{sha256(asset(name).encode()).hexdigest()[:12]}/{name}"


class Assets:
    """The files that may be asked for."""

    def __init__(self) -> None:
        self._files = {address_of(name): (name, asset(name).encode()) for name in _SHOWN}

    def find(self, path: str) -> Answer | None:
        """The answer to a path; None if it is none of the files."""
        if path == "/favicon.ico":
            path = address_of("mark.svg")
        if path not in self._files:
            return None
        name, body = self._files[path]
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Answer(body, media=_MEDIA[name.rpartition(".")[2]], headers=headers)
