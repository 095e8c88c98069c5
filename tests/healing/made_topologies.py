"""Made-up topologies for the tests of their pictures, with texts that try to break out."""

from __future__ import annotations

import random
from dataclasses import replace

from carma.reports import Spot, Thread, Topology

EVIL = [
    "</script><script>alert(1)</script>",
    "<!-- <script> ]]>",
    "\"quotes\" 'and' &amp; \\ back",
    "\u202eright to left\u202c שלום",
    "\x00\x01\x1b[31m\x7f\u0085\u2028\u2029\r\n\t",
    "漢字 👩‍👩‍👧 e\u0301",
    "$data ${title} $$ %s {0}",
    "\ud800 lone",
    "",
]


def grown(count: int, seed: int = 1) -> Topology:
    """A made-up tree of folders, documents, sections and paragraphs, with threads."""
    chance = random.Random(seed)
    spots: list[Spot] = []
    open_parents: list[Spot] = []
    for number in range(count):
        parent = chance.choice(open_parents[-40:]) if open_parents and chance.random() < 0.99 else None
        level = parent.level + 1 if parent else 0
        spot = Spot(
            id=f"{number:032x}",
            label=f"fragment {number}",
            kind=("folder", "section", "turn")[min(level, 2)],
            state="intact",
            level=level,
            parent=parent.id if parent else None,
        )
        spots.append(spot)
        if level < 4 and chance.random() < 0.25:
            open_parents.append(spot)
    threads = tuple(
        Thread(first=a.id, second=b.id, weight=0.5 + n / 1000)
        for n, (a, b) in enumerate(zip(spots[: 20 if count > 20 else 0], spots[20:40], strict=False))
    )
    return Topology(spots=tuple(spots), threads=threads)


def three(count: int = 200) -> dict[str, Topology]:
    """Before, damaged and after: every tenth fragment is lost; all but one come back."""
    before = grown(count)
    damaged = replace(
        before,
        spots=tuple(
            replace(s, state="blank", label="") if n % 10 == 3 else s for n, s in enumerate(before.spots)
        ),
        threads=(),
        more=7,
    )
    after = replace(
        before,
        spots=tuple(
            s
            if n % 10 != 3
            else replace(s, state="blank", label="")
            if n == 3
            else replace(s, state="repaired")
            if n % 20 == 3
            else replace(s, state="reconstructed", label=EVIL[n % len(EVIL)], confidence=0.25)
            for n, s in enumerate(before.spots)
        ),
    )
    return {"before": before, "damaged": damaged, "after": after}
