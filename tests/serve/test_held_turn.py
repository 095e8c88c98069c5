"""Another process changes keys and does not come to an end: everybody else is served meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from carma.access.keys.text import parse_secret
from carma.serve.settings import ServeSettings

from .asking import ask, remember
from .processes import Bystander
from .running import Running, SignedAuth, running

SCRIPT = str(Path(__file__).with_name("holding.py"))
HELD_S = 4.0
"""How long the other process holds the turn; who asks meanwhile must not wait as long."""
SOON_S = 2.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of its own: its keys are changed by others."""
    with running(tmp_path_factory.mktemp("held") / "data", ServeSettings(port=0, dashboard=False)) as found:
        yield found


@contextmanager
def held(server: Running, what: str = "nothing", name: str = "") -> Iterator[None]:
    """A second process has the turn, within the block and for `HELD_S` at least."""
    command = [sys.executable, SCRIPT, str(server.data), server.environ["CARMA_KEK_FILE"], what, name]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        began = time.monotonic()
        try:
            yield
            time.sleep(max(began + HELD_S - time.monotonic(), 0.0))
        finally:
            process.stdin.close()
    assert process.returncode == 0


def _is_soon(client: httpx.Client, path: str) -> None:
    began = time.monotonic()
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < SOON_S, path


@pytest.mark.parametrize("what", ["nothing", "revoke", "forget"])
def test_others_are_served_while_a_rotation_waits(what: str, server: Running) -> None:
    """Who rotates waits for the turn; nobody else does, whatever the holder has changed before. A key that it
    revoked, or that is gone, is refused at once.
    """
    account, key = server.join(f"bystander {what}")
    other, gone = server.join(f"gone {what}")
    rotating = server.user(f"rotating {what}")
    name = {"revoke": parse_secret(gone).name, "forget": other.id}.get(what, "")
    bystander = Bystander(server.url, key)
    with server.client(gone) as leaving, ThreadPoolExecutor(1) as pool, bystander.asking():
        remember(leaving)
        with held(server, what, name):
            waiting = pool.submit(ask, rotating, "rotate_key")
            time.sleep(0.2)
            with server.client(key) as client:
                _is_soon(client, "/healthz")
                _is_soon(client, "/readyz")
                _is_soon(client, "/v1/usage")
            assert ask(leaving, "usage").status_code == (200 if what == "nothing" else 401)
            assert not waiting.done()
        assert waiting.result(30).status_code == 200
    bystander.check(slowest_s=SOON_S, least=10)
    assert account.id in {each.owner for each in server.household.keys.keys().values()}


def test_the_first_use_of_a_successor_waits_for_nobody(server: Running) -> None:
    """It has to be noted, which needs the turn: the request is answered, and the note comes later."""
    account, key = server.join("heir")
    first = server.key(account, static=False)
    second = server.household.keys.rotate(parse_secret(first).name)[0].text
    bystander = Bystander(server.url, key)
    heir = server.client(auth=SignedAuth(second))
    successor = parse_secret(second).name
    with bystander.asking():
        with held(server):
            _is_soon(heir, "/v1/usage")
            _is_soon(heir, "/v1/usage")
            assert not server.household.keys.get(successor).used
        until = time.monotonic() + 20
        while not server.household.keys.get(successor).used:
            assert time.monotonic() < until
            time.sleep(0.02)
    bystander.check(slowest_s=SOON_S, least=10)
    assert server.line(event="key-alert", kind="successor-first-used")["account"] == account.id
