"""Words cut into the pieces of the packaged model's vocabulary.

The idea: WordPiece numbers its 30,522 pieces roughly by how often they occur, so a piece's number says what
it may cost. The cut is made here, longest piece first, on single words: about thirty lines that never change.
Rejected: the tokenizer library, whose releases may cut differently; a sketch must be read for as long as a
memory exists.

Source: Wu et al., "Google's Neural Machine Translation System", arXiv 1609.08144, section 4.1; vocabulary of
bert-base-uncased.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import blake3

from carma.embed.minilm import MODEL_FOLDER
from carma.errors import EmbedderError

__all__ = ["LONGEST_WORD", "Pieces", "pieces"]

LONGEST_WORD = 64  # characters; what is longer is coded by its characters
_CACHED_WORDS = 65_536
_DIGEST = "f2cb504e56bfa93ccc452130d8c09d2d"
_REINSTALL = "Reinstall carma: the model's vocabulary inside the package is damaged or of another version."


@dataclass(frozen=True, slots=True)
class Pieces:
    """The vocabulary. names: of each piece by number; inner pieces of a word begin with ##."""

    names: tuple[str, ...]
    numbers: dict[str, int]

    def cut(self, word: str) -> tuple[int, ...]:
        """The pieces of a lower-case word; empty if it cannot be made of them."""
        return _cut(word)

    def inner(self, number: int) -> bool:
        """Whether a piece goes on with a word."""
        return self.names[number].startswith("##")

    def join(self, numbers: tuple[int, ...]) -> str:
        """The inverse of `cut`."""
        return "".join(self.names[number].removeprefix("##") for number in numbers)


@lru_cache(maxsize=1)
def pieces() -> Pieces:
    """The vocabulary, read once. Raises EmbedderError when the file is missing or another."""
    try:
        read = json.loads((MODEL_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
        numbers: dict[str, int] = read["model"]["vocab"]
        names = tuple(sorted(numbers, key=numbers.__getitem__))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderError(
            f"cannot read the vocabulary of the sketches: {error!r}", hint=_REINSTALL
        ) from error
    if blake3.blake3("\n".join(names).encode()).hexdigest(length=16) != _DIGEST:
        raise EmbedderError("the vocabulary of the sketches is another", hint=_REINSTALL)
    return Pieces(names, numbers)


@lru_cache(maxsize=_CACHED_WORDS)
def _cut(word: str) -> tuple[int, ...]:
    if len(word) > LONGEST_WORD:
        return ()
    numbers = pieces().numbers
    found: list[int] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            number = numbers.get(mark + word[start:end])
            if number is not None:
                found.append(number)
                start = end
                break
        else:
            return ()
    return tuple(found)
