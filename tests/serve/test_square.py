"""Carma-Square: the magic square that stands beside each request and answer, as the seeds ask; it is checked,
and no security rests on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from carma.access.keys.signer import Signer
from carma.uml.squares import as_text, fault_of, from_text, square_of

from .asking import NAMES, ask
from .running import Running


class Signed:
    """Requests signed by hand, so that the square beside them can be a wrong one."""

    def __init__(self, served: Running) -> None:
        self.signer = Signer(served.key(served.join("square")[0], static=False))
        self.http = served.client()

    def get(self, square: str | None) -> tuple[httpx.Response, bytes]:
        """An answer, and the tag of its request. square: "right" for the tag's own."""
        for _ in range(3):
            sent = self.signer.sign("GET", "/v1/usage")
            tag = bytes.fromhex(sent["Authorization"][-32:])
            if square is not None:
                sent["Carma-Square"] = as_text(square_of(tag)) if square == "right" else square
            answer = self.http.get("/v1/usage", headers=sent)
            if not self.signer.learn(answer.status_code, answer.headers, sent):
                return answer, tag
        raise AssertionError("no session was opened")


@pytest.fixture(scope="module")
def signed(served: Running) -> Iterator[Signed]:
    """A new account's requests."""
    made = Signed(served)
    yield made
    made.http.close()


def test_every_answer_has_a_magic_square(served: Running) -> None:
    """Of each operation, also of a refused one: three by three, all rows, columns and diagonals alike."""
    with served.user() as client, served.client() as nobody:
        for name in NAMES:
            for answer in (ask(client, name), ask(nobody, name)):
                square = from_text(answer.headers["carma-square"])
                assert fault_of(square) is None and square == square_of(_id_tag(answer))


def _id_tag(answer: httpx.Response) -> bytes:
    """Without an attempt the square is that of the request's id."""
    return hashlib.sha256(answer.headers["x-request-id"].encode()).digest()[:16]


def test_the_square_of_an_attempt_is_its_tags(signed: Signed) -> None:
    """The answer shows that of the request's own tag, whether the request had one or not."""
    for given in (None, "right"):
        answer, tag = signed.get(given)
        assert answer.status_code == 200
        assert from_text(answer.headers["carma-square"]) == square_of(tag)


@pytest.mark.parametrize(
    "square",
    ["(8 1 6), (3 5 7), (4 9 2)", "8 1 6 3 5 7 4 9 2", "", "x", "(1 1 1), (1 1 1), (1 1 1)", "9" * 500],
)
def test_a_wrong_square_is_refused(square: str, signed: Signed) -> None:
    """400, and the attempt was used up by it: the next one is a new one, and works."""
    answer, _ = signed.get(square)
    assert answer.status_code == 400, answer.text
    assert signed.get("right")[0].status_code == 200


def test_beside_a_static_key_it_is_that_of_the_requests_id(served: Running) -> None:
    """Who names the request may show its square; a wrong one is refused there too."""
    with served.user() as client:
        id = "request-4711"
        right = as_text(square_of(hashlib.sha256(id.encode()).digest()[:16]))
        for square, status in ((right, 200), ("(8 1 6), (3 5 7), (4 9 2)", 400)):
            answer = ask(client, "usage", headers={"x-request-id": id, "carma-square": square})
            assert answer.status_code == status


def test_a_right_square_opens_nothing(served: Running) -> None:
    """Without a key it is worth nothing: anybody can make it."""
    id = "request-4711"
    right = as_text(square_of(hashlib.sha256(id.encode()).digest()[:16]))
    with served.client() as nobody:
        assert ask(nobody, "usage", headers={"x-request-id": id, "carma-square": right}).status_code == 401
