"""What safety costs: bytes on disk at rest against the bytes that were remembered."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from carma import Memory
from carma.config import Settings
from carma.store.parity import Spreads
from carma.store.record import HEADER_BYTES, RecordKind
from carma.store.scan import Intact, merge_copies
from carma.store.segments import REWRITTEN, Segments
from carma.testing import HashEmbedder, SeededEntropy, SimulatedClock, SimulatedDisk

DOCS = Path(__file__).parents[2] / "docs"
LIMITS = {"fragment": 2.0, "turn": 4.2}
LENGTHS = {"fragment": 1_000, "turn": 150}
MANIFEST_BYTES = 30
SKETCH_BYTES = 96
BATCH = 50
"""Fragments written at once."""

EXPECTED = {
    RecordKind.MANIFEST: "manifests",
    RecordKind.PARITY: "parity",
    RecordKind.COPIES: "copies",
}


@dataclass(frozen=True)
class Sizes:
    """Bytes of a memory at rest. parts: by what they are for. raw: text and metadata as they were given."""

    raw: int
    parts: Counter[str]
    records: int

    @property
    def ratio(self) -> float:
        return sum(self.parts.values()) / self.raw

    def __str__(self) -> str:
        shares = " ".join(f"{name} {size / self.raw:.3f}" for name, size in sorted(self.parts.items()))
        return f"{self.records} records, {self.raw} bytes: {self.ratio:.3f} ({shares})"


def prose() -> list[str]:
    """Sentences of the project's own documents, some 20,000 words of plain English."""
    text = " ".join(path.read_text() for path in sorted(DOCS.rglob("*.md")))
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    words = re.sub(r"[|#*`_<>]+", " ", text).split()
    return re.split(r"(?<=[.:;!?])\s+", " ".join(words))


SENTENCES = prose()


def texts(kind: str, count: int) -> list[dict[str, Any]]:
    """Fragments of about 1 KB with where they come from, or turns of about 150 bytes with who spoke."""
    chance = random.Random(f"{kind} {count}")
    found = []
    for number in range(count):
        wanted = LENGTHS[kind] * chance.uniform(0.7, 1.3)
        text = ""
        while len(text.encode()) < wanted:
            text = f"{text} {chance.choice(SENTENCES)}".strip()
        text = text.encode()[: int(wanted)].decode(errors="ignore").strip()
        about: dict[str, Any] = {"page": number, "title": "The book of everything"}
        if kind == "turn":
            about = {"speaker": chance.choice(["Anna", "Ben"]), "turn": number}
        found.append({"text": text, "metadata": about})
    return found


def write(
    disk: SimulatedDisk, clock: SimulatedClock, batches: list[list[dict[str, Any]]], sketches: bool, seed: int
) -> None:
    """Add batches a minute apart, close, and remove what was replaced."""
    settings = Settings() if sketches else Settings(sketch_bytes=0, short_copies=False)
    for session in (batches, []):
        seed += 1
        with Memory.open(
            "/memory", embedder=HashEmbedder(64), settings=settings, disk=disk, clock=clock,
            entropy=SeededEntropy(seed),
        ) as memory:  # fmt: skip
            for batch in session:
                memory.add_many(batch)
                clock.advance(60)
            memory.flush()
            memory.compact(linger_s=0)


def sizes_of(disk: SimulatedDisk, items: list[dict[str, Any]]) -> Sizes:
    """Everything but the index, the reserve and the quarantine, by what it is for."""
    parts: Counter[str] = Counter()
    for path in disk.paths():
        place = path.split("/")[2]
        if place in ("index", "reserve", "quarantine"):
            continue
        parts[
            "records" if "/segments/c" in path else "log" if place in ("segments", "mirror") else place
        ] += len(disk.contents(path))
    del parts["parity"]
    segments = Segments(disk, "/memory")
    for number in segments.columns():
        data = segments.read_all("segments", number) or b""
        for item in merge_copies(data, bytes, len(data), number):
            assert isinstance(item, Intact)
            parts[EXPECTED[RecordKind(item.header.kind)]] += HEADER_BYTES + item.header.length
    raw = sum(len(i["text"].encode()) + len(json.dumps(i["metadata"], separators=(",", ":"))) for i in items)
    return Sizes(raw, parts, len(items))


@cache
def measured(kind: str, count: int, sketches: bool) -> tuple[Sizes, SimulatedDisk]:
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    items = texts(kind, count)
    write(disk, clock, [items[at : at + BATCH] for at in range(0, count, BATCH)], sketches, 0)
    return sizes_of(disk, items), disk


LONG = pytest.param("fragment", 2_000, marks=pytest.mark.nightly)
"""Half a minute, most of it for sketches."""


@pytest.mark.parametrize(
    ("kind", "count"), [("fragment", 100), ("fragment", 400), LONG, *(("turn", n) for n in (100, 400, 2_000))]
)
def test_a_memory_at_rest_is_not_larger_than_promised(kind: str, count: int) -> None:
    """2.0 times fragments of 1 KB, 4.2 times turns of 150 bytes, from 100 up, with their sketches."""
    sizes, _ = measured(kind, count, sketches=True)
    print(kind, sizes)
    assert abs(sizes.raw / count - LENGTHS[kind]) < 0.35 * LENGTHS[kind]
    assert sizes.parts["copies"] > 0
    assert sizes.ratio <= LIMITS[kind], str(sizes)


@pytest.mark.parametrize(("kind", "count"), [LONG, ("turn", 2_000)])
def test_names_and_sketches_of_a_record_are_small(kind: str, count: int) -> None:
    """At most 30 bytes of manifest for each record of a file, and 96 of sketch or short copy."""
    _, disk = measured(kind, count, sketches=True)
    spreads = Spreads(Segments(disk, "/memory"))
    (manifest,) = spreads.manifests()
    assert len(manifest.records) == count
    size = sum(HEADER_BYTES + len(part) for part in manifest.parts)
    print(kind, f"manifest {size / count:.2f} bytes a record")
    assert size / count <= MANIFEST_BYTES
    copies = spreads.copies(manifest)
    print(kind, f"sketches {sum(map(len, copies.values())) / len(copies):.1f} bytes on the average")
    assert len(copies) == count
    assert max(map(len, copies.values())) <= SKETCH_BYTES
    assert manifest.segments[0] >= REWRITTEN


@pytest.mark.parametrize(
    ("kind", "count", "session"), [("turn", 102, 2), ("turn", 399, 7), ("fragment", 140, 4)]
)
def test_a_memory_that_grew_session_by_session_is_not_larger_than_promised(
    kind: str, count: int, session: int
) -> None:
    """A few fragments a session, closed each time: within the limit, in however many spreads."""
    clock = SimulatedClock()
    disk = SimulatedDisk(clock=clock)
    items = texts(kind, count)
    for at in range(0, count, session):
        write(disk, clock, [items[at : at + session]], True, at * 2)
    sizes = sizes_of(disk, items)
    print("grown", kind, sizes)
    assert sizes.ratio <= LIMITS[kind], str(sizes)
