"""A small memory of talks, real damage to its files, and what must be true of them after a dream."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

from carma.config import Settings
from carma.memory.memory import Memory
from carma.ports.disk import LocalDisk
from carma.store.manifest import Manifest
from carma.store.parity import Spreads
from carma.store.segments import Segments
from carma.testing import HashEmbedder

SETTINGS = Settings(linger_s=0.0, breaker_segments=100, breaker_share=1.0)
"""No replaced file lingers, and no damage is mass damage."""
PATIENT = replace(SETTINGS, condense_budget_s=120.0)
"""A rest makes every sketch, however busy the machine is."""

_WORDS = (
    *("river", "bridge", "winter", "music", "garden", "letter", "engine", "window", "silver", "paper"),
    *("morning", "doctor", "holiday", "market", "story", "mountain", "kitchen", "painting", "bicycle"),
    *("harbour", "lantern", "orchard", "thunder", "violin", "castle"),
)


def open_at(folder: Path, **options: object) -> Memory:
    return Memory.open(folder, embedder=HashEmbedder(), **{"settings": SETTINGS, **options})  # type: ignore[arg-type]


def turn(number: int, every: int = 2) -> str:
    """What was said: every so many turns one is longer than any sketch can hold."""
    rng = Random(number)
    sentences = 1 if number % every else 9
    said = [" ".join(rng.choices(_WORDS, k=rng.randrange(5, 9))).capitalize() + "." for _ in range(sentences)]
    return f"Ann {number}: " + " ".join(said)


def fill(folder: Path, turns: int = 60, every: int = 2, **options: object) -> dict[str, str]:
    """A conversation at rest in one spread; its texts by id."""
    with open_at(folder, **options) as memory:
        top = memory.add("A talk of Ann and Bob.", kind="conversation", user="ann", session="s")
        texts = {top.id: top.text}
        made = memory.add_many(
            {"text": turn(number, every), "parent": top.id, "user": "ann", "session": "s"}
            for number in range(turns)
        )
        texts.update((each.id, each.text) for each in made)
        memory.flush()
        memory.rest()
        memory.rest()
    return texts


def files(folder: Path) -> dict[str, bytes]:
    """Every file that is truth: segments, mirrors, parity and memory.json."""
    kept = [*folder.glob("segments/*"), *folder.glob("mirror/*"), *folder.glob("parity/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in (*kept, folder / "memory.json")}


def of_spread(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those that a dream may not change: everything but the log."""
    return {name: data for name, data in files.items() if "/0" not in name or name.startswith("parity")}


def manifest_of(folder: Path) -> Manifest:
    """The largest spread."""
    manifests = Spreads(Segments(LocalDisk(), str(folder))).manifests()
    return max(manifests, key=lambda each: len(each.records))


def segment_files(folder: Path) -> list[Path]:
    manifest = manifest_of(folder)
    segments = Segments(LocalDisk(), str(folder))
    return [Path(segments.path("segments", number)) for number in manifest.segments]


def parity_files(folder: Path) -> list[Path]:
    manifest = manifest_of(folder)
    segments = Segments(LocalDisk(), str(folder))
    return [Path(segments.path("segments", number)) for number in manifest.columns]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x10
    path.write_bytes(data)


def lose(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


def lose_beyond_parity(folder: Path, segments: int = 9) -> None:
    """More segments than there is parity for: their records are gone for good."""
    lose(segment_files(folder)[:segments])


def lose_index(folder: Path) -> None:
    shutil.rmtree(folder / "index")


def texts_now(folder: Path, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """State and text of each fragment."""
    with open_at(folder, read_only=True) as memory:
        found = {id: memory.get(id) for id in ids}
    return {id: (each.state, each.text) for id, each in found.items()}
