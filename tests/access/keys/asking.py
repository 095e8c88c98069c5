"""A client that asks an authority as over HTTP: it signs, learns from answers, and repeats."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from carma.access.journal import Journal
from carma.access.keys.authority import Admitted, Authority
from carma.access.keys.signer import Signer
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.access.keys.wire import (
    AUTHORIZATION,
    CONTENT_DIGEST,
    DATE,
    IDEMPOTENCY_KEY,
    NONCE,
    SESSION,
    RequestHead,
)
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import NewSession
from carma.ports.disk import Disk
from carma.testing import SimulatedClock

FOLDER = "/data/keys"
KEK = KeyEncryptionKey(bytes(range(32)))
NOW = SimulatedClock().now()
MOST_TRIES = 4


def key_store(disk: Disk, *, kek: KeyEncryptionKey = KEK, clock: SimulatedClock | None = None) -> KeyStore:
    """The key store on a disk, as a process sees it that has just come."""
    clock = clock or SimulatedClock()
    return KeyStore(Journal(disk, FOLDER, clock=clock), kek, clock=clock)


def root_key(store: KeyStore, owner: str = "ada", permissions: str = "rw") -> RootKey:
    """A new root key."""
    key, _ = store.create(owner, permissions)
    assert isinstance(key, RootKey)
    return key


def head_of(
    headers: Mapping[str, str], method: str = "GET", target: str = "/v1/fragments?limit=3", **more: object
) -> RequestHead:
    """What a server reads of a request with these headers."""
    get = headers.get
    head = RequestHead(
        method, target, get(AUTHORIZATION, ""), get(NONCE, ""), get(DATE, ""), get(CONTENT_DIGEST, ""),
        get(IDEMPOTENCY_KEY, ""),
    )  # fmt: skip
    return head._replace(**more)


class Asking:
    """One client of one authority."""

    def __init__(self, key: RootKey | str, clock: SimulatedClock | None = None) -> None:
        self.clock = clock or SimulatedClock()
        self.signer = Signer(key, clock=self.clock)

    def attempt(
        self, method: str = "GET", target: str = "/v1/fragments?limit=3", body: bytes = b""
    ) -> RequestHead:
        """A new attempt for a request, not sent."""
        digest = sha256(body).digest() if body else None
        return head_of(self.signer.sign(method, target, {}, digest), method, target)

    def ask(self, authority: Authority, now: float = NOW, operation: str = "list") -> Admitted:
        """Send a request, as often as the client would. Raises what the authority raises in the end."""
        for _ in range(MOST_TRIES):
            head = self.attempt()
            try:
                return authority.admit(head, now, operation)
            except NewSession as refused:
                if not self.learn(refused, head):
                    raise
        raise AssertionError("no session could be opened")

    def learn(self, refused: NewSession, head: RequestHead | None = None) -> bool:
        """Take in an answer 401 as it would come over HTTP."""
        answer = {NONCE.lower(): refused.nonce}
        if refused.session is not None:
            answer[SESSION.lower()] = str(refused.session)
        sent = None if head is None else {AUTHORIZATION: head.authorization, NONCE: head.nonce}
        return self.signer.learn(401, answer, sent)
