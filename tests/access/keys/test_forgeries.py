"""Forgeries change nothing, the owner is never locked out, and the tag covers all that decides."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.keys.authority import Alert, Authority
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey, attempt_header
from carma.access.keys.wire import RequestHead, place_of, signed_text
from carma.errors import (
    KeyMalformed,
    NewSession,
    Unauthorized,
)
from carma.testing import SimulatedDisk

from .asking import NOW, Asking, key_store, root_key


def test_50_000_forgeries_change_nothing_and_the_owner_is_served(
    authority: Authority, client: Asking, key: RootKey, alerts: list[Alert]
) -> None:
    """Wrong tags of every kind: random, of captured attempts, ahead of the owner, in other sessions."""
    captured = client.attempt()
    authority.admit(captured, NOW)
    before = authority.state(key.name)
    chance = random.Random(7)
    refused = 0
    for turn in range(50_000):
        tag = f"{chance.getrandbits(128):032x}"
        session, counter = chance.choice(
            ((1, 3), (1, turn + 3), (0, turn), (2, 1), (2**31, 5), (1, 2**32 - 1))
        )
        kind = turn % 4
        if kind == 0:
            header = attempt_header(key.name, "rw", session << 32 | counter)
            head = captured._replace(authorization=f"Carma {header}{tag}")
        elif kind == 1:
            head = captured._replace(authorization=captured.authorization[:-32] + tag)
        elif kind == 2:
            head = captured._replace(target=f"/v1/fragments?limit={turn + 4}")
        else:
            header = attempt_header(key.name, "rwha", 1 << 32 | counter)
            head = captured._replace(authorization=f"Carma {header}{captured.authorization[-32:]}")
        try:
            authority.admit(head, NOW)
        except Unauthorized as error:
            refused += not error.tag_right
    assert refused == 50_000
    assert authority.state(key.name) == before
    assert not alerts
    assert client.ask(authority).attempt == (1, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"}, {"target": "/v1/fragments?limit=4"}, {"target": "/v1/fragments"},
        {"date": str(int(NOW) + 1)}, {"content_digest": "sha-256=:" + "A" * 43 + "=:"},
        {"idempotency_key": "other"}, {"nonce": "0" * 32}, {"nonce": ""}, {"date": ""},
    ],
)  # fmt: skip
def test_the_tag_covers_what_decides(authority: Authority, client: Asking, change: dict[str, str]) -> None:
    """Any header that is changed on the way makes it a forgery; the attempt itself is still good."""
    head = client.attempt()
    with pytest.raises(Unauthorized) as refused:
        authority.admit(head._replace(**change), NOW)
    assert not refused.value.tag_right
    authority.admit(head, NOW)


@pytest.mark.parametrize("part", ["_pi_", "_perm_r", "_meta_"])
def test_the_tag_covers_the_attempt_keys_own_text(authority: Authority, client: Asking, part: str) -> None:
    """Place, permissions and number cannot be exchanged."""
    head = client.attempt()
    at = head.authorization.index(part) + len(part)
    other = {"0": "1", "w": "h"}.get(head.authorization[at], "0")
    changed = head.authorization[:at] + other + head.authorization[at + 1 :]
    with pytest.raises((Unauthorized, KeyMalformed)):
        authority.admit(head._replace(authorization=changed), NOW)
    authority.admit(head, NOW)


@settings(max_examples=200, deadline=None)
@given(one=st.tuples(*[st.text(max_size=6)] * 6), two=st.tuples(*[st.text(max_size=6)] * 6))
def test_no_two_requests_have_the_same_signed_text(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    """Fields cannot be shifted into each other."""
    texts = [signed_text(a, place_of("carma", "n"), 1, b, c, d, e, f) for a, b, c, d, e, f in (one, two)]
    assert (texts[0] == texts[1]) == (one == two)


def test_an_attempt_for_another_audience_is_not_admitted(store: KeyStore, key: RootKey) -> None:
    """Also with the same nonce: a server that relays requests to another gains nothing."""
    authority = Authority(store, audience="memory.example")
    client = Asking(key)
    with pytest.raises(NewSession) as refused:
        authority.admit(client.attempt(), NOW)
    client.learn(refused.value)
    with pytest.raises(Unauthorized):
        authority.admit(client.attempt(), NOW)


def test_an_unknown_key_costs_the_same_work(store: KeyStore, authority: Authority, key: RootKey) -> None:
    """Known or not, one tag is computed and compared; the errors are equal."""
    hashed: list[int] = []

    class Counting:
        """An HMAC that tells how much it was given."""

        def __init__(self, begun: HMAC) -> None:
            self.begun = begun

        def update(self, data: bytes) -> None:
            hashed.append(len(data))
            self.begun.update(data)

        def finalize(self) -> bytes:
            return self.begun.finalize()

    for known in (authority._known[key.name], authority._nobody):
        fresh = known.tagger.fresh
        known.fresh = lambda fresh=fresh: Counting(fresh())  # type: ignore[assignment]
    said = []
    for name in (key.name, "aaaaaaaa"):
        header = attempt_header(name, "rw", 1 << 32 | 1)
        head = RequestHead("GET", "/", f"Carma {header}{'0' * 32}", authority.nonce, str(int(NOW)))
        with pytest.raises(Unauthorized) as refused:
            authority.admit(head, NOW)
        said.append(refused.value.problem())
    assert len(hashed) == 2 and hashed[0] == hashed[1] > 100
    assert said[0] == said[1]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_header_is_answered_by_a_typed_error(data: st.DataObject) -> None:
    """Truncated, oversized, altered or made up: nothing is admitted, nothing breaks, nothing moves."""
    authority, client, key, before = WORLD
    head = client.attempt()
    which = data.draw(
        st.sampled_from(["authorization", "nonce", "date", "content_digest", "target", "method"])
    )
    value = getattr(head, which)
    at = data.draw(st.integers(0, len(value)))
    new = value[:at] + data.draw(st.text(max_size=8)) + value[at + data.draw(st.integers(0, 8)) :]
    if new == value:
        return
    with pytest.raises((Unauthorized, KeyMalformed)):
        authority.admit(head._replace(**{which: new}), NOW)
    assert authority.state(key.name) == before


def _world() -> tuple[Authority, Asking, RootKey, tuple[object, ...]]:
    store = key_store(SimulatedDisk())
    key = root_key(store)
    authority, client = Authority(store), Asking(key)
    client.ask(authority)
    return authority, client, key, authority.state(key.name)


WORLD = _world()
