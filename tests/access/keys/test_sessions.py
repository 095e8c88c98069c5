"""Each attempt is admitted exactly once: any order, restarts, clocks that jump, answers that are lost."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carma.access.keys.authority import DATE_BOUND_S, Authority
from carma.access.keys.sessions import SESSIONS_KEPT, WINDOW_BITS, Burnt, Sessions
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.errors import (
    NewSession,
    ReplayedAttempt,
    StaleRequest,
    Unauthorized,
)
from carma.testing import SimulatedClock

from .asking import NOW, Asking


def test_a_first_request_costs_two_refusals_and_then_none(authority: Authority, key: RootKey) -> None:
    """The nonce, the session, the request; after that every request is admitted at once."""
    client, answers = Asking(key), list[str]()
    for _ in range(6):
        head = client.attempt()
        try:
            admitted = authority.admit(head, NOW, "list")
            answers.append(f"{admitted.attempt}")
            assert admitted.principal == ("ada", key.fingerprint, "rw", key.name)
        except NewSession as refused:
            answers.append(f"{refused.session} {refused.tag_right} {refused.nonce == authority.nonce}")
            client.learn(refused)
    assert answers == ["None False True", "1 True True", "(1, 1)", "(1, 2)", "(1, 3)", "(1, 4)"]


def test_an_attempt_is_admitted_once(authority: Authority, client: Asking) -> None:
    """A second time it is refused, and not charged as a forgery."""
    head = client.attempt()
    authority.admit(head, NOW)
    for _ in range(2):
        with pytest.raises(ReplayedAttempt) as refused:
            authority.admit(head, NOW)
        assert refused.value.tag_right


def test_attempts_may_come_in_any_order(authority: Authority, client: Asking) -> None:
    """A thousand, shuffled, each twice: each is admitted exactly once."""
    heads = [client.attempt() for _ in range(1_000)] * 2
    random.Random(5).shuffle(heads)
    admitted: list[tuple[int, int] | None] = []
    for head in heads:
        with suppress(ReplayedAttempt):
            admitted.append(authority.admit(head, NOW).attempt)
    assert len(admitted) == 1_000 and set(admitted) == {(1, number) for number in range(2, 1_002)}


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3_000)), max_size=200),
    jumps=st.lists(st.integers(0, 2**32 - 1), max_size=5),
)
def test_the_window_admits_exactly_what_was_not_used(steps: list[tuple[int, int]], jumps: list[int]) -> None:
    """Against a plain set: never twice, and too late only what lies 1,024 or more below the newest."""
    sessions, used, newest = Sessions(), set[tuple[int, int]](), {1: 0, 2: 0, 3: 0}
    for tag in "abc":
        sessions.open(tag)
    for session, counter in [*steps, *((1, jump) for jump in jumps)]:
        burnt = sessions.burn(session, counter)
        if counter <= newest[session] - WINDOW_BITS:
            assert burnt is Burnt.TOO_LATE
        elif (session, counter) in used or counter == 0:
            assert burnt is Burnt.BEFORE
        else:
            assert burnt is Burnt.NOW
            used.add((session, counter))
            newest[session] = max(newest[session], counter)


def test_an_opening_is_accepted_once(authority: Authority, key: RootKey) -> None:
    """Whoever captured it gets the nonce, which is no secret, and no session."""
    client = Asking(key)
    with pytest.raises(NewSession) as first:
        authority.admit(client.attempt(), NOW)
    client.learn(first.value)
    opening = client.attempt()
    with pytest.raises(NewSession) as opened:
        authority.admit(opening, NOW)
    before = authority.state(key.name)
    with pytest.raises(NewSession) as again:
        authority.admit(opening, NOW)
    assert (opened.value.session, again.value.session) == (1, None)
    assert authority.state(key.name) == before


def test_the_newest_sessions_are_kept_and_older_ones_open_anew(authority: Authority, key: RootKey) -> None:
    """After 1,024 more sessions the first is gone; its client is served all the same."""
    first, others = Asking(key), [Asking(key) for _ in range(SESSIONS_KEPT)]
    first.ask(authority)
    stale = first.attempt()
    for other in others:
        other.ask(authority)
    with pytest.raises(NewSession) as refused:
        authority.admit(stale, NOW)
    assert refused.value.tag_right and refused.value.session is None
    assert first.ask(authority).attempt == (SESSIONS_KEPT + 2, 1)
    assert others[-1].ask(authority).attempt == (SESSIONS_KEPT + 1, 2)


def test_a_late_attempt_below_the_window_opens_a_new_session(authority: Authority, client: Asking) -> None:
    """It is told so, and the client goes on."""
    late = client.attempt()
    for _ in range(WINDOW_BITS + 1):
        authority.admit(client.attempt(), NOW)
    with pytest.raises(NewSession):
        authority.admit(late, NOW)
    assert client.ask(authority).attempt is not None


def test_two_agents_with_one_key_do_not_disturb_each_other(authority: Authority, key: RootKey) -> None:
    """Each has a session; their attempts may mix."""
    one, two = Asking(key), Asking(key)
    one.ask(authority)
    two.ask(authority)
    heads = [client.attempt() for _ in range(50) for client in (one, two)]
    random.Random(1).shuffle(heads)
    assert len({authority.admit(head, NOW).attempt for head in heads}) == 100


def test_nothing_captured_before_a_restart_is_admitted_after_it(store: KeyStore, key: RootKey) -> None:
    """Neither used nor unused attempts; the client opens a session and goes on."""
    before = Authority(store)
    client = Asking(key)
    client.ask(before)
    used, unused = client.attempt(), [client.attempt() for _ in range(20)]
    before.admit(used, NOW)
    after = Authority(store)
    assert after.nonce != before.nonce
    for head in (used, *unused, used._replace(nonce=after.nonce), unused[0]._replace(nonce=after.nonce)):
        with pytest.raises((NewSession, Unauthorized)) as refused:
            after.admit(head, NOW)
        assert not refused.value.tag_right
    assert client.ask(after).attempt == (1, 1)


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400, -3_600, 3_600, 10 * 365 * 86_400])
def test_a_server_clock_that_jumps_makes_nothing_valid_again(
    authority: Authority, client: Asking, jump: float
) -> None:
    """Used attempts stay used, however the clock stands; and when it is right again the owner is served."""
    used = [client.attempt() for _ in range(50)]
    for head in used:
        authority.admit(head, NOW)
    for now in (NOW + jump, NOW):
        for head in used:
            with pytest.raises(ReplayedAttempt):
                authority.admit(head, now)
    assert client.ask(authority).attempt is not None


def test_a_client_clock_that_is_wrong_is_told_so(authority: Authority, key: RootKey) -> None:
    """Up to 300 seconds either way are allowed; the attempt is burnt all the same."""
    for seconds, right in ((0, True), (-300, True), (300, True), (-301, False), (301, False), (1e9, False)):
        client = Asking(key, SimulatedClock(NOW))
        client.ask(authority)
        client.clock.jump(seconds)
        head = client.attempt()
        if right:
            authority.admit(head, NOW)
        else:
            with pytest.raises(StaleRequest) as refused:
                authority.admit(head, NOW)
            assert refused.value.tag_right
        with pytest.raises(ReplayedAttempt):
            authority.admit(head, NOW)


def test_a_captured_and_withheld_request_is_too_late(authority: Authority, client: Asking) -> None:
    """After five minutes it is refused although it was never used."""
    head = client.attempt()
    with pytest.raises(StaleRequest):
        authority.admit(head, NOW + DATE_BOUND_S + 1)


def test_lost_answers_do_not_stop_a_client(authority: Authority, client: Asking) -> None:
    """It moves on after every attempt, answered or not, at any rate of loss."""
    chance = random.Random(3)
    served = 0
    for _ in range(3_000):
        head = client.attempt()
        if chance.random() < 0.5:
            continue  # The request itself was lost.
        served += authority.admit(head, NOW).attempt is not None
    assert served > 1_300
    assert client.ask(authority).attempt is not None


def test_a_lost_answer_to_an_opening_costs_one_session(authority: Authority, key: RootKey) -> None:
    """The client opens another one."""
    client = Asking(key)
    with pytest.raises(NewSession) as refused:
        authority.admit(client.attempt(), NOW)
    client.learn(refused.value)
    for _ in range(3):
        with pytest.raises(NewSession):
            authority.admit(client.attempt(), NOW)
    assert client.ask(authority).attempt == (4, 1)


def test_an_old_answer_does_not_close_a_session_that_works(authority: Authority, key: RootKey) -> None:
    """Two threads share a signer; the slower one's refusal comes after the faster one has a session."""
    client = Asking(key)
    slow, fast = client.attempt(), client.attempt()
    with pytest.raises(NewSession) as late:
        authority.admit(slow, NOW)
    with pytest.raises(NewSession) as refused:
        authority.admit(fast, NOW)
    client.learn(refused.value, fast)
    assert client.ask(authority).attempt == (1, 1)
    assert client.learn(late.value, slow)
    assert authority.admit(client.attempt(), NOW).attempt == (1, 2)
