"""How fast the server answers: `python -m bench.serve [--size N] [--seconds S] [--rounds R] [--starts]`.

One `carma serve` process and one load generator, which share the cores as the system lets them: keep-alive,
authentication on (every request with an attempt key of its own), encrypted seats, the packaged embedder. The
same calls are made in this process too, without HTTP, on the very memory of the seat, one after the other and
in turns with the measured rounds, so that what slows the machine slows both. Medians are reported; the
overhead is the difference of the times of one call. A text that is searched for is new each time: its
embedding is most of what such a search costs. `--starts` measures 60 seats of 1,000 fragments from the start
of the process to the first answer of /readyz.

The load of the machine is printed with the figures: under a load above that of the two processes themselves
they say nothing about the server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench.serve_client import Make, makers, new_numbers
from bench.serve_estate import (
    account_of,
    cpu_s,
    fill,
    generate,
    household,
    memory_of,
    resident_mb,
    served,
    texts_of,
    vectors_of,
)
from bench.serve_page import publish
from carma.memory.memory import Memory

TARGETS = {"get": 2_000, "vector": 1_000, "text": 250}
TARGET_START_S = 2.0
CLIENTS = 8
WARM_UP = 200
SEATS, SEAT_SIZE, STARTS = 60, 1_000, 5


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints JSON; 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=5_000, help="fragments in the memory")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one round over HTTP")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", action="store_true", help="measure the start instead")
    parser.add_argument("--seats", type=int, default=SEATS, help="of the start")
    parser.add_argument("--keep", type=Path, help="use this folder again, and do not embed all texts anew")
    parser.add_argument("--publish", action="store_true", help="write what was found into the documentation")
    given = parser.parse_args(arguments)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="carma-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = (
            starts(folder / "starts", given.seats)
            if given.starts
            else throughput(folder / "throughput", given)
        )
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=2))
    if given.publish:
        size = f"--seats {given.seats}" if given.starts else f"--size {given.size}"
        more = "--starts " if given.starts else f"--seconds {given.seconds:g} --rounds {given.rounds} "
        publish("start" if given.starts else "rates", found, f"python -m bench.serve {more}{size} --publish")
    return 0 if found["reached"] else 1


def throughput(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Requests a second of each kind with each kind of key, beside the same call without HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = texts_of(given.size + 2_000)
    texts, queries = texts[: given.size], texts[given.size :]
    with household(folder) as house:
        account = account_of(house, "bench")
        static, _ = house.keys.create(account.id, "rwha", kind="static")
        root, _ = house.keys.create(account.id, "rwha")
        keys = {"signed": root.text, "static": static.text}
        ids = fill(house, account, texts)
        with served(folder, None) as (port, pid), memory_of(house, account) as memory:
            rows = {
                name: _measured(make, name, memory, port, pid, keys, ids, queries, given)
                for name, make in makers(ids, queries).items()
            }
            resident = resident_mb(pid)
    return {
        "fragments": given.size, "clients": CLIENTS, "rounds": given.rounds, "targets": TARGETS, "rows": rows,
        "resident_mb": resident, "load_average": [round(each, 2) for each in os.getloadavg()],
        "reached": all(rows[name]["signed"]["per_s"] >= wanted for name, wanted in TARGETS.items()),
    }  # fmt: skip


def _measured(
    make: Make, name: str, memory: Memory, port: int, pid: int, keys: dict[str, str], ids: list[str],
    queries: list[str], given: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """One kind of request: rounds of HTTP with each key and of plain calls, in turns."""
    rates: dict[str, list[dict[str, Any]]] = {kind: [] for kind in keys}
    spent = dict.fromkeys(keys, 0.0)
    plain: list[float] = []
    told = {
        "port": port,
        "what": name,
        "clients": CLIENTS,
        "seconds": given.seconds,
        "ids": ids,
        "queries": queries,
    }
    _calls(memory, make, 0.2)
    for _ in range(given.rounds):
        plain.append(_calls(memory, make, given.seconds / 4))
        for kind, key in keys.items():
            before = cpu_s(pid)
            found = generate("bench.serve_client", {**told, "key": key}, None)
            spent[kind] += cpu_s(pid) - before
            assert set(found["statuses"]) == {"200"}, found
            rates[kind].append(found)
    local = statistics.median(plain)
    return {"in_process_per_s": round(local, 1)} | {
        kind: _row(found, spent[kind], local) for kind, found in rates.items()
    }


def _row(found: list[dict[str, Any]], spent: float, local: float) -> dict[str, float]:
    per_s = statistics.median(each["per_s"] for each in found)
    return {
        "per_s": per_s,
        "best_per_s": max(each["per_s"] for each in found),
        "p50_ms": statistics.median(each["p50_ms"] for each in found),
        "p99_ms": statistics.median(each["p99_ms"] for each in found),
        "server_cpu_us": round(spent / sum(each["requests"] for each in found) * 1e6),
        "overhead_us": round(1e6 / per_s - 1e6 / local),
    }


def _calls(memory: Memory, make: Make, seconds: float) -> float:
    """Calls a second of the same thing without HTTP, after a warm-up."""

    def call(number: int) -> None:
        method, target, body = make(number)
        if method == "GET":
            memory.get(target.rpartition("/")[2])
        else:
            memory.search(**json.loads(body))

    first = new_numbers()
    began, number = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds or number < WARM_UP // 4:
        call(first + number)
        number += 1
    return number / took


def starts(folder: Path, seats: int) -> dict[str, Any]:
    """From the start of the process to ready, with 60 seats of 1,000 fragments."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = texts_of(SEAT_SIZE)
    with household(folder) as house:
        vectors = None
        for number in range(seats):
            account = account_of(house, f"seat {number}")
            with memory_of(house, account) as memory:
                empty = not memory.count()
            if empty and vectors is None:
                vectors = vectors_of(folder, texts)
            fill(house, account, texts, vectors)
        static, _ = house.keys.create(account_of(house, "seat 0").id, "rwha", kind="static")
    took = [_start(folder, static.text, seats) for _ in range(STARTS)]
    ready = statistics.median(each["ready_s"] for each in took)
    return {
        "seats": seats, "fragments": SEAT_SIZE, "ready_s": round(ready, 3),
        "slowest_s": round(max(each["ready_s"] for each in took), 3),
        "first_request_ms": round(statistics.median(each["first_request_ms"] for each in took), 1),
        "all_looked_at_s": round(statistics.median(each["all_looked_at_s"] for each in took), 1),
        "resident_mb": took[-1]["resident_mb"], "target_s": TARGET_START_S,
        "load_average": [round(each, 2) for each in os.getloadavg()], "reached": ready <= TARGET_START_S,
    }  # fmt: skip


def _start(folder: Path, key: str, seats: int) -> dict[str, float]:
    """One start on all cores, its first request, and when every seat was looked at."""
    began = time.perf_counter()
    with served(folder, None) as (port, pid):
        url = f"http://127.0.0.1:{port}"
        answer = httpx.get(f"{url}/readyz")
        ready_s = time.perf_counter() - began
        assert answer.status_code == 200, answer.text
        asked = time.perf_counter()
        first = httpx.get(
            f"{url}/v1/fragments", params={"limit": 1}, headers={"authorization": f"Bearer {key}"}
        )
        first_request_ms = (time.perf_counter() - asked) * 1000
        assert first.status_code == 200, first.text
        while httpx.get(f"{url}/readyz").json()["seats"]["looked_at"] < seats:
            time.sleep(0.2)
        return {
            "ready_s": ready_s, "first_request_ms": first_request_ms,
            "all_looked_at_s": time.perf_counter() - began, "resident_mb": resident_mb(pid),
        }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
