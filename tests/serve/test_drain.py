"""SIGTERM: in ten seconds it is over, nothing acknowledged is lost, and who followed a dream can go on."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from carma import Client
from carma.errors import CarmaError
from carma.serve.settings import ServeSettings
from tests.serve.processes import Estate, Process, carma_serve, connect, serving
from tests.serve.running import running

BOUND_S = 10.0
SETTINGS = ServeSettings(port=0, dashboard=False)


def client_of(process: Process, key: str) -> httpx.Client:
    return httpx.Client(base_url=process.url, headers={"authorization": f"Bearer {key}"}, timeout=30)


def every_text(memory: Client) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = memory.list(limit=1_000, cursor=cursor)
        found |= {fragment.text for fragment in page.items}
        cursor = page.cursor
        if cursor is None:
            return found


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Four clients write while the signal comes; the process ends with 0, in time, and all is there."""
    estate = Estate(tmp_path)
    root = estate.join("ada", static=False)
    acknowledged: list[str] = []

    def write(url: str, number: int) -> None:
        with Client(url, root) as memory:
            try:
                for count in range(100_000):
                    text = memory.add(f"Writer {number}, text {count}.").text
                    acknowledged.append(text)
            except CarmaError:
                return  # The server is gone, and the client was told so.

    with carma_serve(estate) as process:
        threads = [threading.Thread(target=write, args=(process.url, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        began = time.monotonic()
        assert process.end() == 0
        assert time.monotonic() - began < BOUND_S
        events = [json.loads(line)["event"] for line in process.log.read_text().splitlines()]
        for thread in threads:
            thread.join()
    assert events[-1] == "ended"
    assert "drain" in events
    assert len(acknowledged) > 10
    with running(estate.data, SETTINGS) as server, Client(server.url, root) as memory:
        assert set(acknowledged) <= every_text(memory)


def fields_of(event: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in event.splitlines())


@contextmanager
def turn_held(folder: Path) -> Iterator[None]:
    """Somebody else writes into the memory for as long as the block runs: a dream has to wait."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def test_a_stream_ends_with_an_id_to_resume_from(tmp_path: Path) -> None:
    """A dream is under way and followed; at the signal the stream says so and ends with the id of its last
    step, by which it goes on at the next server to the report at its end.
    """
    estate = Estate(tmp_path)
    key = estate.join("ada")
    with estate.household() as house:
        folder = house.seats / house.accounts.find("ada").folder
    headers = {"accept": "text/event-stream"}
    with running(estate.data, SETTINGS) as server:
        items = [{"text": f"Text {n}."} for n in range(400)]
        assert server.client(key).post("/v1/fragments", json={"items": items}).status_code == 201
    for path in sorted(folder.glob("segments/c*.seg"))[2:9]:
        path.write_bytes(bytes(path.stat().st_size))
    with serving(estate) as process, client_of(process, key) as client:
        dream = f"/v1/dreams/{client.post('/v1/dreams', json={}).json()['cycle']}"
        with client.stream("GET", dream, headers=headers) as stream:
            assert stream.status_code == 200
            told = stream.iter_text()
            text = ""
            while "event: progress" not in text:
                text += next(told)
            with turn_held(folder):
                process.process.terminate()
                began = time.monotonic()
                events = (text + "".join(told)).split("\n\n")
                assert time.monotonic() - began < BOUND_S / 2
        assert process.process.wait(BOUND_S) == 0
        assert time.monotonic() - began < BOUND_S
    step, last = fields_of(events[-3]), fields_of(events[-2])
    assert (step["event"], last["event"]) == ("progress", "drain")
    assert step["id"] == last["id"]
    with running(estate.data, SETTINGS) as server:
        resumed = server.client(key).get(dream, headers={**headers, "last-event-id": last["id"]})
        assert resumed.status_code == 200, resumed.text
        end = fields_of(resumed.text.split("\n\n")[-2])
        assert end["event"] == "report"
        assert json.loads(end["data"])["status"] in ("cancelled", "completed")


def test_who_sends_nothing_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Idle connections, half a head and a body that never comes do not hold the end up."""
    estate = Estate(tmp_path)
    key = estate.join("ada")
    head = f"POST /v1/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 9\r\n\r\n"
    with serving(estate, drain_s=4.0) as process:
        idle, half, slow = (connect(process.port) for _ in range(3))
        with idle, half, slow:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            half.sendall(b"GET /healthz HT")
            slow.sendall(head.encode() + b"{")
            time.sleep(0.2)
            began = time.monotonic()
            assert process.end() == 0
            assert time.monotonic() - began < 5.0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait loses nothing that was acknowledged, only the tidy end."""
    estate = Estate(tmp_path)
    key = estate.join("ada")
    head = f"POST /v1/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 9\r\n\r\n"
    with serving(estate) as process, connect(process.port) as slow:
        slow.sendall(head.encode() + b"{")
        with client_of(process, key) as client:
            assert client.post("/v1/fragments", json={"text": "kept"}).status_code == 201
        process.process.terminate()
        time.sleep(0.3)
        assert process.process.poll() is None, "it waits for the request that runs"
        process.process.terminate()
        assert process.process.wait(2.0) == 0
    with running(estate.data, SETTINGS) as server:
        found = server.client(key).get("/v1/fragments").json()["items"]
        assert [each["text"] for each in found] == ["kept"]


def test_a_server_that_ended_holds_no_file_open(tmp_path: Path) -> None:
    """A program that runs servers one after the other never runs out of descriptors: none waits for the
    garbage collector.
    """

    def held() -> list[str]:
        links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if link.is_symlink()]
        return [target for target in targets if target.startswith(str(tmp_path))]

    gc.collect()
    gc.disable()
    try:
        with running(tmp_path / "data", SETTINGS) as server:
            user = server.user("ada")
            assert user.post("/v1/fragments", json={"text": "tea"}).status_code == 201
            assert user.post("/v1/search", json={"query": "tea"}).status_code == 200
            assert held()
        assert held() == []
    finally:
        gc.enable()
