"""Content codings: answers packed for whoever takes that, bodies unpacked within their bound."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.errors import CarmaError
from carma.serve.encoding import CODINGS, chosen, packed, unpacked

from .asking import remember
from .running import Running

LONG = "The spare key hangs behind the blue door. " * 60


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[httpx.Client]:
    """An account with one long fragment."""
    with served.user() as client:
        remember(client, LONG)
        yield client


def _raw(client: httpx.Client, path: str, coding: str) -> tuple[httpx.Headers, bytes]:
    with client.stream("GET", path, headers={"accept-encoding": coding}) as answer:
        return answer.headers, b"".join(answer.iter_raw())


def test_a_long_answer_is_packed_for_who_takes_it(client: httpx.Client) -> None:
    """zstd and gzip give back the plain answer; the headers say which, and that it depends on the asker."""
    plain_headers, plain = _raw(client, "/v1/fragments", "identity")
    assert "content-encoding" not in plain_headers and plain_headers["vary"] == "accept-encoding"
    for coding, opened in (("gzip", gzip.decompress), ("zstd", zstandard.decompress)):
        headers, body = _raw(client, "/v1/fragments", coding)
        assert headers["content-encoding"] == coding and headers["vary"] == "accept-encoding"
        assert int(headers["content-length"]) == len(body) < len(plain) / 2
        assert opened(body) == plain


def test_short_answers_and_new_keys_are_not_packed(client: httpx.Client, served: Running) -> None:
    """Packing twenty bytes gains nothing, and the length of a packed secret tells something about it."""
    assert "content-encoding" not in _raw(client, "/v1/dreams", "gzip, zstd")[0]
    with served.user() as other:
        rotated = other.post("/v1/keys/rotate", json={}, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in rotated.headers and rotated.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None), ("gzip", "gzip"), ("zstd", "zstd"), ("gzip, zstd", "zstd"), ("br", None), ("*", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"), ("zstd;q=0, gzip;q=0.1", "gzip"), ("*;q=0", None),
        ("*;q=0, gzip", "gzip"), ("identity", None), ("GZIP", "gzip"), ("gzip;q=x", None),
        (";;,,=", None), ("zstd;q=0, *", "gzip"),
    ],
)  # fmt: skip
def test_the_asker_chooses_the_coding(accepted: str, coding: str | None) -> None:
    """Accept-Encoding is read as RFC 9110 has it: the best of ours that is not refused."""
    assert chosen(accepted) == coding


@pytest.mark.parametrize("coding", CODINGS)
def test_a_packed_body_is_unpacked(coding: str, client: httpx.Client) -> None:
    """What was packed by the client is stored as it was before."""
    body = packed(json.dumps({"text": LONG + coding}).encode(), coding)
    headers = {"content-encoding": coding, "content-type": "application/json"}
    answer = client.post("/v1/fragments", content=body, headers=headers)
    assert answer.status_code == 201 and answer.json()["items"][0]["text"] == LONG + coding


_JSON = json.dumps({"text": LONG}).encode()
_BAD: list[tuple[str, bytes, int]] = [
    ("gzip", packed(_JSON, "gzip")[:-3], 400),
    ("gzip", packed(_JSON, "gzip") + b"more", 400),
    ("gzip", packed(_JSON, "gzip") * 2, 400),
    ("gzip", zlib.compress(_JSON), 400),
    ("gzip", b"", 400),
    ("zstd", packed(_JSON, "zstd")[:-3], 400),
    ("zstd", packed(_JSON, "zstd") + b"more", 400),
    ("zstd", _JSON, 400),
    ("br", _JSON, 415),
    ("gzip, gzip", packed(packed(_JSON, "gzip"), "gzip"), 415),
]


@pytest.mark.parametrize(("coding", "body", "status"), _BAD)
def test_what_is_not_packed_so_is_refused(
    coding: str, body: bytes, status: int, client: httpx.Client
) -> None:
    """Cut off, something behind it, another coding, packed twice: a problem each, and nothing stored."""
    headers = {"content-encoding": coding, "content-type": "application/json"}
    answer = client.post("/v1/fragments", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_before_it_goes_off(coding: str, client: httpx.Client) -> None:
    """A body of a few kilobytes that unpacks to a gigabyte is refused by the bound of the unpacked one."""
    bomb = packed(bytes(64 * 2**20), coding)
    assert len(bomb) < 2**17
    headers = {"content-encoding": coding, "content-type": "application/json"}
    answer = client.post("/v1/search", content=bomb, headers=headers)
    assert answer.status_code == 413 and answer.json()["title"] == "TooLarge"


@settings(deadline=None)
@given(body=st.binary(max_size=5_000), coding=st.sampled_from(CODINGS), room=st.integers(-3, 3))
def test_unpacking_gives_back_what_was_packed(body: bytes, coding: str, room: int) -> None:
    """Any bytes, in either coding, up to the bound to the byte and not beyond it."""
    most = max(len(body) + room, 0)
    if len(body) > most:
        with pytest.raises(CarmaError, match="longer than"):
            unpacked(packed(body, coding), coding, most)
    else:
        assert unpacked(packed(body, coding), coding, most) == body


@settings(deadline=None)
@given(body=st.binary(max_size=300), coding=st.sampled_from(CODINGS))
def test_unpacking_nonsense_raises_nothing_else(body: bytes, coding: str) -> None:
    """Whatever the bytes are: a body or a typed error."""
    result: Any = None
    try:
        result = unpacked(body, coding, 1_000)
    except CarmaError as error:
        result = error.status
    assert isinstance(result, bytes) or result in (400, 413)
