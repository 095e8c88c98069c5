"""Fifty clients for a while: `python -m bench.serve_load [--minutes 10] [--clients 50] [--seats 10]`.

Real `AsyncClient`s with root keys ask for everything that a memory can do, in a mixture, while a dream is
always under way on one of the seats, whose records were damaged before: one in twenty, at random places in
their files. Every text that comes back is compared with what was stored under its id, and with what had been
acknowledged before the call began: an older version is outdated, and a fragment that was deleted and comes
back has risen. Reported are the share of calls that succeeded (as a client sees it: sessions and busy answers
are its own matter), wrong, outdated, risen and lost texts, and how much the resident memory of the server
grew after the warm-up.

The server runs on one core and all clients on the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.serve_acknowledged import Acknowledged
from bench.serve_estate import (
    CLIENT_CORE,
    account_of,
    fill,
    household,
    on_core,
    resident_mb,
    served,
    texts_of,
    vectors_of,
)
from bench.serve_page import publish
from carma import AsyncClient
from carma.errors import CarmaError, FragmentNotFound
from carma.models import Fragment

SEAT_SIZE = 1_000
DAMAGED_SHARE = 0.05
RECORD_SPREAD = "segments/c*.seg"
GROWTH_TARGET_MB = 50.0
MIXTURE = {
    "get": 38, "get deleted": 2, "search": 20, "search by words": 8, "add": 8, "delete": 8, "update": 5,
    "list": 4, "history": 2, "tree": 2, "blanks": 1, "usage": 1, "audit": 1,
}  # fmt: skip


@dataclass
class Seat:
    """One account and all that was ever stored in it: texts by id, of every version."""

    folder: Path
    key: str
    texts: dict[str, set[str]]
    live: list[str]
    mine: list[str] = field(default_factory=list)
    acknowledged: Acknowledged = field(default_factory=Acknowledged)


@dataclass
class Tally:
    """What came of the calls."""

    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    risen: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    dreams: Counter[str] = field(default_factory=Counter)
    rungs: Counter[str] = field(default_factory=Counter)
    records_damaged: int = 0

    def see(self, seat: Seat, fragment: Fragment, began: int | None = None) -> None:
        """Compare a text with what was stored; began: `now` of what was acknowledged when the call began,
        None for old versions, which may be shown.
        """
        self.states[fragment.state] += 1
        if began is not None:
            least = seat.acknowledged.version(fragment.id, began)
            if least is None:
                self.risen.append(f"{fragment.id} {fragment.state}")
            elif fragment.version < least:
                self.outdated.append(f"{fragment.id} version {fragment.version}, {least} was acknowledged")
        if fragment.state == "blank" or fragment.deleted:
            return
        known = seat.texts.get(fragment.id)
        if known is None or fragment.text not in known:
            self.wrong.append(f"{fragment.id} {fragment.state}")


def main(arguments: list[str] | None = None) -> int:
    """Runs and prints JSON; 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seats", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="fill this folder, or begin with a copy of what is in it")
    parser.add_argument("--publish", action="store_true", help="write what was found into the documentation")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="carma-load-") as scratch:
        folder = Path(scratch)
        if given.keep is not None and given.keep.exists():
            shutil.copytree(given.keep, folder, dirs_exist_ok=True)
        seats = _seats(folder, given.seats)
        if given.keep is not None and not given.keep.exists():
            shutil.copytree(folder, given.keep)
        found = _under_load(folder, seats, given)
    print(json.dumps(found, indent=2))
    if given.publish:
        publish("load", found, f"python -m bench.serve_load --minutes {given.minutes:g} --publish")
    return 0 if found["reached"] else 1


def _seats(folder: Path, count: int) -> list[Seat]:
    """Accounts with 1,000 fragments each, at rest."""
    texts = texts_of(SEAT_SIZE)
    vectors = None
    seats = []
    with household(folder) as house:
        for number in range(count):
            account = account_of(house, f"load {number}")
            path = house.seats / account.folder
            if vectors is None and not path.exists():
                vectors = vectors_of(folder, texts)
            ids = fill(house, account, texts, vectors)
            root, _ = house.keys.create(account.id, "rwha")
            known = {id: {text} for id, text in zip(ids, texts, strict=True)}
            seats.append(Seat(path, root.text, known, list(ids)))
    return seats


def _under_load(folder: Path, seats: list[Seat], given: argparse.Namespace) -> dict[str, Any]:
    tally = Tally()
    seconds = given.minutes * 60
    warm_up_s = min(60.0, seconds / 4)
    with served(folder) as (port, pid), on_core(CLIENT_CORE):
        began = time.monotonic()
        memory = asyncio.run(_ask_for(port, pid, seats, tally, given.clients, seconds))
        took = time.monotonic() - began
    warm = [mb for at, mb in memory if warm_up_s <= at < warm_up_s + max(5.0, seconds / 20)]
    end = [mb for at, mb in memory if at >= seconds - max(5.0, seconds / 20)]
    growth = statistics.median(end) - statistics.median(warm)
    calls, failed = sum(tally.calls.values()), sum(tally.failed.values())
    return {
        "minutes": given.minutes, "clients": given.clients, "seats": given.seats, "calls": calls,
        "calls_per_s": round(calls / took, 1), "success_rate": round(1 - failed / max(calls, 1), 6),
        "failed": dict(tally.failed), "wrong_texts": len(tally.wrong),
        "outdated": len(tally.outdated), "risen": len(tally.risen), "states": dict(tally.states),
        "records_damaged": tally.records_damaged, "dreams": dict(tally.dreams), "rungs": dict(tally.rungs),
        "verbs": {name: _times(times) for name, times in sorted(tally.took_ms.items())},
        "resident_mb": {
            "warm": statistics.median(warm), "end": statistics.median(end), "growth": round(growth, 1),
            "peak": max(mb for _, mb in memory), "target": GROWTH_TARGET_MB,
        },
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "examples": [*tally.wrong, *tally.outdated, *tally.risen][:5],
        "server_said": _unforeseen(folder / "log"),
        "reached": not (failed or tally.wrong or tally.outdated or tally.risen or tally.states["blank"])
        and growth <= GROWTH_TARGET_MB,
    }  # fmt: skip


def _unforeseen(log: Path) -> list[str]:
    """What the server logged of its own failures, five at the most."""
    return [line for line in log.read_text("utf-8").splitlines() if '"level":"error"' in line][:5]


def _times(times: list[float]) -> dict[str, float]:
    times.sort()
    return {
        "calls": len(times),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
    }


async def _ask_for(
    port: int, pid: int, seats: list[Seat], tally: Tally, clients: int, seconds: float
) -> list[tuple[float, float]]:
    """All clients for so long; the resident memory by second."""
    began = time.monotonic()
    end = began + seconds
    url = f"http://127.0.0.1:{port}"
    memory: list[tuple[float, float]] = []

    async def watch() -> None:
        while time.monotonic() < end:
            memory.append((time.monotonic() - began, resident_mb(pid)))
            await asyncio.sleep(1.0)

    tasks = [
        _client(url, seats[number % len(seats)], tally, end, random.Random(number))
        for number in range(clients)
    ]
    await asyncio.gather(watch(), _dreams(url, seats, tally, end), *tasks)
    return memory


async def _client(url: str, seat: Seat, tally: Tally, end: float, chance: random.Random) -> None:
    """One client: one call after another, by the mixture."""
    names, weights = list(MIXTURE), list(MIXTURE.values())
    async with AsyncClient(url, seat.key) as memory:
        while time.monotonic() < end:
            name = chance.choices(names, weights)[0]
            await _timed(name, tally, VERBS[name](memory, seat, tally, chance))


async def _timed(name: str, tally: Tally, call: Awaitable[None]) -> None:
    began = time.perf_counter()
    try:
        await call
    except CarmaError as error:
        tally.failed[f"{name}: {error.code}"] += 1
    tally.calls[name] += 1
    tally.took_ms[name].append((time.perf_counter() - began) * 1000)


async def _dreams(url: str, seats: list[Seat], tally: Tally, end: float) -> None:
    """One seat after the other is damaged and dreams."""
    chance = random.Random(99)
    number = 0
    while time.monotonic() < end:
        seat = seats[number % len(seats)]
        number += 1
        tally.records_damaged += _damage(seat.folder, chance)
        async with AsyncClient(url, seat.key) as memory:
            began = time.perf_counter()
            try:
                report = await memory.dream()
            except CarmaError as error:
                tally.failed[f"dream: {error.code}"] += 1
            else:
                tally.dreams[report.status] += 1
                tally.rungs.update(report.rungs)
            tally.calls["dream"] += 1
            tally.took_ms["dream"].append((time.perf_counter() - began) * 1000)


def _damage(folder: Path, chance: random.Random) -> int:
    """Flip a bit in one of twenty records at rest, at random; how many."""
    count = 0
    for path in sorted(folder.glob(RECORD_SPREAD)):
        size = path.stat().st_size
        records = math.ceil(SEAT_SIZE / 20 * DAMAGED_SHARE)
        with path.open("r+b", buffering=0) as file:
            for _ in range(records):
                at = chance.randrange(size)
                found = os.pread(file.fileno(), 1, at)
                if found:
                    os.pwrite(file.fileno(), bytes([found[0] ^ 1 << chance.randrange(8)]), at)
                    count += 1
    return count


# The verbs


async def _get(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    id, began = chance.choice(seat.live), seat.acknowledged.now
    tally.see(seat, await memory.get(id), began)


async def _get_deleted(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    gone = seat.acknowledged.deleted
    if not gone:
        await _get(memory, seat, tally, chance)
        return
    id, began = chance.choice(gone), seat.acknowledged.now
    try:
        fragment = await memory.get(id)
    except FragmentNotFound:
        return
    tally.see(seat, fragment, began)


async def _search(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    await _found(memory, seat, tally, chance, "hybrid")


async def _words(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    await _found(memory, seat, tally, chance, "words")


async def _found(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random, mode: Any) -> None:
    text = next(iter(seat.texts[chance.choice(seat.live)]))
    began = seat.acknowledged.now
    for hit in (await memory.search(text[: chance.randrange(20, 80)], mode=mode)).hits:
        tally.see(seat, hit.fragment, began)


async def _add(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    # The id is ours, so that the text is known before anybody else can find it.
    id, text = f"{chance.getrandbits(128):032x}", f"Added under load: {chance.random()} {chance.random()}"
    seat.texts[id] = {text}
    added = await memory.add(text, id=id)
    tally.see(seat, added)
    seat.acknowledged.wrote(id, added.version)
    seat.mine.append(id)


async def _update(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    id, text = chance.choice(seat.live), f"Changed under load: {chance.random()} {chance.random()}"
    seat.texts[id].add(text)
    changed = await memory.update(id, text=text)
    tally.see(seat, changed)
    seat.acknowledged.wrote(id, changed.version)


async def _delete(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    if seat.mine:
        id = seat.mine.pop(chance.randrange(len(seat.mine)))
        await memory.delete(id)
        seat.acknowledged.removed(id)
    else:
        await _add(memory, seat, tally, chance)


async def _list(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    began = seat.acknowledged.now
    for fragment in (await memory.list(limit=50)).items:
        tally.see(seat, fragment, began)


async def _history(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    for fragment in await memory.history(chance.choice(seat.live)):
        tally.see(seat, fragment)


async def _tree(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    began = seat.acknowledged.now
    node = await memory.tree(chance.choice(seat.live), depth=2)
    if node.fragment is not None:
        tally.see(seat, node.fragment, began)


async def _blanks(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    await memory.blanks(limit=20)


async def _usage(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    await memory.usage()


async def _audit(memory: AsyncClient, seat: Seat, tally: Tally, chance: random.Random) -> None:
    await memory.audit(limit=5)


VERBS: dict[str, Callable[[AsyncClient, Seat, Tally, random.Random], Awaitable[None]]] = {
    "get": _get, "get deleted": _get_deleted, "search": _search, "search by words": _words, "add": _add,
    "delete": _delete, "update": _update, "list": _list, "history": _history, "tree": _tree,
    "blanks": _blanks, "usage": _usage, "audit": _audit,
}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
