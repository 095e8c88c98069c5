"""The server's rounds: every seat is looked at, at the background's pace, and no longer than is wanted."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from carma.access.data import DataFolder, unlock
from carma.config import Settings
from carma.healing.pace import BACKGROUND, LIGHT_EVERY_S
from carma.serve.block import Block
from carma.serve.household import open_household
from carma.serve.opening import seat_opener
from carma.serve.seat import Seat
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

from .running import Running, running


@contextmanager
def block_of(data: Path, texts: list[str], **settings: Any) -> Iterator[tuple[Block, Seat]]:
    """A block whose thread does not run, and its one seat, at rest."""
    household = open_household(unlock(DataFolder(data), {"CARMA_KEK_FILE": str(data.parent / "kek")}))
    joined = household.churn().join("ada", "rwha", static=True)
    opener = seat_opener(household.vault, HashEmbedder(8), Settings(sleep=False))
    block = Block(household.accounts, household.seats, opener, ServeSettings(**settings))
    seat = block.seat(joined.account.id)
    with seat.use() as memory:
        memory.add_many(texts)
        memory.flush()
        memory.rest()
    try:
        yield block, seat
    finally:
        block.close(30)
        household.close()


def noise(count: int, kib: int) -> list[str]:
    """Texts that do not get shorter."""
    return [secrets.token_urlsafe(768 * kib) for _ in range(count)]


def standing(seat: Seat) -> Any:
    with seat.use() as memory:
        return memory.beacon.standing


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Every byte of a seat is read in several turns, each of which goes on behind the last."""
    with block_of(tmp_path / "data", noise(12, 256), look_s=0.2) as (block, seat):
        block.visit(seat)
        assert standing(seat).deep is None, "the first look is no reading"
        read, began = [0], time.monotonic()
        while not seat.health.deep:
            block.read(seat)
            read.append(standing(seat).counts.bytes)
        took = time.monotonic() - began
    assert len(read) > 3 and read == sorted(read)
    assert took >= 0.8 * read[-1] / BACKGROUND.bytes_per_s, "faster than the background's pace"


def test_reading_ends_when_the_server_ends(tmp_path: Path) -> None:
    """Nothing more is read once the end has begun, however much of the turn is left."""
    with block_of(tmp_path / "data", noise(2, 16), look_s=600.0) as (block, seat):
        block.visit(seat)
        block.stop_dreams()
        block.read(seat)
        assert standing(seat).deep is None and not standing(seat).complete
        assert block.close(30)


def test_a_scan_that_somebody_asked_for_does_not_wait_for_it(tmp_path: Path) -> None:
    """The slow look ends for it, and goes on later."""
    with block_of(tmp_path / "data", noise(2, 16)) as (_, seat), seat.use() as memory:
        asked = threading.Thread(target=memory.scan)

        def stop() -> bool:
            if not asked.ident:
                asked.start()
                while asked.is_alive() and not memory.beacon._waiting:
                    time.sleep(0.01)
            return False

        assert not memory.look(deep=True, stop=stop).complete
        asked.join(30)
        assert not asked.is_alive() and memory.look(deep=True).complete


def test_the_first_start_looks_at_all_and_then_reads_one_after_the_other(tmp_path: Path) -> None:
    """Names and headers of all seats come first; damage that only reading finds is found all the same."""
    settings = ServeSettings(port=0, dashboard=False)
    with running(tmp_path / "data") as server:
        for name in ("ada", "bob", "eve"):
            _, key = server.join(name)
            items = [{"text": text} for text in noise(8, 16)]
            assert server.client(key).post("/v1/fragments", json={"items": items}).status_code == 201
        block = server.server.services.block
        for account in block.accounts.all():
            with block.seat(account.id).use() as memory:
                memory.flush()
                memory.rest()
    segment = next((tmp_path / "data" / "seats").glob("0001-*/segments/c000001.seg"))
    whole = bytearray(segment.read_bytes())
    whole[len(whole) // 2] ^= 1
    segment.write_bytes(whole)
    with running(tmp_path / "data", settings) as server:
        seen = looks_until(server, deep=3)
        assert all(each["light"] >= 3 for each in seen if each["deep"])
        assert 'carma_findings_total{kind="bad digest"}' in httpx.get(f"{server.url}/metrics").text


def looks_until(server: Running, *, deep: int) -> list[Counter[str]]:
    """How many looks were counted, by depth, each time that somebody asked, until so many seats were read."""
    seen: list[Counter[str]] = []
    until = time.monotonic() + 60
    while not seen or seen[-1]["deep"] < deep:
        assert time.monotonic() < until, seen[-1]
        time.sleep(0.05)
        page = httpx.get(f"{server.url}/metrics").text
        rows = re.findall(r'^carma_scans_total\{depth="(light|deep)"\} ([0-9.]+)$', page, re.MULTILINE)
        seen.append(Counter({depth: int(float(count)) for depth, count in rows}))
    return seen


def test_a_light_look_comes_every_ten_minutes() -> None:
    """As the beacon of a memory of one's own does."""
    assert ServeSettings().round_s == LIGHT_EVERY_S == 600
