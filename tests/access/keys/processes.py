"""What the processes of `test_processes` do: clients that make attempts, and servers that admit them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from carma.access.journal import Journal
from carma.access.keys.authority import Authority
from carma.access.keys.store import KeyStore
from carma.access.keys.wire import RequestHead
from carma.errors import CarmaError, KeyRevoked, NewSession, Unauthorized
from carma.ports.disk import LocalDisk

from .asking import KEK, NOW, Asking

__all__ = ["admit_all", "answer", "client", "hammer", "server"]

Outcome = tuple[int, int] | None


def client(pipe: Connection, key: str, count: int) -> None:
    """Open a session over a pipe, then send `count` attempts at once, and end."""
    asking = Asking(key)
    while True:
        head = asking.attempt()
        pipe.send(head)
        answer = pipe.recv()
        if answer is None:
            break
        nonce, session = answer
        refused = NewSession("", nonce=nonce, session=session)
        asking.learn(refused, head)
    pipe.send([asking.attempt() for _ in range(count)])
    pipe.close()


def answer(authority: Authority, pipe: Connection) -> tuple[Outcome, list[RequestHead]]:
    """Serve one client: its first request, and the attempts that it sends afterwards, which are not used."""
    while True:
        try:
            admitted = authority.admit(pipe.recv(), NOW, "list")
        except NewSession as refused:
            pipe.send((refused.nonce, refused.session))
            continue
        pipe.send(None)
        return admitted.attempt, pipe.recv()


def admit_all(authority: Authority, batches: Sequence[Sequence[RequestHead]]) -> list[list[Outcome]]:
    """Admit each batch in a thread of its own, all at the same time; what was admitted by each."""
    admitted: list[list[Outcome]] = [[] for _ in batches]
    start = threading.Barrier(len(batches))

    def work(number: int) -> None:
        start.wait()
        for head in batches[number]:
            try:
                admitted[number].append(authority.admit(head, NOW, "list").attempt)
            except Unauthorized:
                continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return admitted


def server(pipe: Connection, folder: str) -> None:
    """A server process: tells its nonce, opens a session for whoever asks, admits what it is sent, and says
    when it refuses a revoked key.
    """
    authority = Authority(KeyStore(Journal(LocalDisk(), folder), KEK))
    pipe.send(authority.nonce)
    while (asked := pipe.recv()) is not None:
        told: list[object] = []
        for head in asked:
            try:
                told.append(authority.admit(head, NOW, "list").attempt)
            except NewSession as refused:
                told.append((refused.nonce, refused.session, "new-session"))
            except KeyRevoked:
                told.append("revoked")
            except Unauthorized:
                told.append("unauthorized")
        pipe.send(told)
    pipe.close()


def hammer(pipe: Connection, folder: str, keys: Sequence[str]) -> None:
    """A server process that is asked without a pause with static keys, until it is told to stop; then it
    says of each when the last request began that was admitted.
    """
    authority = Authority(KeyStore(Journal(LocalDisk(), folder), KEK))
    heads = [RequestHead("GET", "/", f"Bearer {key}", secure=True) for key in keys]
    begun, ready = [0.0] * len(heads), False
    while not pipe.poll():
        for at, head in enumerate(heads):
            moment = time.monotonic()
            try:
                authority.admit(head, NOW, "list")
            except CarmaError:
                continue
            begun[at] = moment
        if all(begun) and not ready:
            ready = True
            pipe.send("ready")
    pipe.send(begun)
    pipe.close()
