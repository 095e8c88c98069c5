"""Liveness and readiness: a damaged seat says so itself, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from carma.config import Settings
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, running

OTHERS = 4


def filled(data: Path, count: int = OTHERS + 1) -> list[str]:
    """Seats with texts in them, at rest; their keys, by seat."""
    keys = []
    with running(data) as server:
        for number in range(count):
            account, key = server.join(f"user {number}")
            items = [{"text": f"Text {each} of user {number}."} for each in range(40)]
            assert server.client(key).post("/v1/fragments", json={"items": items}).status_code == 201
            with server.server.services.block.seat(account.id).use() as memory:
                memory.flush()
                memory.rest()
            keys.append(key)
    return keys


def seat_folder(data: Path, seat: int) -> Path:
    return next((data / "seats").glob(f"{seat:04d}-*"))


def ready_when(server: Running, done: Callable[[Any], bool]) -> Any:
    """What /readyz says as soon as it says it."""
    end = time.monotonic() + 60
    while True:
        answer = httpx.get(f"{server.url}/readyz")
        if done(answer.json()):
            return answer
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)


def unopenable(folder: Path) -> None:
    """Everything that says what this memory is, is gone."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.write_bytes(b"\xff" * 200)


def lost(folder: Path) -> None:
    """More records are gone than parity can give back."""
    for path in (*(folder / "segments").iterdir(), *(folder / "mirror").iterdir()):
        path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [unopenable, lost])
def test_a_damaged_seat_is_degraded_and_the_others_go_on(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """It is named by its number, the server stays ready, and everybody else is answered as ever."""
    keys = filled(tmp_path / "data")
    damage(seat_folder(tmp_path / "data", 2))
    settings = ServeSettings(port=0, dashboard=False, seat_retry_s=30.0)
    with running(tmp_path / "data", settings, memory=Settings(sleep=False)) as server:
        answer = ready_when(server, lambda value: value["seats"]["looked_at"] == OTHERS + 1)
        assert answer.status_code == 200
        value = answer.json()
        assert value["status"] == "degraded"
        assert [each["seat"] for each in value["degraded"]] == [2]
        assert value["degraded"][0]["reason"]
        for seat, key in enumerate(keys):
            if seat != 2:
                found = server.client(key).post("/v1/search", json={"query": f"Text 7 of user {seat}."})
                assert found.status_code == 200
                assert found.json()["hits"][0]["text"] == f"Text 7 of user {seat}."
        page = httpx.get(f"{server.url}/metrics").text
        assert 'carma_seats{state="degraded"} 1.0' in page


def test_a_seat_that_cannot_be_opened_answers_503_to_its_owner_alone(tmp_path: Path) -> None:
    """With Retry-After, and without a word about files."""
    keys = filled(tmp_path / "data", 2)
    unopenable(seat_folder(tmp_path / "data", 0))
    with running(tmp_path / "data") as server:
        answer = server.client(keys[0]).get("/v1/fragments")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:carma:error:seat-unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert str(tmp_path) not in answer.text
        assert server.client(keys[1]).get("/v1/fragments").status_code == 200


def test_living_is_not_being_of_use(tmp_path: Path) -> None:
    """/healthz says 200 as long as the process answers; /readyz says 503 as soon as it is about to end."""
    with running(tmp_path / "data") as server, server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json()["status"] == "ready"
        server.server.services.draining.set()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["draining"]
        assert client.get("/healthz").status_code == 200


def test_probes_take_get_and_head_and_nothing_else(tmp_path: Path) -> None:
    """HEAD has the head of GET; other methods are told which there are."""
    with running(tmp_path / "data") as server, server.client() as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            got, head, posted = client.get(path), client.head(path), client.post(path)
            assert got.status_code == head.status_code == 200
            assert head.content == b""
            assert head.headers["content-type"] == got.headers["content-type"]
            assert posted.status_code == 405
            assert posted.headers["allow"] == "GET, HEAD"
            assert "no-store" in got.headers["cache-control"]


def test_probes_tell_strangers_no_names(tmp_path: Path) -> None:
    """Seats are numbers: no account, no name, no path, no text."""
    with running(tmp_path / "data") as server:
        account, key = server.join("Ada Lovelace")
        server.client(key).post("/v1/fragments", json={"text": "The blue door."})
        for path in ("/readyz", "/metrics"):
            page = httpx.get(f"{server.url}{path}").text
            for word in ("Ada", "Lovelace", account.id, "blue", str(tmp_path), key[:24]):
                assert word not in page
