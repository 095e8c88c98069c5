"""What a key may do: four letters, and which of them each operation needs.

    r  read    get, search, look        w  write   add, update, delete
    h  heal    scan and dream           a  admin   keys themselves

No letter includes another, and what is not in the table needs a permission that nobody has. Rejected: levels
(admin would read everybody's texts), patterns over names (a new operation could be allowed by accident).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from carma.errors import Forbidden, InvalidInput

__all__ = ["LETTERS", "NEEDS", "WORDS", "as_permissions", "check_permission", "in_words"]

LETTERS: Final = "rwha"
WORDS: Final[Mapping[str, str]] = MappingProxyType({"r": "read", "w": "write", "h": "heal", "a": "admin"})
NEEDS: Final[Mapping[str, str]] = MappingProxyType({
    "add": "w",
    "list": "r",
    "get": "r",
    "update": "w",
    "delete": "w",
    "history": "r",
    "tree": "r",
    "search": "r",
    "scan": "h",
    "dream": "h",
    "dreams": "r",
    "show_dream": "r",
    "blanks": "r",
    "topology": "r",
    "rotate_key": "a",
    "usage": "r",
    "audit": "r",
})  # fmt: skip
"""Operation to letter."""


def as_permissions(given: str) -> str:
    """Letters, or words with commas between, as letters in their order. Raises InvalidInput.

    >>> as_permissions("wr"), as_permissions("read,heal")
    ('rw', 'rh')
    """
    words = {word: letter for letter, word in WORDS.items()}
    named = [part.strip() for part in given.split(",")]
    found = [words[part] for part in named] if set(named) <= set(words) else list(given)
    if not found or not set(found) <= set(LETTERS) or len(set(found)) != len(found):
        raise InvalidInput(
            "Permissions are letters of r (read), w (write), h (heal) and a (admin), each at most once.",
            hint="Nothing was changed. For example: --permissions rw.",
        )
    return "".join(letter for letter in LETTERS if letter in found)


def in_words(permissions: str) -> str:
    """Letters as words, for people: "read, write"."""
    return ", ".join(WORDS[letter] for letter in permissions)


def check_permission(permissions: str, operation: str) -> None:
    """Raises Forbidden unless the permissions have the letter that the operation needs."""
    needed = NEEDS.get(operation)
    if needed is None or needed not in permissions:
        word = WORDS[needed] if needed else "no key"
        raise Forbidden(
            f"The key lacks the permission {word!r}, which {operation!r} needs."
            if needed
            else f"No key may do {operation!r}."
        )
