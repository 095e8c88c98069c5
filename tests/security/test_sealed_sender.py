"""A sealed request belongs to who sealed it: taken off the wire, it is of no use to anybody else's key."""

from __future__ import annotations

import json

import pytest

from carma.access.keys.text import parse_secret
from carma.access.sealed import SEALED_MEDIA, SealingKey, open_request, seal_request
from carma.errors import SealedDamaged
from carma.ports.clock import SystemEntropy

from .conftest import World

ENTROPY = SystemEntropy()
TEXT = "The spare key hangs behind the blue door."


def test_what_somebody_took_off_the_wire_is_not_stored_in_their_own_memory(world: World) -> None:
    """Whoever ends TLS on the way may have an account here too: sent with their key, it is refused, and so
    nothing of it can be read in their memory.
    """
    server = world.server
    adas, eves = server.key(world.ada), server.join("eve")[1]
    body = json.dumps({"text": TEXT}).encode()
    sealed, _ = seal_request(
        body, "application/json", server.household.sealing.public, "POST", "/v1/fragments",
        parse_secret(adas).fingerprint, ENTROPY,
    )  # fmt: skip
    headers = {"content-type": SEALED_MEDIA}
    ada, eve = server.client(adas), server.client(eves)
    stolen = eve.post("/v1/fragments", content=sealed, headers=headers)
    assert stolen.status_code == 400 and stolen.json()["title"] == "RequestRefused"
    assert eve.get("/v1/fragments").json()["items"] == []
    assert ada.post("/v1/fragments", content=sealed, headers=headers).status_code == 201


@pytest.mark.parametrize("other", ["method", "target", "sender"])
def test_a_seal_is_bound_to_all_that_it_is_sent_with(other: str) -> None:
    """With another method, target or sender it does not open, whoever has the private key."""
    key = SealingKey(ENTROPY.bytes(96))
    sent = {"method": "POST", "target": "/v1/fragments", "sender": "carma_static_aaaaaaaa_perm_rw"}
    sealed, _ = seal_request(b"{}", "application/json", key.public, entropy=ENTROPY, **sent)
    assert open_request(sealed, key, **sent).body == b"{}"
    with pytest.raises(SealedDamaged):
        open_request(sealed, key, **{**sent, other: sent[other] + "x"})
