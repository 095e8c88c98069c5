"""A real server on a loopback port, in a thread of the test's own process, and what talks to it."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from carma.access.data import DataFolder, unlock
from carma.access.keys.signer import Signer
from carma.config import Settings
from carma.embed import Embedder
from carma.serve.accounts import Account
from carma.serve.household import Household, open_household
from carma.serve.log import make_log
from carma.serve.server import Server
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

ALL = "rwha"


@dataclass
class Running:
    """A server that runs. log: what it has logged so far."""

    server: Server
    household: Household
    data: Path
    environ: Mapping[str, str]
    logged: io.BytesIO
    closers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def log(self) -> str:
        return self.logged.getvalue().decode()

    def line(self, **wanted: str) -> dict[str, Any]:
        """The first line of the log that has these values; it may come a moment after the answer."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for line in self.log.splitlines():
                found: dict[str, Any] = json.loads(line)
                if wanted.items() <= found.items():
                    return found
            time.sleep(0.02)
        raise AssertionError(f"{wanted} was not logged:\n{self.log}")

    def join(self, name: str, permissions: str = ALL) -> tuple[Account, str]:
        """A new account, and its static key."""
        joined = self.household.churn().join(name, permissions, static=True)
        return joined.account, joined.key.text

    def key(self, account: Account, permissions: str = ALL, *, static: bool = True) -> str:
        """One more key of an account."""
        key, _ = self.household.keys.create(account.id, permissions, kind="static" if static else "root")
        return key.text

    def client(self, key: str | None = None, **more: Any) -> httpx.Client:
        """A client that shows a static key, or none."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        headers |= more.pop("headers", {})
        more.setdefault("verify", False)  # Nothing is verified over plain HTTP; loading certificates is slow.
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, **more)
        self.closers.append(client.close)
        return client

    def user(self, name: str | None = None, permissions: str = ALL) -> httpx.Client:
        """A client of a new account, with a static key."""
        return self.client(self.join(name or uuid4().hex, permissions)[1])

    def let_go(self, account: Account) -> Path:
        """The folder of a memory at rest: closed, and not opened by the server to copy acts that wait."""
        self.server.services.audit.copy(account.id)
        seat = self.server.services.block.seat(account.id)
        seat.close(30.0)
        assert not seat.is_open
        return seat.folder

    def signing(self, account: Account, permissions: str = ALL) -> httpx.Client:
        """A client that signs attempts with a new root key of an account."""
        return self.client(auth=SignedAuth(self.key(account, permissions, static=False)))


class SignedAuth(httpx.Auth):
    """Signs every request by a root key, and opens sessions by itself."""

    requires_request_body = True

    def __init__(self, root: str) -> None:
        self.signer = Signer(root)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        digest = sha256(request.content).digest() if request.content else None
        for _ in range(3):
            sent = self.signer.sign(request.method, request.url.raw_path.decode(), request.headers, digest)
            request.headers.pop("carma-nonce", None)
            request.headers.update(sent)
            response = yield request
            if not self.signer.learn(response.status_code, response.headers, sent):
                return


@contextmanager
def running(
    data: Path,
    settings: ServeSettings | None = None,
    *,
    memory: Settings | None = None,
    embedder: Embedder | None = None,
    encrypted: bool = True,
    **more: Any,
) -> Iterator[Running]:
    """A server over the data directory `data`; ended, and everything closed, at the end of the block."""
    environ = {"CARMA_KEK_FILE": str(data.parent / f"{data.name}-kek")}
    household = open_household(unlock(DataFolder(data), environ), encrypted=encrypted)
    logged = io.BytesIO()
    server = Server(
        household,
        settings or ServeSettings(port=0),
        make_log(logged),
        embedder=embedder or HashEmbedder(64),
        memory_settings=memory or Settings(sleep=False),
        **more,
    )
    ready, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            asyncio.run(server.run(lambda _: ready.set()))
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="server under test")
    thread.start()
    ready.wait(30)
    if failed:
        raise failed[0]
    found = Running(server, household, data, environ, logged)
    try:
        yield found
    finally:
        for close in found.closers:
            close()
        server.stop()
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"
        if failed:
            raise failed[0]
