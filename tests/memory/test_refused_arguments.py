"""Arguments that no record could hold are refused with a typed error, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carma.errors import InvalidInput
from carma.memory.memory import Memory
from carma.models import Source
from carma.testing import HashEmbedder

_SOURCES = [
    Source(path="a", digest="not hexadecimal"), Source(path="a", digest="ab"), Source(path="a", span=(5, 2)),
    Source(path="a", span=(0, 2**70)), Source(path="a", span=(-1, 2)), Source(path="a", line=2**63),
    Source(path="a", line=-1), Source(path="\ud800"), Source(path=None), "a.md",  # type: ignore[arg-type]
]  # fmt: skip
_ODD: list[dict[str, Any]] = [
    *({"source": source} for source in _SOURCES),
    {"created": float("nan")}, {"created": 1e300}, {"position": 10**400}, {"expires": float("inf")},
    {"vector": [1e300] * 64}, {"vector": [0.0] * 64}, {"vector": [1.0] * 3}, {"vector": "x"},
]  # fmt: skip


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """A memory whose embedder makes 64 numbers."""
    folder: Path = tmp_path_factory.mktemp("refused") / "memory"
    with Memory.open(folder, embedder=HashEmbedder(64)) as opened:
        yield opened


@pytest.mark.parametrize("odd", _ODD, ids=lambda odd: str(odd)[:60])
def test_it_is_refused_by_add_and_update(odd: dict[str, Any], memory: Memory) -> None:
    """InvalidInput from both verbs, and the memory is as it was."""
    known = memory.add("Known.")
    writes = memory.stats()["writes"]
    with pytest.raises(InvalidInput):
        memory.add("New.", **odd)
    if "created" not in odd:
        with pytest.raises(InvalidInput):
            memory.update(known.id, **odd)
    assert memory.stats()["writes"] == writes


def test_what_fits_is_kept(memory: Memory) -> None:
    """A source at its borders comes back as it was given; a long vector is a direction."""
    source = Source(path="a.md", span=(0, 2**63 - 1), digest="AB" * 16, line=0)
    made = memory.add("At the border.", source=source, vector=[3e38] * 64)
    assert memory.get(made.id).source == Source(path="a.md", span=(0, 2**63 - 1), digest="ab" * 16, line=0)
