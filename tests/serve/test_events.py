"""Server-sent events: a dream is followed while it lasts, and taken up again where a stream was cut off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from carma.serve.settings import ServeSettings

from .asking import remember
from .running import Running, running

STREAM = {"accept": "text/event-stream"}


class Event(dict[str, Any]):
    """An event as it came: id, event, data."""


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream; comments come as events without an id."""
    found = Event()
    for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if found:
                yield found
            found = Event()
        elif not name:
            found["comment"] = value.strip()
        else:
            found[name] = value.strip()


def _followed(client: httpx.Client, cycle: int, last: str | None = None) -> list[Event]:
    """All events of a stream, to its end."""
    headers = STREAM | ({"last-event-id": last} if last else {})
    with client.stream("GET", f"/v1/dreams/{cycle}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers and "no-cache" in answer.headers["cache-control"]
        return [each for each in _events(answer.iter_lines()) if "id" in each]


@contextmanager
def waiting_dream(server: Running, client: httpx.Client) -> Iterator[int]:
    """A dream that waits, because the threads for dreams are all taken; it begins at the end of the block."""
    end = threading.Event()
    for _ in range(server.server.settings.dreams_most):
        server.server.services.dreams._pool.submit(end.wait)
    try:
        started = client.post("/v1/dreams", json={})
        assert started.status_code == 202 and started.json()["status"] == "pending"
        yield started.json()["cycle"]
    finally:
        end.set()


@pytest.fixture(scope="module")
def dreamt(served: Running) -> tuple[httpx.Client, int]:
    """An account that lost a segment, and the cycle that brought it back."""
    account, key = served.join("dreamer")
    client = served.client(key)
    items = [{"text": f"Fragment {n} is about the {n}th lighthouse."} for n in range(60)]
    assert client.post("/v1/fragments", json={"items": items}).status_code == 201
    min(served.let_go(account).glob("segments/c*")).unlink()
    started = client.post("/v1/dreams", json={})
    assert started.headers["location"] == f"/v1/dreams/{started.json()['cycle']}"
    _followed(client, started.json()["cycle"])
    return client, started.json()["cycle"]


def test_a_stream_tells_the_dream_and_ends_with_its_report(dreamt: tuple[httpx.Client, int]) -> None:
    """Numbered events, done never more than total, and last the report, as `show a dream` gives it."""
    client, cycle = dreamt
    *progress, report = _followed(client, cycle)
    assert progress and {each["event"] for each in progress} == {"progress"}
    assert [each["id"] for each in progress] == [f"{cycle}-{n + 1}" for n in range(len(progress))]
    for each in progress:
        told = json.loads(each["data"])
        assert told["cycle"] == cycle and 0 <= told["done"] <= told["total"] and told["what"]
    assert report["event"] == "report"
    shown = client.get(f"/v1/dreams/{cycle}").json()
    assert json.loads(report["data"]) == {**shown, "steps": []}
    assert shown["status"] == "completed" and shown["files_repaired"] > 0


def test_a_stream_goes_on_behind_the_last_id(dreamt: tuple[httpx.Client, int]) -> None:
    """From every id that was seen the rest comes, nothing twice and nothing left out."""
    client, cycle = dreamt
    whole = _followed(client, cycle)
    for at in range(len(whole) - 1):
        assert _followed(client, cycle, whole[at]["id"]) == whole[at + 1 :]
    for other in (f"{cycle + 1}-3", "nonsense", f"{cycle}-", f"{cycle}-x", "-", f"{cycle}-{'9' * 30}"):
        assert _followed(client, cycle, other) == whole, other


def test_a_stream_is_live(served: Running) -> None:
    """It is open before the dream begins, tells what happens as it happens, and ends when that is over."""
    with served.user() as client:
        remember(client)
        with waiting_dream(served, client) as cycle:
            stream = client.stream("GET", f"/v1/dreams/{cycle}", headers=STREAM)
            answer = stream.__enter__()
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            assert client.get(f"/v1/dreams/{cycle}").json()["status"] == "pending"
        found = list(_events(lines))
        stream.__exit__(None, None, None)
        assert found[-1]["event"] == "report" and json.loads(found[-1]["data"])["status"] == "completed"


def test_a_second_dream_waits_for_the_first(served: Running) -> None:
    """One dream a memory: the second is told that it is busy, and when to ask again."""
    with served.user() as client:
        remember(client)
        with waiting_dream(served, client) as cycle:
            busy = client.post("/v1/dreams", json={})
            assert busy.status_code == 503 and int(busy.headers["retry-after"]) >= 1
        assert _followed(client, cycle)[-1]["event"] == "report"


def test_a_revoked_key_hears_no_more(served: Running) -> None:
    """A stream outlives its request, not its key: it ends within seconds, without a report."""
    account, key = served.join("revoked")
    other = served.client(served.key(account))
    remember(other)
    with (
        waiting_dream(served, other) as cycle,
        served.client(key).stream("GET", f"/v1/dreams/{cycle}", headers=STREAM) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        served.household.keys.revoke(key.rpartition("_")[0])
        begun = time.monotonic()
        assert [each for each in _events(lines) if "id" in each] == []
        assert time.monotonic() - begun < 5.0
    assert _followed(other, cycle)[-1]["event"] == "report"


def test_a_dream_of_an_earlier_server_is_told_from_the_log(tmp_path: Path) -> None:
    """Feeds are gone with their process; the report is not. Here it is read by a signed attempt."""
    with running(tmp_path / "data") as server:
        account, key = server.join("ada")
        with server.client(key) as client:
            remember(client)
            cycle = client.post("/v1/dreams", json={}).json()["cycle"]
            before = _followed(client, cycle)[-1]
    with running(tmp_path / "data") as server, server.signing(account) as client:
        (report,) = _followed(client, cycle)
        assert json.loads(report["data"])["cycle"] == json.loads(before["data"])["cycle"] == cycle
        assert client.get(f"/v1/dreams/{cycle + 1}", headers=STREAM).status_code == 404


def test_streams_are_bounded_and_silence_is_broken(tmp_path: Path) -> None:
    """An account holds so many streams and no more; one that ends makes room; a quiet one says it lives; and
    when the server ends, each ends with an id to go on from.
    """
    settings = ServeSettings(port=0, dashboard=False, account_streams_most=2, heartbeat_s=0.2)
    with running(tmp_path / "data", settings) as server, server.user() as client:
        remember(client)
        with waiting_dream(server, client) as cycle:
            path = f"/v1/dreams/{cycle}"
            streams = [client.stream("GET", path, headers=STREAM) for _ in range(2)]
            lines = [stream.__enter__().iter_lines() for stream in streams]
            assert [next(each) for each in lines] == ["retry: 1000"] * 2
            refused = client.get(path, headers=STREAM)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
            assert next(each for each in _events(lines[0]) if "comment" in each)["comment"] == "alive"
            streams[1].__exit__(None, None, None)
            until = time.monotonic() + 10
            while sum(server.server.services.streams.values()) > 1 and time.monotonic() < until:
                time.sleep(0.02)
            server.server.stop()
            rest = [each for each in _events(lines[0]) if "id" in each]
            assert [(each["event"], each["id"]) for each in rest] == [("drain", f"{cycle}-0")]
            assert json.loads(rest[0]["data"]) == {"resume": True}
            streams[0].__exit__(None, None, None)
