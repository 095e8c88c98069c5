"""A client that costs little: keep-alive connections over asyncio's own sockets, requests made by hand.

A load generator on the machine that it measures takes time from the server, so it does no more than it must:
it writes a request that is ready, reads as many bytes as the answer says, and looks at the status. Run as
`python -m bench.serve_client`, in a process of its own; it reads what to do as JSON and prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from typing import Any

from carma.access.keys.signer import Signer

Make = Callable[[int], tuple[str, str, bytes]]
"""The request with a number: method, target, body."""

DIMENSION = 384
VECTORS = 50


class Signing:
    """Headers of a request: of a static key, or signed by a root key."""

    def __init__(self, key: str) -> None:
        self._static = key if key.startswith("carma_static_") else None
        self._signer = None if self._static else Signer(key)

    def head(self, method: str, target: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        """The whole head, and what was signed."""
        lines = [f"{method} {target} HTTP/1.1", "host: bench"]
        sent: dict[str, str] = {}
        if self._static:
            lines.append(f"authorization: Bearer {self._static}")
        else:
            assert self._signer is not None
            sent = self._signer.sign(method, target, None, sha256(body).digest() if body else None)
            lines += [f"{name}: {value}" for name, value in sent.items()]
        if body:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode(), sent

    def learn(self, status: int, headers: dict[str, str], sent: dict[str, str]) -> bool:
        """Whether to send the request again."""
        return self._signer is not None and self._signer.learn(status, headers, sent)


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, signing: Signing, made: tuple[str, str, bytes]
) -> tuple[int, bytes]:
    """Status and body of one answer, sessions opened where they must be."""
    method, target, body = made
    while True:
        head, sent = signing.head(method, target, body)
        writer.write(head + body)
        raw = await reader.readuntil(b"\r\n\r\n")
        status = int(raw[9:12])
        at = raw.find(b"content-length: ")
        answer = await reader.readexactly(int(raw[at + 16 : raw.index(b"\r", at)])) if at > 0 else b""
        if status != 401:
            return status, answer
        lines = raw.decode("latin-1").split("\r\n")[1:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        if not signing.learn(status, headers, sent):
            return status, answer


async def load(port: int, key: str, make: Make, clients: int, seconds: float) -> dict[str, Any]:
    """Ask as fast as the answers come, with so many connections; the counts and latencies."""
    numbers = count(new_numbers())
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    signing = Signing(key)
    connections = [await asyncio.open_connection("127.0.0.1", port, limit=2**24) for _ in range(clients)]
    await request(*connections[0], signing, make(next(numbers)))
    began = time.perf_counter()
    end = began + seconds

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while time.perf_counter() < end:
            asked = time.perf_counter()
            status, _ = await request(reader, writer, signing, make(next(numbers)))
            latencies.append(time.perf_counter() - asked)
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(one(*each) for each in connections))
    took = time.perf_counter() - began
    latencies.sort()
    return {
        "per_s": round(len(latencies) / took, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
        "requests": len(latencies),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
    }


def new_numbers() -> int:
    """Where to begin to number requests, so that no text was asked for lately."""
    return int(time.time()) % 1_000 * 1_000


def makers(ids: list[str], queries: list[str]) -> dict[str, Make]:
    """The requests that are measured, by name.

    get: by id. vector: a search with a given vector of 384 numbers. cached: a search by meaning for one of 50
    texts, whose vectors the memory has cached. text: a search by meaning and words for a text never seen.
    """
    few = queries[:VECTORS]
    chance = random.Random(5)
    vectors = [[round(chance.gauss(0, 0.05), 6) for _ in range(DIMENSION)] for _ in range(VECTORS)]
    bodies = [json.dumps({"vector": vector, "mode": "vector"}).encode() for vector in vectors]

    def search(query: str, mode: str) -> tuple[str, str, bytes]:
        return "POST", "/v1/search", json.dumps({"query": query, "mode": mode}).encode()

    return {
        "get": lambda n: ("GET", f"/v1/fragments/{ids[n * 7919 % len(ids)]}", b""),
        "vector": lambda n: ("POST", "/v1/search", bodies[n % len(bodies)]),
        "cached": lambda n: search(few[n % len(few)], "vector"),
        "text": lambda n: search(f"{queries[n % len(queries)][:48]} {n}", "hybrid"),
    }


def main() -> None:
    """Reads what to do from standard input, as JSON; prints what came of it."""
    told = json.load(sys.stdin)
    make = makers(told["ids"], told["queries"])[told["what"]]
    run = load(told["port"], told["key"], make, told["clients"], told["seconds"])
    try:
        import uvloop

        print(json.dumps(uvloop.run(run)))
    except ImportError:
        print(json.dumps(asyncio.run(run)))


if __name__ == "__main__":
    main()
