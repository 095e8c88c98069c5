"""One request and its answer, whatever the network does to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.sealed import SealingKey
from carma.client.bodies import query_of
from carma.client.exchange import Lost, Received, Send
from carma.client.operations import OPERATIONS
from carma.client.repeating import repeating
from carma.client.settings import ClientSettings
from carma.client.transport import request_of
from carma.errors import (
    AnswerLost,
    InvalidAnswer,
    InvalidInput,
    ServerUnreachable,
    StillRunning,
    TooManyRequests,
)
from carma.testing import SeededEntropy

from .conftest import World
from .network import URL

HTTP = httpx.Client()
KINDS = ["", "refused", "dropped", "answer lost", "gateway", "restarted", "busy", "running"]
FAULTS = st.lists(st.sampled_from(KINDS), max_size=9)


@given(FAULTS)
def test_a_change_is_made_once_or_not_at_all(faults: list[str]) -> None:
    """Whatever is lost on the way: what was acknowledged was made once; after AnswerLost at most once; after
    any other error not at all.
    """
    world = World()
    world.network.faults = list(faults)
    verbs = world.verbs()
    try:
        made = world.network.run(verbs.add("tea"))
    except AnswerLost as error:
        assert len(world.stored) <= 1
        with repeating(error.idempotency_key or ""):
            world.network.faults = []
            made = world.network.run(verbs.add("tea"))
    except (ServerUnreachable, InvalidAnswer, TooManyRequests, StillRunning):
        assert world.stored == []
        return
    assert made.text == "tea" and world.stored == ["tea"]


def test_the_session_is_renewed_by_itself(world: World) -> None:
    """A new client needs three requests for its first, then one for each; a restart costs two more once."""
    verbs = world.verbs()
    for faults, asked in ([], 3), ([], 1), (["restarted"], 3), ([], 1):
        world.network.asked.clear()
        world.network.faults = list(faults)
        world.network.run(verbs.list())
        assert len(world.network.asked) == asked
    keys = [send.headers["Authorization"] for send in world.network.asked]
    assert len(set(keys)) == len(keys) and not world.network.waited


def test_every_try_has_a_new_attempt_key_and_the_same_idempotency_key(world: World) -> None:
    """So a repeated request is neither a replay nor a second change."""
    verbs = world.verbs()
    world.network.run(verbs.list())
    world.network.asked.clear()
    world.network.faults = ["answer lost", "answer lost"]
    world.network.run(verbs.add("tea"))
    tries = world.network.asked
    assert len(tries) == 3 and len({send.headers["Authorization"] for send in tries}) == 3
    assert len({send.headers["idempotency-key"] for send in tries}) == 1
    assert world.stored == ["tea"]


def test_pauses_grow_and_end(world: World) -> None:
    """Five tries by default, each pause about twice the one before, and then an error with a hint."""
    world.network.faults = ["refused"] * 9
    with pytest.raises(ServerUnreachable, match=r"memory\.example does not answer") as caught:
        world.network.run(world.verbs().get("0" * 32))
    assert caught.value.hint and len(world.network.waited) == 4 and not world.network.asked
    for number, pause in enumerate(world.network.waited):
        assert 0.05 * 2**number <= pause <= 0.1 * 2**number


def test_what_still_runs_is_waited_for(world: World) -> None:
    """Asking how far it is costs no try; patience ends it, and the error says that it may be done."""
    verbs = world.verbs()
    world.network.run(verbs.list())
    world.network.faults = ["answer lost", *["running"] * 9]
    assert world.network.run(verbs.add("tea")).text == "tea" and world.stored == ["tea"]
    assert len(world.network.waited) == 10
    world.network.faults = ["answer lost", *["running"] * 99]
    with pytest.raises(AnswerLost, match="2 tries"):
        world.network.run(verbs.add("cup"))
    assert world.stored == ["tea", "cup"] and 10 < sum(world.network.waited[10:]) < 60.1


def test_who_is_turned_away_is_not_told_that_nothing_was_done(world: World) -> None:
    """The key was revoked between a try that was carried out and the next one."""
    verbs = world.verbs()
    world.network.run(verbs.list())
    name = world.network.asked[-1].headers["Authorization"].split("_")[1]
    steps = verbs.add("tea")
    send = next(steps)
    assert isinstance(world.network._perform(send), Received) and world.stored == ["tea"]
    world.keys.revoke(name)
    steps.send(Lost("reset.", sent=True))
    with pytest.raises(AnswerLost):
        world.network.run(_rest(steps))


def _rest(steps: Any) -> Any:
    """Steps that were begun: their next effect is the request itself."""
    effect = next(steps)
    while True:
        effect = steps.send((yield effect))


def test_patience_ends_before_the_tries_do(world: World) -> None:
    """Nothing is begun after `patience_s`, also where the server asks to wait longer."""
    verbs = world.verbs(settings=ClientSettings(tries=100, patience_s=5.0))
    world.network.run(verbs.list())
    world.network.faults = ["busy"] * 9
    with pytest.raises(TooManyRequests) as caught:
        world.network.run(verbs.list())
    assert caught.value.retry_after_s == 2.0 and world.network.waited == [2.0, 2.0]
    assert "urn:carma:request:7" in caught.value.__notes__[0]


def test_a_certificate_that_is_not_trusted_is_not_tried_again(world: World) -> None:
    """Waiting does not make it right."""
    world.network.faults = ["untrusted"] * 9
    with pytest.raises(ServerUnreachable, match="certificate"):
        world.network.run(world.verbs().list())
    assert not world.network.waited


def test_no_key_goes_to_another_host(world: World) -> None:
    """A redirect is followed on the same server only, and not by what would change something twice."""
    verbs = world.verbs()
    world.network.run(verbs.list())
    elsewhere = ["https://evil.example/v1/fragments", "http://memory.example/v1/fragments", "//evil.example/",
                 "https://memory.example:444/", "https://memory.example@evil.example/"]  # fmt: skip
    for location in elsewhere:
        world.network.asked.clear()
        world.network.faults = [f"moved 307 {location}"]
        with pytest.raises(InvalidAnswer, match="not followed") as caught:
            world.network.run(verbs.list())
        assert not world.network.asked and "carma_" not in str(caught.value)
    world.network.faults = ["moved 308 /v1/fragments?limit=1"]
    world.network.run(verbs.list())
    assert world.network.asked[-1].url == f"{URL}/v1/fragments?limit=1"
    world.network.faults = ["moved 302 /v1/fragments"]
    with pytest.raises(InvalidAnswer):
        world.network.run(verbs.add("tea"))
    world.network.faults = ["moved 308 /v1/fragments"] * 9
    with pytest.raises(InvalidAnswer):
        world.network.run(verbs.list())


def test_the_magic_square_is_sent_and_checked(world: World) -> None:
    """Each request carries the square of its attempt; an answer with another one is refused."""
    verbs = world.verbs()
    world.network.run(verbs.list())
    sent = [send.headers["Carma-Square"] for send in world.network.asked]
    assert len(set(sent)) == len(sent) == 3
    wrong = Received(
        200, {"content-type": "application/json", "carma-square": "(8 1 6), (3 5 7), (4 9 2)"}, b"{}"
    )
    steps = verbs.list()
    next(steps)
    with pytest.raises(InvalidAnswer, match="magic square"):
        steps.send(wrong)


def test_a_static_key_is_sent_as_it_is(world: World) -> None:
    """One request for each, without a session, and no square."""
    verbs = world.verbs("static")
    world.network.run(verbs.list())
    (send,) = world.network.asked
    assert send.headers["Authorization"].startswith("Bearer carma_static_")
    assert "carma_static_" not in repr(send) and "Carma-Square" not in send.headers


def test_bodies_are_sealed_for_whoever_asks_for_it(world: World) -> None:
    """Neither text nor answer is readable on the way; an answer that comes open is refused."""
    world.network.sealing = SealingKey(SeededEntropy(5).bytes(96))
    verbs = world.verbs(server_key=world.network.sealing.public.text)
    world.network.faults = ["", "", "answer lost"]
    assert world.network.run(verbs.add("tea")).text == "tea" and world.stored == ["tea"]
    assert all(b"tea" not in send.body for send in world.network.asked)
    assert world.network.run(verbs.list()).items == ()
    world.network.sealing = None
    with pytest.raises(InvalidAnswer, match="open"):
        world.network.run(verbs.list())


@given(st.text(max_size=30), st.dictionaries(st.text(min_size=1), st.text()))
def test_what_is_sent_is_what_was_signed(user: str, where: dict[str, str]) -> None:
    """httpx sends path and query to the letter, whatever stands in them; and they say what was meant."""
    if any(0xD800 <= ord(c) < 0xE000 for c in user):
        return
    target = OPERATIONS["list"].target() + query_of(user=user, where=where)
    world = World()
    steps = world.client()._exchanger.exchange(OPERATIONS["list"], target)
    send = next(steps)
    assert isinstance(send, Send)
    request = request_of(HTTP, send, ClientSettings())
    assert request.url.raw_path.decode() == target
    assert dict(parse_qsl(urlsplit(target).query, keep_blank_values=True)).get("user") == user


def test_idempotency_keys_can_be_chosen(world: World) -> None:
    """The changes of a block have keys in order; what cannot be a header is refused."""
    verbs = world.verbs(settings=ClientSettings(batch_items=1))
    with repeating("mine"):
        world.network.run(verbs.add_many(["one", "two"]))
        world.network.run(verbs.add("three"))
    sent = [send.headers["idempotency-key"] for send in world.network.asked[2:]]
    assert sent == ["mine", "mine-2", "mine-3"]
    with repeating("mine"):
        world.network.run(verbs.add_many(["one", "two"]))
    assert world.stored == ["one", "two", "three"]
    for wrong in ("", "a b", "ü", "x" * 201):
        with pytest.raises(InvalidInput), repeating(wrong):
            pass
