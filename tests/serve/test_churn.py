"""The churn of the third seed on a real server: 25 connect, 10 leave, 5 return; seats are reused, and what
lay on a reused seat is never readable by its next owner.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from carma.memory.memory import Memory
from carma.serve.accounts import Account
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder

from .asking import ask, remember
from .running import Running, running

_SETTINGS = ServeSettings(port=0, dashboard=False, seat_idle_s=0.5, health_s=0.1)


def _until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def _leave(server: Running, account: Account) -> None:
    server.household.churn().leave(account.id)


def test_twenty_five_connect_ten_leave_five_return(tmp_path: Path) -> None:
    """The seeds' numbers: everybody who is there is served, everybody who left is not, and no memory is
    anybody else's.
    """
    with running(tmp_path / "data") as server:
        keys: dict[str, str] = {}
        accounts: dict[str, Account] = {}
        ids: dict[str, str] = {}
        for n in range(25):
            name = f"user {n:02d}"
            accounts[name], keys[name] = server.join(name)
            ids[name] = remember(server.client(keys[name]), f"The secret of {name}.")["id"]
        assert sorted(each.seat for each in accounts.values()) == list(range(25))
        leaving = [f"user {n:02d}" for n in range(0, 20, 2)]
        former = {name: (accounts.pop(name), keys.pop(name), ids.pop(name)) for name in leaving}
        for account, key, _ in former.values():
            _leave(server, account)
            assert ask(server.client(key), "tree").status_code == 401
        for name in leaving[:5]:
            accounts[name], keys[name] = server.join(name)
        returned = [accounts[name] for name in leaving[:5]]
        assert [(each.seat, each.generation) for each in returned] == [(n, 2) for n in range(0, 10, 2)]
        assert {each.id for each in returned}.isdisjoint(account.id for account, *_ in former.values())
        for name, (_, old_key, id) in former.items():
            assert ask(server.client(old_key), "tree").status_code == 401
            for client in map(server.client, keys.values()):
                assert ask(client, "get", id=id).status_code == 404
            if name in keys:
                _has_nothing_of(server.client(keys[name]), id)
        for name, id in ids.items():
            assert (
                server.client(keys[name]).get(f"/v1/fragments/{id}").json()["text"]
                == f"The secret of {name}."
            )
        data = server.data
        _until(lambda: len(list((data / "seats").iterdir())) <= 20)
    left = [f"The secret of {name}." for name in former] + [account.id for account, *_ in former.values()]
    for path in data.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(each.encode() in content for each in left), path


def _has_nothing_of(client: httpx.Client, id: str) -> None:
    """A memory that is new in every way in which one can look at it."""
    assert ask(client, "get", id=id).status_code == ask(client, "history", id=id).status_code == 404
    assert ask(client, "list").json()["items"] == ask(client, "blanks").json()["items"] == []
    assert ask(client, "search", json={"query": "secret"}).json()["hits"] == []
    assert ask(client, "dreams").json()["dreams"] == [] and ask(client, "topology").json()["spots"] == []
    assert ask(client, "usage").json()["generation"] == 2
    said = [each["leaf"]["operation"] for each in ask(client, "audit").json()["entries"]]
    assert not {"add", "users.remove", "delete"} & set(said)


def test_a_seat_opens_when_it_is_asked_for_and_closes_when_it_is_not(tmp_path: Path) -> None:
    """However often the server itself looks after a memory, it is closed when nobody asks; and it opens again
    with everything in it.
    """
    with running(tmp_path / "data", _SETTINGS) as server:
        account, key = server.join("ada")
        client = server.client(key)
        id = remember(client)["id"]
        seat = server.server.services.block.seat(account.id)
        assert seat.is_open
        _until(lambda: not seat.is_open)
        assert client.get("/readyz").status_code == 200 and not seat.is_open, "a probe opens no memory"
        assert client.get(f"/v1/fragments/{id}").status_code == 200 and seat.is_open
        _until(lambda: not seat.is_open)
        time.sleep(2.5)
        assert not seat.is_open, "rounds and the audit log leave it closed"


def test_who_is_removed_elsewhere_is_gone_here(tmp_path: Path) -> None:
    """`carma users remove` in another process: the next request is refused, the memory is closed, and the
    folder is gone, also while the account is busy.
    """
    with running(tmp_path / "data") as server:
        account, key = server.join("busy")
        other = server.user("other")
        client = server.client(key)
        for n in range(20):
            remember(client, f"Busy {n}.")
        command = [sys.executable, "-m", "carma", "users", "remove", "busy", "--data", str(server.data)]
        environ = {**server.environ, "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
        codes = list[int]()
        with (
            (tmp_path / "said").open("wb") as said,
            subprocess.Popen(command, env=environ, stdout=said, stderr=said) as process,
        ):
            while process.poll() is None:
                codes.append(client.post("/v1/fragments", json={"text": "Still busy."}).status_code)
        assert process.returncode == 0, (tmp_path / "said").read_text()
        done = codes.count(201)
        assert done and codes[:done] == [201] * done, "whoever is refused once is not let in again"
        # A key that is gone is a stranger's: it is charged to its source, and slowed down.
        assert set(codes) <= {201, 401, 403, 404, 410, 429, 503}, codes
        assert ask(client, "tree").status_code in (401, 403, 429)
        folder = server.data / "seats" / account.folder
        _until(lambda: not folder.exists() and account.id not in server.server.services.block._seats)
        assert ask(other, "tree").status_code == 200
        assert "round-failed" not in server.log


def test_a_seat_that_cannot_be_opened_costs_only_its_owner(tmp_path: Path) -> None:
    """Its owner is told 503 and when to ask again; the server is ready, says which seat is degraded, and
    serves everybody else.
    """
    with running(tmp_path / "data") as server:
        broken, key = server.join("broken")
        other = server.user("other")
        remember(server.client(key))
        folder = server.let_go(broken)
        shutil.rmtree(folder)
        folder.write_text("Where a folder was.")
        answer = ask(server.client(key), "tree")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert ask(other, "add").status_code == 201
        ready = other.get("/readyz")
        assert ready.status_code == 200

        def says() -> bool:
            value = other.get("/readyz").json()
            return value["status"] == "degraded" and value["degraded"][0]["seat"] == broken.seat

        _until(says)
        assert str(folder) not in other.get("/readyz").text


def test_every_seat_is_its_owners_memory_on_the_disk(tmp_path: Path) -> None:
    """What came over HTTP opens as a memory under the account's data key, and under no other."""
    with running(tmp_path / "data") as server:
        account, key = server.join("ada")
        text = remember(server.client(key))["text"]
        assert server.server.services.block.seat(account.id).close(20.0)
        folder = server.data / "seats" / account.folder
        with Memory.open(
            folder, embedder=HashEmbedder(64), vault=server.household.vault, owner=account.id
        ) as memory:
            assert [each.text for each in memory.list().items] == [text]
