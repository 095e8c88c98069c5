"""An opening that was captured opens no second session, also when its own session is long gone."""

from __future__ import annotations

from carma.access.keys.sessions import OPENINGS_KEPT, SESSIONS_KEPT, Burnt, Sessions


def test_an_opening_is_refused_after_its_session_was_pushed_out() -> None:
    """Whoever captured many of them could else send them in turn, each opening a session and pushing out one
    that the owner uses.
    """
    sessions = Sessions()
    tags = [f"{number:032x}" for number in range(SESSIONS_KEPT + 100)]
    numbers = [sessions.open(tag) for tag in tags]
    assert numbers == list(range(1, SESSIONS_KEPT + 101))
    before = sessions.state()
    assert [sessions.open(tag) for tag in tags] == [None] * len(tags)
    assert sessions.state() == before
    assert sessions.burn(SESSIONS_KEPT + 100, 1) is Burnt.NOW
    assert sessions.burn(100, 1) is Burnt.TOO_LATE


def test_what_is_remembered_of_openings_is_bounded() -> None:
    """The newest are kept; the oldest give way."""
    sessions = Sessions()
    for number in range(OPENINGS_KEPT + 1):
        assert sessions.open(f"{number:032x}") == number + 1
    assert sessions.open(f"{1:032x}") is None
    assert sessions.open(f"{0:032x}") == OPENINGS_KEPT + 2, "forgotten: its date is what refuses it"
    assert len(sessions._opened) == OPENINGS_KEPT
