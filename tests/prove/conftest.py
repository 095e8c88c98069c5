"""A memory at rest on a real disk, with words instead of meaning: what is damaged here are files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from carma.config import Settings
from carma.memory.memory import Memory
from carma.prove.corpus import places
from carma.prove.damage import Place
from carma.testing import HashEmbedder

SETTINGS = Settings(linger_s=0.0)
FRAGMENTS = 60


def text_of(number: int) -> str:
    """A text of its own length for every number."""
    return f"Fragment {number} tells of harbour {number * 7} and of the tide. " * (1 + number % 5)


@dataclass(frozen=True)
class AtRest:
    """A closed memory, its texts by id, and where each fragment's record lies by number of its write."""

    folder: str
    texts: dict[str, str]
    where: dict[int, Place]

    def open(self) -> Memory:
        return Memory.open(self.folder, embedder=HashEmbedder(), settings=SETTINGS)

    @property
    def seqs(self) -> dict[str, int]:
        with self.open() as memory:
            return {id: memory.get(id).seq for id in self.texts}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> AtRest:
    """Sixty fragments, some written twice."""
    folder = str(tmp_path_factory.mktemp("prove") / "memory")
    with Memory.open(folder, embedder=HashEmbedder(), settings=SETTINGS) as memory:
        ids = [each.id for each in memory.add_many([f"Draft {n}" for n in range(FRAGMENTS)])]
        for number, id in enumerate(ids):
            if number % 10 == 0:
                memory.update(id, text_of(number))
        texts = {id: memory.get(id).text for id in ids}
        memory.flush()
    return AtRest(folder, texts, places(folder))


@pytest.fixture
def at_rest(template: AtRest, tmp_path: Path) -> AtRest:
    """A copy of it."""
    return copy_of(template, tmp_path / "memory")


def copy_of(memory: AtRest, folder: Path) -> AtRest:
    """The same memory in another folder."""
    shutil.copytree(memory.folder, folder)
    return AtRest(str(folder), memory.texts, memory.where)


Copier = Callable[[str], AtRest]


@pytest.fixture
def copies(template: AtRest, tmp_path: Path) -> Copier:
    """As many copies as are asked for, by name."""
    return lambda name: copy_of(template, tmp_path / name)
