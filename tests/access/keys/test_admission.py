"""What a key may do and until when; static keys, and root keys that were sent."""

from __future__ import annotations

from hashlib import sha256

import pytest

from carma.access.keys.authority import Alert, Authority
from carma.access.keys.record import StoredKey
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey, StaticKey, attempt_header
from carma.access.keys.wire import RequestHead, Tagger, place_of, signed_text
from carma.errors import (
    AccountNotFound,
    CarmaError,
    Forbidden,
    KeyExpired,
    KeyMalformed,
    KeyRevoked,
    ReplayedAttempt,
    RootKeyExposed,
    StaticKeyRefused,
    Unauthorized,
)
from carma.testing import SimulatedDisk

from .asking import NOW, Asking, head_of, key_store, root_key


def static_head(key: StaticKey, secure: bool = True) -> RequestHead:
    return RequestHead("GET", "/v1/tree", f"Bearer {key.text}", secure=secure)


def test_permission_is_asked_for_after_the_attempt_is_burnt(authority: Authority, client: Asking) -> None:
    """A refusal costs the attempt too: whatever comes of it, it was one attempt."""
    for operation in ("rotate_key", "scan", "no-such-operation"):
        head = client.attempt()
        with pytest.raises(Forbidden):
            authority.admit(head, NOW, operation)
        with pytest.raises(ReplayedAttempt):
            authority.admit(head, NOW, operation)


def test_another_account_is_not_found(authority: Authority, client: Asking) -> None:
    """The same answer whether it exists; one's own may be named."""
    authority.admit(client.attempt()._replace(account="ada"), NOW)
    for account in ("bob", "nobody", "ADA"):
        with pytest.raises(AccountNotFound) as refused:
            authority.admit(client.attempt()._replace(account=account), NOW)
        assert account not in str(refused.value.problem())


def test_a_revoked_key_is_refused_at_the_next_request(
    disk: SimulatedDisk, authority: Authority, client: Asking, key: RootKey
) -> None:
    """Another process revoked it; attempts that were signed before are refused too."""
    held = client.attempt()
    key_store(disk).revoke(key.name)
    for head in (held, client.attempt()):
        with pytest.raises(KeyRevoked) as refused:
            authority.admit(head, NOW)
        assert refused.value.tag_right


def test_a_new_key_works_at_once(disk: SimulatedDisk, authority: Authority) -> None:
    """Another process made it."""
    assert Asking(root_key(key_store(disk), "bob")).ask(authority).principal.account == "bob"


def test_a_key_expires(store: KeyStore) -> None:
    """At its second, not before; new sessions are refused too."""
    key, _ = store.create("ada", "rw", expires=NOW + 60)
    authority = Authority(store)
    client = Asking(key)
    client.ask(authority, NOW + 59)
    for _ in range(2):
        with pytest.raises(KeyExpired):
            authority.admit(client.attempt(), NOW + 60)
    with pytest.raises(KeyExpired):
        Asking(key).ask(authority, NOW + 60)


def test_sessions_outlive_changes_of_other_keys(
    store: KeyStore, authority: Authority, client: Asking
) -> None:
    """A key that is made or revoked meanwhile does not make used attempts valid again."""
    used = client.attempt()
    authority.admit(used, NOW)
    store.revoke(root_key(store, "bob").name)
    with pytest.raises(ReplayedAttempt):
        authority.admit(used, NOW)


def test_both_keys_work_in_grace_and_first_uses_are_told(
    store: KeyStore, authority: Authority, client: Asking, key: RootKey, alerts: list[Alert]
) -> None:
    """The successor's first use ends nothing; the old key ends by time or by name."""
    new, _ = store.rotate(key.name, grace_s=100)
    assert client.ask(authority).principal.name == key.name
    successor = Asking(new)
    for _ in range(3):
        assert successor.ask(authority).principal.name == new.name
    assert client.ask(authority).principal.name == key.name
    kinds = [(alert.kind, alert.account, alert.key) for alert in alerts]
    assert kinds.count(("successor-first-used", "ada", new.fingerprint)) == 1
    assert ("grace-key-used", "ada", key.fingerprint) in kinds
    assert store.get(new.name).used
    with pytest.raises(KeyExpired):
        authority.admit(client.attempt(), NOW + 100)
    store.revoke(key.name)
    with pytest.raises(KeyRevoked):
        authority.admit(client.attempt(), NOW)


def test_used_attempts_stay_used_through_a_rotation(
    store: KeyStore, authority: Authority, client: Asking, key: RootKey
) -> None:
    """The old key's window is kept while it is in grace."""
    used = client.attempt()
    authority.admit(used, NOW)
    store.rotate(key.name)
    with pytest.raises(ReplayedAttempt):
        authority.admit(used, NOW)


def test_a_static_key_is_admitted_where_nobody_listens(store: KeyStore) -> None:
    """On loopback and under TLS, any number of times, with its permissions and until it ends."""
    key, _ = store.create("ada", "r", kind="static", expires=NOW + 60)
    assert isinstance(key, StaticKey)
    authority = Authority(store)
    for _ in range(2):
        admitted = authority.admit(static_head(key), NOW, "get")
        assert admitted.attempt is None
        assert admitted.principal == ("ada", key.fingerprint, "r", key.name)
    with pytest.raises(Forbidden):
        authority.admit(static_head(key), NOW, "add")
    with pytest.raises(AccountNotFound):
        authority.admit(static_head(key)._replace(account="bob"), NOW)
    with pytest.raises(KeyExpired):
        authority.admit(static_head(key), NOW + 60)
    with pytest.raises(StaticKeyRefused):
        authority.admit(static_head(key, secure=False), NOW)
    with pytest.raises(StaticKeyRefused):
        Authority(store, static_keys=False).admit(static_head(key), NOW)
    store.revoke(key.name)
    with pytest.raises(KeyRevoked):
        authority.admit(static_head(key), NOW)


def test_a_static_key_that_is_not_ours_is_refused(authority: Authority, key: RootKey) -> None:
    """Also with the name of a key that exists."""
    other, _ = key_store(SimulatedDisk()).create("ada", "r", kind="static")
    assert isinstance(other, StaticKey)
    with pytest.raises(Unauthorized):
        authority.admit(static_head(other), NOW)


def test_what_is_stored_of_a_static_key_signs_nothing(store: KeyStore) -> None:
    """Whoever reads the key store has its SHA-256; an attempt signed with that is a forgery."""
    key, stored = store.create("ada", "rw", kind="static")
    authority = Authority(store)
    header = attempt_header(key.name, "rw", 5)
    text = signed_text(header, place_of("carma", authority.nonce), 0, "GET", "/", "", "", str(int(NOW)))
    head = RequestHead(
        "GET", "/", f"Carma {header}{Tagger(stored.secret).tag(text)}", authority.nonce, str(int(NOW))
    )
    with pytest.raises(Unauthorized) as refused:
        authority.admit(head, NOW)
    assert type(refused.value) is Unauthorized


@pytest.mark.parametrize("scheme", ["Bearer", "Carma", "bearer", "CARMA"])
def test_a_root_key_that_is_sent_is_refused_and_told(
    store: KeyStore, authority: Authority, client: Asking, key: RootKey, alerts: list[Alert], scheme: str
) -> None:
    """Nobody but its owner can raise the alarm; the key itself goes on working."""
    stranger = root_key(key_store(SimulatedDisk()))
    for sent in (key, stranger):
        with pytest.raises(RootKeyExposed):
            authority.admit(RequestHead("GET", "/", f"{scheme} {sent.text}", secure=True), NOW)
    assert alerts == [Alert("root-key-exposed", "ada", key.fingerprint)]
    assert client.ask(authority).attempt is not None


@pytest.mark.parametrize(
    ("authorization", "kind"),
    [
        ("", Unauthorized), ("Carma", KeyMalformed), ("Carma ", KeyMalformed), ("Basic YTpi", KeyMalformed),
        ("Bearer nonsense", KeyMalformed), ("Carma " + "x" * 1_000_000, KeyMalformed),
        ("Carma carma_" + "é" * 80, KeyMalformed), ("carma_", KeyMalformed), ("\x00", KeyMalformed),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_clear_error(
    authority: Authority, authorization: str, kind: type[CarmaError]
) -> None:
    """And nothing else happens."""
    with pytest.raises(kind) as refused:
        authority.admit(RequestHead("GET", "/", authorization, authority.nonce, "1", secure=True), NOW)
    assert type(refused.value) is kind


def test_signing_covers_the_digest_of_the_body(authority: Authority, client: Asking) -> None:
    """What `sign` gives has the Content-Digest of RFC 9530 and the Idempotency-Key that was there."""
    body = b'{"text": "remember"}'
    headers = client.signer.sign("POST", "/v1/fragments", {"idempotency-key": "k-1"}, sha256(body).digest())
    head = head_of(headers, "POST", "/v1/fragments", idempotency_key="k-1")
    assert head.content_digest.startswith("sha-256=:")
    assert authority.admit(head, NOW, "add").principal.account == "ada"


def test_a_stored_key_shows_no_secret(store: KeyStore, key: RootKey) -> None:
    """Not even the wrapped one."""
    stored = store.get(key.name)
    assert isinstance(stored, StoredKey)
    assert "secret=" not in repr(stored)
