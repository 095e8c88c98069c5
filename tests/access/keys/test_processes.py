"""Many processes at once: each attempt is admitted exactly once, by the server it was made for."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from carma.access.journal import Journal
from carma.access.keys.authority import Authority
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.access.keys.wire import RequestHead
from carma.errors import NewSession
from carma.ports.disk import LocalDisk

from .asking import KEK, Asking, root_key
from .processes import admit_all, answer, client, hammer, server

PROCESSES = 8
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([client.__module__])


@contextmanager
def running(target: Callable[..., None], *arguments: tuple[Any, ...]) -> Iterator[list[Connection]]:
    """A process for each tuple of arguments, with a pipe to each."""
    pipes, workers = [], []
    for each in arguments:
        ours, theirs = CONTEXT.Pipe()
        workers.append(CONTEXT.Process(target=target, args=(theirs, *each)))
        workers[-1].start()
        theirs.close()
        pipes.append(ours)
    yield pipes
    for pipe, worker in zip(pipes, workers, strict=True):
        pipe.close()
        worker.join(30)
        assert worker.exitcode == 0


@pytest.mark.parametrize("attempts", [250, pytest.param(4_000, marks=pytest.mark.nightly)])
def test_shuffled_attempts_of_8_processes_are_each_admitted_once(
    store: KeyStore, authority: Authority, key: RootKey, attempts: int
) -> None:
    """Eight clients with one key; every attempt is tried three times, by eight threads of one server."""
    with running(client, *[(key.text, attempts)] * PROCESSES) as pipes:
        served = [answer(authority, pipe) for pipe in pipes]
    admitted = []
    # Shuffled over as many as the window is long; beyond it an attempt may rightly come too late.
    for begin in range(0, attempts, 1_000):
        tried = [head for _, heads in served for head in heads[begin : begin + 1_000]] * 3
        random.Random(begin).shuffle(tried)
        batches = [tried[number::PROCESSES] for number in range(PROCESSES)]
        admitted += [each for batch in admit_all(authority, batches) for each in batch]
    sessions = {first[0] for first, _ in served if first}
    assert len(sessions) == PROCESSES
    assert sorted(admitted, key=str) == sorted(
        ((session, counter) for session in sessions for counter in range(2, attempts + 2)), key=str
    )


def test_8_servers_admit_each_attempt_once_between_them(tmp_path: Path) -> None:
    """Each server process has a nonce of its own: what was made for one is refused by all others, used or
    not. And when the key is revoked, all of them refuse it at their next request.
    """
    folder = str(tmp_path / "keys")
    store = KeyStore(Journal(LocalDisk(), folder), KEK)
    key = root_key(store)
    with running(server, *[(folder,)] * PROCESSES) as pipes:
        nonces = [pipe.recv() for pipe in pipes]
        assert len(set(nonces)) == PROCESSES
        clients = [Asking(key) for _ in pipes]
        for asking, pipe in zip(clients, pipes, strict=True):
            open_session(asking, pipe)
        attempts = [asking.attempt() for asking in clients for _ in range(100)]
        told = [shuffled_to(pipe, attempts, seed) for seed, pipe in enumerate(pipes)]
        for index, _ in enumerate(attempts):
            ours = index // 100
            answers = [each[index] for each in told]
            assert answers[ours] == (1, 1 + index % 100)
            assert all(
                other == (nonces[number], None, "new-session")
                for number, other in enumerate(answers)
                if number != ours
            )
        fresh = [asking.attempt() for asking in clients]
        store.revoke(key.name)
        for head, pipe in zip(fresh, pipes, strict=True):
            pipe.send([head])
            assert pipe.recv() == ["revoked"]
            pipe.send(None)


def test_when_revoke_has_returned_no_server_admits_the_key(tmp_path: Path) -> None:
    """Three servers are asked without a pause; no request that began after the return was admitted."""
    folder = str(tmp_path / "keys")
    store = KeyStore(Journal(LocalDisk(), folder), KEK)
    keys = [store.create("ada", "r", kind="static")[0] for _ in range(25)]
    returned = []
    with running(hammer, *[(folder, [key.text for key in keys])] * 3) as pipes:
        assert [pipe.recv() for pipe in pipes] == ["ready"] * 3
        for key in keys:
            store.revoke(key.name)
            returned.append(time.monotonic())
            time.sleep(0.02)
        for pipe in pipes:
            pipe.send("stop")
        told = [pipe.recv() for pipe in pipes]
    assert all(0 < last < end for begun in told for last, end in zip(begun, returned, strict=True))


def open_session(asking: Asking, pipe: Connection) -> None:
    """Let a client open a session with a server process."""
    for _ in range(2):
        head = asking.attempt()
        pipe.send([head])
        nonce, session, _ = pipe.recv()[0]
        asking.learn(NewSession("", nonce=nonce, session=session), head)


def shuffled_to(pipe: Connection, attempts: list[RequestHead], seed: int) -> list[object]:
    """Send all attempts in some order; the answers in the original one."""
    order = random.Random(seed).sample(range(len(attempts)), len(attempts))
    pipe.send([attempts[at] for at in order])
    told = pipe.recv()
    answers = dict(zip(order, told, strict=True))
    return [answers[at] for at in range(len(attempts))]
