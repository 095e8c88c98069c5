"""`kill -9` under load: what was acknowledged is there, once, and no attempt key opens anything twice."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from carma.access.keys.signer import Signer
from carma.serve.settings import ServeSettings
from tests.serve.processes import Estate, ask_raw, carma_serve, status_of
from tests.serve.running import running

WRITERS = 4
KILLS, KILLS_NIGHTLY = 4, 50
LEAST_S, MOST_S = 0.15, 0.6
SETTINGS = ServeSettings(port=0, dashboard=False)


@dataclass
class Order:
    """A change that a writer asks for: what it sends, and what it was told."""

    method: str
    path: str
    body: dict[str, object]
    key: str = field(default_factory=lambda: uuid4().hex)
    id: str | None = None
    version: int = 0

    @property
    def text(self) -> str:
        return str(self.body["text"])


@dataclass
class Story:
    """What all writers were told, over all lives of the server."""

    root: str
    acknowledged: list[Order] = field(default_factory=list)
    unanswered: list[Order] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Writer:
    """Signs requests by hand, so that the very bytes can be sent again."""

    def __init__(self, story: Story, port: int) -> None:
        self.story = story
        self.signer = Signer(story.root)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self.port = port

    def send(self, order: Order) -> httpx.Response:
        """One request, with sessions opened where they must be."""
        body = json.dumps(order.body).encode()
        while True:
            headers = {"idempotency-key": order.key, "content-type": "application/json"}
            signed = self.signer.sign(order.method, order.path, headers, sha256(body).digest())
            headers |= signed
            answer = self.http.request(order.method, order.path, headers=headers, content=body)
            if self.signer.learn(answer.status_code, answer.headers, signed):
                continue
            if answer.status_code in (200, 201):
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                line = f"{order.method} {order.path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                raw = f"{line}{head}content-length: {len(body)}\r\n\r\n".encode() + body
                with self.story.lock:
                    self.story.sent.append(raw)
            return answer

    def work(self, seed: int) -> None:
        """Add, and change what was added, until the server is gone."""
        chance = random.Random(seed)
        mine: list[Order] = []
        while True:
            if mine and chance.random() < 0.3:
                known = chance.choice(mine)
                order = Order("PATCH", f"/v1/fragments/{known.id}", {"text": f"changed {uuid4().hex}"})
            else:
                order = Order("POST", "/v1/fragments", {"text": f"added {uuid4().hex}"})
            try:
                answer = self.send(order)
            except httpx.HTTPError:
                with self.story.lock:
                    self.story.unanswered.append(order)
                return
            if answer.status_code == 503:  # Somebody else writes; nothing was done.
                continue
            assert answer.status_code in (200, 201), answer.text
            told(order, answer)
            if order.method == "POST":
                mine.append(order)
            with self.story.lock:
                self.story.acknowledged.append(order)

    def close(self) -> None:
        self.http.close()


def told(order: Order, answer: httpx.Response) -> None:
    """Note what the server says it has written."""
    order.id, order.version, text = written(answer)
    assert text == order.text


def written(answer: httpx.Response) -> tuple[str, int, str]:
    """Id, version and text of what an answer says was written."""
    assert answer.status_code in (200, 201), answer.text
    value = answer.json()
    fragment = value["items"][0] if "items" in value else value
    return fragment["id"], fragment["version"], fragment["text"]


def a_life_cut_short(story: Story, estate: Estate, seed: int) -> None:
    """Start the server, look what the last life left, write, and kill it."""
    with carma_serve(estate) as process:
        check(story, process.port)
        writers = [Writer(story, process.port) for _ in range(WRITERS)]
        threads = [
            threading.Thread(target=writer.work, args=(seed * 100 + number,))
            for number, writer in enumerate(writers)
        ]
        for thread in threads:
            thread.start()
        time.sleep(random.Random(seed).uniform(LEAST_S, MOST_S))
        process.kill()
        for thread in threads:
            thread.join()
        for writer in writers:
            writer.close()


def check(story: Story, port: int) -> None:
    """Nothing acknowledged is lost, nothing is there twice, nothing that was captured works again."""
    writer = Writer(story, port)
    try:
        for raw in story.sent[-20:]:
            answer = ask_raw(port, raw)
            assert status_of(answer) == 401, answer
            assert b"urn:carma:error:new-session" in answer
        again, story.unanswered = story.unanswered, []
        for order in again:
            told(order, writer.send(order))
            story.acknowledged.append(order)
        for order in random.Random(1).sample(story.acknowledged, min(20, len(story.acknowledged))):
            assert written(writer.send(order)) == (order.id, order.version, order.text)
        newest = {}
        for order in story.acknowledged:
            if order.version > newest.get(order.id, (0, ""))[0]:
                newest[order.id] = (order.version, order.text)
        texts = everything(writer)
        assert texts == {id: text for id, (_, text) in newest.items()}
    finally:
        writer.close()


def everything(writer: Writer) -> dict[str, str]:
    """All texts by id, as the server lists them; all of them intact."""
    found: dict[str, str] = {}
    cursor = ""
    while True:
        path = f"/v1/fragments?limit=1000{cursor}"
        while True:
            signed = writer.signer.sign("GET", path, None, None)
            answer = writer.http.get(path, headers=signed)
            if not writer.signer.learn(answer.status_code, answer.headers, signed):
                break
        page = answer.json()
        assert {item["state"] for item in page["items"]} <= {"intact", "repaired"}
        found |= {item["id"]: item["text"] for item in page["items"]}
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


def killed(folder: Path, times: int) -> Story:
    """A story of so many killings."""
    estate = Estate(folder)
    story = Story(estate.join("ada", static=False))
    for seed in range(times):
        a_life_cut_short(story, estate, seed)
    with running(estate.data, SETTINGS) as server:
        check(story, server.server.port)
    return story


def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    """Four writers, killed four times: every acknowledged write is there, every request was carried out once,
    and every captured request is refused.
    """
    story = killed(tmp_path, KILLS)
    assert len(story.acknowledged) > 20
    assert not story.unanswered


@pytest.mark.nightly
def test_what_was_acknowledged_outlives_kill_9_fifty_times(tmp_path: Path) -> None:
    """The same, fifty times."""
    story = killed(tmp_path, KILLS_NIGHTLY)
    assert len(story.acknowledged) > 500


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    return Estate(tmp_path)


def test_an_attempt_key_works_once_in_the_life_of_a_server_too(estate: Estate) -> None:
    """The very bytes sent twice: the first is carried out, the second is refused and changes nothing."""
    story = Story(estate.join("ada", static=False))
    with running(estate.data, SETTINGS) as server:
        writer = Writer(story, server.server.port)
        order = Order("POST", "/v1/fragments", {"text": "once"})
        assert writer.send(order).status_code == 201
        answer = ask_raw(server.server.port, story.sent[0])
        assert status_of(answer) == 401
        assert b"urn:carma:error:replayed-attempt" in answer
        assert list(everything(writer).values()) == ["once"]
        writer.close()
