"""Every key that is made is kept and read by every server, so an account cannot make them without end."""

from __future__ import annotations

from .conftest import World


def test_an_account_gets_thirty_new_keys_at_once_and_then_one_a_minute(world: World) -> None:
    """Over it the answer is 429 and nothing is made; another account rotates as before."""
    busy, other = (world.server.join(name) for name in ("busy", "other"))
    with world.server.client(busy[1]) as client:
        answers = [client.post("/v1/keys/rotate", json={}) for _ in range(32)]
    assert [each.status_code for each in answers] == [200] * 30 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 10
    owned = [key for key in world.server.household.keys.keys().values() if key.owner == busy[0].id]
    assert len(owned) == 31
    with world.server.client(other[1]) as client:
        assert client.post("/v1/keys/rotate", json={}).status_code == 200
