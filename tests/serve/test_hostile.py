"""What strangers and enemies send: the server stays small, says no clearly, and serves everybody else."""

from __future__ import annotations

import gzip
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import httpx
import pytest
import zstandard

from tests.serve.processes import (
    Bystander,
    Estate,
    Process,
    ask_raw,
    connect,
    read_all,
    serving,
    status_of,
)

MB = 2**20
GROWTH_MB = 96
"""The most that one attack may add to the resident memory, at its peak."""
HEAD_S = BODY_S = 1.0
BODY_BYTES = 8 * MB
CONNECTIONS = 300
CROWD = 1_000


@dataclass
class World:
    """A server, the key of somebody who attacks, and somebody honest who asks all the while."""

    process: Process
    enemy: str
    bystander: Bystander

    @property
    def port(self) -> int:
        return self.process.port

    def bearer(self) -> bytes:
        return b"authorization: Bearer " + self.enemy.encode() + b"\r\n"

    def connections(self) -> int:
        return self._shown("carma_connections ")

    def evicted(self) -> int:
        return self._shown("carma_connections_evicted ")

    def _shown(self, name: str) -> int:
        page = httpx.get(f"{self.process.url}/metrics", timeout=30).text
        line = next(line for line in page.splitlines() if line.startswith(name))
        return int(float(line.split()[1]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    estate = Estate(tmp_path_factory.mktemp("hostile"))
    honest, enemy = estate.join("honest"), estate.join("enemy")
    bounds = {
        "head_s": HEAD_S, "body_s": BODY_S, "body_bytes_per_s": MB, "body_bytes": BODY_BYTES,
        "body_values": 100_000, "connections_most": CONNECTIONS,
    }  # fmt: skip
    with serving(estate, **bounds) as process:
        with Bystander(process.url, honest).asking() as bystander:
            yield World(process, enemy, bystander)
        bystander.check(least=50)


@pytest.fixture(autouse=True)
def unharmed(world: World) -> Iterator[None]:
    """While a test attacks, somebody else is served as ever; afterwards nothing of the attack is left."""
    world.process.forget_peak()
    before = world.process.resident_mb
    yield
    world.bystander.check(least=0)
    assert world.process.peak_mb - before < GROWTH_MB
    wait_until(lambda: world.connections() < 20)


def wait_until(done: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def pour(wire: socket.socket, piece: bytes, most: int = 1024 * MB) -> int:
    """Send the same bytes again and again until the other side closes; how many went out."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        while sent < most:
            wire.sendall(piece)
            sent += len(piece)
    return sent


# Slow


def test_a_head_that_comes_too_slowly_is_ended(world: World) -> None:
    """200 connections that send a letter now and then are told 408 as soon as their time is over."""
    with ExitStack() as held:
        wires = [held.enter_context(connect(world.port)) for _ in range(200)]
        began = time.monotonic()
        for letter in b"GET / HTTP/1.1\r\n":
            for wire in wires:
                with suppress(ConnectionError):
                    wire.sendall(bytes([letter]))
            time.sleep(0.1)
            if time.monotonic() - began > HEAD_S + 0.3:
                break
        answers = [status_of(read_all(wire)) for wire in wires]
        assert time.monotonic() - began < HEAD_S + 5
    assert set(answers) <= {0, 408}
    assert answers.count(408) > 150


def test_a_connection_that_says_nothing_is_ended(world: World) -> None:
    """Silence costs a connection for as long as a head may take, and no longer."""
    began = time.monotonic()
    with connect(world.port) as wire:
        assert read_all(wire) == b""
    assert time.monotonic() - began < HEAD_S + 3


def test_a_body_that_comes_too_slowly_is_ended(world: World) -> None:
    """Even of somebody with a right key."""
    head = b"POST /v1/search HTTP/1.1\r\nhost: x\r\n" + world.bearer() + b"content-length: 1000\r\n\r\n{"
    answer = ask_raw(world.port, head)
    assert status_of(answer) == 408
    assert b"request-too-slow" in answer


def test_an_answer_that_nobody_reads_holds_nobody_up(world: World) -> None:
    """Requests behind an answer that is not read wait in the asker's own buffers, not in the server's."""
    with connect(world.port) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /v1/fragments?limit=1000 HTTP/1.1\r\nhost: x\r\n" + world.bearer() + b"\r\n"
        wire.settimeout(2)
        sent = pour(wire, request, 64 * MB)
    assert sent < 16 * MB


# Large


@pytest.mark.parametrize(
    ("request_line", "with_key", "declared", "statuses"),
    [
        (b"POST /v1/fragments", True, True, {413}),
        (b"POST /v1/fragments", True, False, {413}),
        (b"POST /v1/fragments", False, False, {401, 403, 429}),
        (b"POST /v1/search", True, False, {413}),
        (b"GET /v1/fragments", True, False, {413}),
        (b"GET /healthz", False, False, {200}),
        (b"POST /nowhere", False, False, {404}),
    ],
)
def test_a_gigabyte_is_refused_after_a_few_of_its_bytes(
    world: World, request_line: bytes, with_key: bool, declared: bool, statuses: set[int]
) -> None:
    """Declared or in pieces, with a key or without: what is over the bound is not read, and said so."""
    length = b"content-length: %d\r\n" % (1024 * MB) if declared else b"transfer-encoding: chunked\r\n"
    key = world.bearer() if with_key else b""
    piece = b"x" * 65_536
    with connect(world.port) as wire:
        wire.sendall(request_line + b" HTTP/1.1\r\nhost: x\r\n" + key + length + b"\r\n")
        sent = pour(wire, piece if declared else b"%x\r\n%b\r\n" % (len(piece), piece))
        assert status_of(read_all(wire)) in statuses
    assert sent < 4 * BODY_BYTES


def test_an_ordinary_client_is_told_why(world: World) -> None:
    """An HTTP library that sends a gigabyte sees the problem, and not a broken connection."""
    answer = httpx.post(
        f"{world.process.url}/v1/fragments",
        headers={"authorization": f"Bearer {world.enemy}"},
        content=(bytes(65_536) for _ in range(16_384)),
    )
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:carma:error:too-large"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_small_body_that_unpacks_to_a_gigabyte_is_refused(world: World, coding: str) -> None:
    """It is unpacked as far as the bound, and not further."""
    block = bytes(MB)
    if coding == "gzip":
        body = gzip.compress(block * 64)
    else:
        packer = zstandard.ZstdCompressor().compressobj()
        body = b"".join([*(packer.compress(block) for _ in range(1024)), packer.flush()])
    assert len(body) < MB
    answer = httpx.post(
        f"{world.process.url}/v1/fragments",
        headers={"authorization": f"Bearer {world.enemy}", "content-encoding": coding},
        content=body,
    )
    assert answer.status_code == 413


def test_a_body_of_nothing_but_numbers_is_refused(world: World) -> None:
    """Sixteen million zeros are half a gigabyte once they are read."""
    zeros = b"0," * (BODY_BYTES // 2 - 100)
    body = b'{"items":[{"text":"x","vector":[' + zeros + b"0]}]}"
    answer = httpx.post(
        f"{world.process.url}/v1/fragments", headers={"authorization": f"Bearer {world.enemy}"}, content=body
    )
    assert answer.status_code == 413


HEAD = b"GET /v1/usage HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST /v1/search HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEAD + b"x: ", b"y" * 65_536),
        (HEAD, b"x: y\r\n" * 8_192),
        (HEAD, b"x" * 65_536),
        (b"GET /", b"x" * 65_536),
        (b"GET /v1/usage?", b"a=b&" * 16_384),
        (b"", b"\r\n" * 32_768),
        (CHUNKED + b"0\r\n", b"x: y\r\n" * 8_192),
        (CHUNKED + b"0\r\nx: ", b"y" * 65_536),
        (CHUNKED + b"1;", b"y" * 65_536),
    ],
    ids=[
        "one header", "many headers", "one name", "path", "query", "empty lines", "many trailers",
        "one trailer", "extension of a piece",
    ],
)  # fmt: skip
def test_a_flood_of_headers_is_cut_off(world: World, begin: bytes, piece: bytes) -> None:
    """Nothing that belongs to no body may be long, wherever in a request it stands."""
    with connect(world.port) as wire:
        wire.sendall(begin % world.bearer() if b"%b" in begin else begin)
        assert pour(wire, piece, 64 * MB) < 16 * MB
        assert status_of(read_all(wire)) in (0, 400, 431)


def test_requests_do_not_pile_up_behind_one_that_runs(world: World) -> None:
    """A hundred thousand small requests in one go are not a hundred thousand objects."""
    with connect(world.port) as wire:
        pour(wire, b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n" * 4_096, 4 * MB)


# Many


def test_a_crowd_of_connections_leaves_room(world: World) -> None:
    """More connections than the server holds: those that have asked nothing go, and it never holds more."""
    before = world.evicted()
    with ExitStack() as held:
        wires = [held.enter_context(connect(world.port)) for _ in range(CROWD)]
        most = 0
        for _ in range(5):
            most = max(most, world.connections())
            time.sleep(0.05)
        assert all(read_all(wire) == b"" for wire in wires)
    assert 10 < most <= CONNECTIONS
    assert world.evicted() > before


@pytest.mark.nightly
def test_ten_thousand_connections_leave_room(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the usual bounds: 10,000 connections, 4,096 of them held, and an owner who notices nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    estate = Estate(tmp_path_factory.mktemp("crowd"))
    key = estate.join("ada")
    try:
        with (
            serving(estate) as process,
            Bystander(process.url, key).asking() as bystander,
            ExitStack() as held,
        ):
            before = process.resident_mb
            wires = [held.enter_context(connect(process.port, 60.0)) for _ in range(10_000)]
            world = World(process, "", bystander)
            most = max(world.connections() for _ in range(10))
            assert all(read_all(wire) == b"" for wire in wires)
            grown = process.peak_mb - before
            evicted = world.evicted()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    bystander.check(slowest_s=10.0)
    assert 1_000 < most <= 4_096
    assert evicted > 0
    assert grown < 256


# Malformed


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nna me: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\r\n folded\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"CONNECT example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"BREW /v1/search HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_our_words(world: World, sent: bytes) -> None:
    """Status 400, a problem in JSON, and the connection is closed."""
    answer = ask_raw(world.port, sent)
    assert status_of(answer) == 400, answer[:200]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 400


@pytest.mark.parametrize(
    "body", [b"xyz\r\n\r\n", b"-1\r\na\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabcdefgh"]
)
def test_pieces_that_are_none_end_the_request(world: World, body: bytes) -> None:
    """A body in pieces of impossible lengths is no request, whoever sends it."""
    answer = ask_raw(world.port, CHUNKED % world.bearer() + body)
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "length",
    [b"content-length: 4\r\ntransfer-encoding: chunked\r\n", b"transfer-encoding: chunked, gzip\r\n"],
)
def test_a_request_that_has_two_ends_is_refused(world: World, length: bytes) -> None:
    """What two readers could cut differently is not cut at all: no request can hide in another's body."""
    hidden = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    begun = b"POST /v1/search HTTP/1.1\r\nhost: x\r\n" + world.bearer() + length
    answer = ask_raw(world.port, begun + b"\r\n0\r\n\r\n" + hidden)
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_trailer_is_no_header(world: World) -> None:
    """What stands behind a body decides nothing: a key there opens nothing."""
    sent = CHUNKED % b"" + b"2\r\n{}\r\n0\r\n" + world.bearer() + b"\r\n"
    assert status_of(ask_raw(world.port, sent)) in (401, 403, 429)


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"", {400}),
        (b"{", {400}),
        (b"[]", {422}),
        (b"null", {422}),
        (b'{"text": "x"', {400}),
        (b"{'text': 'x'}", {400}),
        (b'{"text": "x", "expires": NaN}', {400, 422}),
        (b'{"text": "x", "expires": 1e999}', {400, 422}),
        (b'{"text": "x", "position": ' + b"9" * 500_000 + b"}", {400, 422}),
        (b'{"text": "x", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {400, 422}),
        (b'{"text": "x", "metadata": ' + b'{"a":' * 90 + b"1" + b"}" * 90 + b"}", {400, 422}),
        (b'{"text": "\xff\xfe"}', {400}),
        (b'{"text": "\xed\xa0\x80"}', {400}),
        (b'{"text": "\\ud800"}', {400, 422}),
        (b'\xef\xbb\xbf{"text": "x"}', {400}),
        ('{"text": "x"}'.encode("utf-16"), {400}),
        (b'{"text": "a\x00b"}', {400}),
        (b'{"text": 7}', {422}),
        (b'{"text": "x", "what": 1}', {422}),
        (b'{"items": []}', {422}),
        (b'{"items": ' + b'[{"text":"x"}' + b',{"text":"x"}' * 2_000 + b"]}", {422}),
        (b'{"text": "x", "vector": [' + b"1," * 20_000 + b"1]}", {422}),
    ],
)
def test_a_body_that_is_not_right_is_explained(world: World, body: bytes, statuses: set[int]) -> None:
    """Malformed JSON, bad UTF-8, numbers without end, nests without end: never stored, never a failure."""
    answer = httpx.post(
        f"{world.process.url}/v1/fragments",
        headers={"authorization": f"Bearer {world.enemy}", "content-type": "application/json"},
        content=body,
    )
    assert answer.status_code in statuses, answer.text[:300]
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert len(answer.content) < 4_096
    assert "Traceback" not in answer.text


# Paths

ID = "0" * 31 + "1"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../v1/usage",
        "/v1/./usage",
        "//v1/usage",
        "/v1//usage",
        "/v1/usage/",
        "/v1/usage/..",
        "/v1/%75sage",
        "/%761/usage",
        "/v1%2fusage",
        "/v1/keys%2Frotate",
        "/v1/keys/%72otate",
        "/v1/fragments%2f" + ID,
        "/v1/fragments/" + ID + "%2Fhistory",
        "/v1/fragments/" + ID + "/%68istory",
        "/v1/fragments/..%2f..%2fetc%2fpasswd",
        "/v1/fragments/%2e%2e/usage",
        "/v1/fragments/%252e%252e%252fusage",
        "/v1/fragments/%00",
        "/v1/fragments/" + ID + "%00",
        "/v1/fragments/%ff%fe",
        "/v1/fragments/%c0%ae%c0%ae",
        "/v1/fragments/" + "a" * 20_000,
        "/v1/dreams/1%2e0",
        "/v1/dreams/-1",
        "/v1/dreams/999999999999999999999999999",
        "/v1/usage;x=1",
        "/v1/usage%00",
        "/v1/usage%20",
        "/V1/usage",
        "/v1/USAGE",
        "/v1\\usage",
        "/etc/passwd",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_a_path_leads_where_it_says_or_nowhere(world: World, path: str) -> None:
    """Every path is written in one way: no dots, double slashes or percent signs lead to an operation."""
    rest = b"host: x\r\nconnection: close\r\n" + world.bearer() + b"\r\n"
    for method in ("GET", "POST", "DELETE"):
        answer = ask_raw(world.port, f"{method} {path} HTTP/1.1\r\n".encode() + rest)
        assert status_of(answer) in (400, 404, 405, 422), answer[:300]
        assert b"application/problem+json" in answer
        assert b"root:" not in answer


def test_the_target_may_be_an_absolute_address(world: World) -> None:
    """RFC 9112 asks servers to take it; it leads to the same place, and another host changes nothing."""
    sent = b"GET http://elsewhere/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert status_of(ask_raw(world.port, sent)) == 200
