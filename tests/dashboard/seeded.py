"""A memory with something of everything: intact, repaired, reconstructed, blank; dreams, keys, a history."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from carma.memory.memory import Memory
from carma.models import Act, Fragment
from carma.serve.accounts import Account
from tests.dashboard.harm import lose
from tests.serve.running import Running

__all__ = ["fill"]

_LONGER_THAN = 450
_SEED = 20261121


def fill(run: Running, account: Account, docs: Path) -> None:
    """Take in a folder, lose fragments twice, dream of them, and lose some more, which stay blank.

    With the first the index goes too, so they are composed of what is left around them. The second are
    rebuilt from the word index.
    """
    _take_in(run, account, docs)
    with run.server.services.block.seat(account.id).use() as memory:
        memory.flush()
        found = [
            each.id for each in _all(memory) if len(each.text) > _LONGER_THAN and each.kind == "paragraph"
        ]
    first, second, third = _parts(Random(_SEED).sample(found, 17), (6, 8, 3))
    note = acting(run, account, "add", lambda memory: memory.add("Renew the certificate in May.", user="ada"))
    acting(run, account, "update", lambda memory: memory.update(note.id, "Renew the certificate in June."))
    for lost, index in ((first, True), (second, False)):
        lose(run, account, lost, index=index)
        acting(run, account, "scan", lambda memory: memory.scan(deep=True))
        acting(run, account, "dream", lambda memory: memory.dream())
    lose(run, account, third)
    acting(run, account, "scan", lambda memory: memory.scan(deep=True))


def acting(run: Running, account: Account, operation: str, call: Callable[[Memory], Any]) -> Any:
    """Do something on behalf of the account."""
    services = run.server.services
    seat = services.block.seat(account.id)
    act = Act(account=account.id, operation=operation, key="carma_seed", request_id="seeded")
    with seat.use() as memory, memory.acting(act):
        result = call(memory)
    services.audit.written(seat)
    return result


def _take_in(run: Running, account: Account, docs: Path) -> None:
    """From a copy that is gone then: a dream would find the lost texts in their source."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / docs.name
        shutil.copytree(docs, copy)
        acting(run, account, "add", lambda memory: memory.ingest(copy))


def _all(memory: Memory) -> Iterator[Fragment]:
    cursor = None
    while True:
        page = memory.list(limit=500, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def _parts(ids: list[str], sizes: tuple[int, ...]) -> Iterator[list[str]]:
    start = 0
    for size in sizes:
        yield ids[start : start + size]
        start += size
