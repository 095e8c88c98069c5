"""The server's side: who is admitted.

An attempt is checked from the headers alone. Its tag is computed and compared whatever the name is; a key
that is not known costs the same work as one that is. Only a true tag changes anything: it burns the attempt,
and then always, whether the request ends with 200, 403, 429 or 500. A wrong tag changes nothing for the
owner; the caller charges it to the source (`Unauthorized.tag_right`).

The nonce is new at each start, so nothing that was captured before is right after it, here or in another
process. Time is only asked for Carma-Date, which bounds how late a captured and withheld request may arrive;
a clock that jumps makes nothing valid again.

Revocation: the key store's `mark` is read at most a millisecond before each decision, and whoever changes a
key waits a millisecond before it says that it is done (`book.LEASE_S`). So when `revoke` has returned, in
whatever process, no server admits the key any more. Rejected: a cache with a lifetime that nobody waits for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from time import monotonic
from typing import Final, Literal, NamedTuple

from carma.access.keys.book import LEASE_S
from carma.access.keys.permissions import NEEDS, check_permission
from carma.access.keys.record import StoredKey
from carma.access.keys.sessions import BURNT_NOW, Burnt, Sessions
from carma.access.keys.store import KeyStore
from carma.access.keys.text import COUNTER_BITS, MAX_KEY_CHARS, RootKey, StaticKey, parse_secret
from carma.access.keys.wire import (
    AUDIENCE,
    NONCE_LETTERS,
    TAG_BYTES,
    RequestHead,
    Tagger,
    place_of,
    tag_key,
)
from carma.errors import (
    AccountNotFound,
    CarmaError,
    KeyExpired,
    KeyMalformed,
    KeyRevoked,
    NewSession,
    ReplayedAttempt,
    RootKeyExposed,
    StaleRequest,
    StaticKeyRefused,
    Unauthorized,
)
from carma.ports.clock import Entropy, SystemEntropy

__all__ = ["DATE_BOUND_S", "Admitted", "Alert", "Authority", "Principal"]

DATE_BOUND_S: Final = 300
# Looser than `text.ATTEMPT`, and faster: what is not covered by a right tag is refused anyway.
_SENT = re.compile(
    "Carma carma_([a-z2-7]{8})_pi_[0-9]{6}_perm_([rwha]{1,4})_meta_([0-9]{1,20})_quantum_([0-9a-f]{32})"
).fullmatch
_COUNTER = (1 << COUNTER_BITS) - 1
_DATE_DIGITS = 12
_NOTE_AGAIN_S = 60.0
_TELL_AGAIN_S = 60.0
_UNAUTHORIZED = "The request shows no key that opens anything here."

AlertKind = Literal["root-key-exposed", "successor-first-used", "grace-key-used"]


class Principal(NamedTuple):
    """Who asks. account: whose memory it is. key: the fingerprint. permissions: letters. name: the key's."""

    account: str
    key: str
    permissions: str
    name: str


class Admitted(NamedTuple):
    """A request that may go on. attempt: (session, number), None for a static key."""

    principal: Principal
    attempt: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should look at; a true key was involved each time."""

    kind: AlertKind
    account: str
    key: str


_admitted: Callable[[tuple[object, ...]], Admitted] = partial(tuple.__new__, Admitted)
"""`Admitted`, without the function that checks its arguments."""


class _Known:
    """A key, made ready to be checked. check: a root key's tag key, or a static key's SHA-256."""

    __slots__ = (
        "attention", "burn", "check", "fresh", "key", "principal", "sessions", "tagger", "told_until",
        "until",
    )  # fmt: skip

    def __init__(self, key: StoredKey, principal: Principal, check: bytes, tagger: Tagger) -> None:
        self.key = key
        self.principal = principal
        self.check = check
        self.tagger = tagger
        self.fresh = tagger.fresh
        self.keep(Sessions())
        self.until = float("-inf") if key.state == "revoked" else key.until()
        self.attention = False
        self.told_until = float("-inf")

    def keep(self, sessions: Sessions) -> None:
        """Go on with the sessions that this key has had."""
        self.sessions = sessions
        self.burn = sessions.burn


class Authority:
    """Admits requests. One in each server process; threads share it.

    audience: the server's name, which clients must have been told if it is not the usual one. static_keys:
    whether static keys are accepted at all. alert: is told what somebody should look at. later: runs
    what may wait for another process; at once if it is not given, which an event loop cannot afford.
    Raises what the key store raises.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        audience: str = AUDIENCE,
        static_keys: bool = True,
        alert: Callable[[Alert], None] | None = None,
        later: Callable[[Callable[[], None]], None] = lambda work: work(),
        entropy: Entropy | None = None,
    ) -> None:
        entropy = entropy or SystemEntropy()
        self.nonce = entropy.bytes(NONCE_LETTERS // 2).hex()
        self._store = store
        self._place = place_of(audience, self.nonce)
        self._static_keys = static_keys
        self._alert = alert or (lambda alert: None)
        self._later = later
        self._lock = threading.Lock()
        self._refreshing = threading.RLock()
        self._mark: bytes | None = None
        self._look_again_at = float("-inf")
        self._note_again_at = float("-inf")
        self._date: tuple[str, float] = ("", float("-inf"))
        self._known: dict[str, _Known] = {}
        # It stands for every key that is not known: its tag costs the same and is never right. Static keys
        # have its tagger too: what is stored of them must sign nothing.
        self._nobody = _nobody(entropy.bytes(32))
        self._refresh()

    def admit(self, head: RequestHead, now: float, operation: str | None = None) -> Admitted:
        """Who sent a request, if it may go on. The body is still to be compared with `wire.check_body`.

        now: seconds since the epoch. operation: if given, the key must have the permission it needs.

        Raises NewSession (with the nonce, and after an opening the session's number), ReplayedAttempt,
        Unauthorized and its other kinds, KeyMalformed, Forbidden, AccountNotFound (the request names another
        account than the key's), and what the key store raises.
        """
        moment = monotonic()
        if moment >= self._look_again_at:
            self._look(moment)
        # Every step counts here: 150,000 requests a second are asked for. So it is one piece.
        method, target, authorization, nonce, date, digest, idempotency, account, _ = head
        match = _SENT(authorization)
        if match is None:
            return self._other(head, now, operation)
        name, permissions, digits, tag = match.groups()
        nobody = self._nobody
        known = self._known.get(name, nobody)
        number = int(digits)
        session = number >> COUNTER_BITS
        header, shown = authorization[6:-32], str(session)
        begun = known.fresh()
        try:
            # This is `wire.signed_text` and `Tagger.tag`.
            begun.update(
                f"carma/1 {len(header)}:{header}{self._place}{len(shown)}:{shown}{len(method)}:{method}"
                f"{len(target)}:{target}{len(digest)}:{digest}{len(idempotency)}:{idempotency}"
                f"{len(date)}:{date}".encode("latin-1")
            )
        except UnicodeEncodeError:
            raise KeyMalformed("The request has letters that no header may have.") from None
        right = compare_digest(begun.finalize()[:TAG_BYTES].hex(), tag)
        if nonce != self.nonce:
            raise NewSession("There is no session yet.", nonce=self.nonce)
        principal = known.principal
        if not right or known is nobody or permissions != principal.permissions:
            raise Unauthorized(_UNAUTHORIZED)
        if not session:
            raise self._opened(known, tag, date, now)
        counter = number & _COUNTER
        with self._lock:
            burnt = known.burn(session, counter)
        if burnt is not BURNT_NOW:
            raise self._not_burnt(burnt)
        if now >= known.until:
            raise _ended(known.key)
        # Thousands of requests carry the same second: it is read once.
        dated = self._date
        if date != dated[0]:
            self._date = dated = (date, _moment(date))
        if not -DATE_BOUND_S <= dated[1] - now <= DATE_BOUND_S:
            raise _stale()
        if known.attention:
            self._look_at(known)
        if account and account != principal.account:
            raise AccountNotFound("There is no such account.")
        if operation is not None and NEEDS.get(operation, "?") not in permissions:
            check_permission(permissions, operation)
        return _admitted((principal, (session, counter)))

    def state(self, name: str) -> tuple[object, ...]:
        """All that is remembered of a key's attempts, comparable: forgeries change nothing of it."""
        with self._lock:
            return self._known[name].sessions.state()

    # Attempts

    def _opened(self, known: _Known, tag: str, date: str, now: float) -> Unauthorized:
        """What answers a true opening: the number of the new session, if it comes for the first time."""
        if now >= known.until:
            return _ended(known.key)
        if not -DATE_BOUND_S <= _moment(date) - now <= DATE_BOUND_S:
            return _stale()
        with self._lock:
            session = known.sessions.open(tag)
        refused = NewSession("A session is open; send the request in it.", nonce=self.nonce, session=session)
        refused.tag_right = True
        return refused

    def _not_burnt(self, burnt: Burnt) -> Unauthorized:
        refused: Unauthorized = (
            ReplayedAttempt("This attempt key was used before.")
            if burnt is Burnt.BEFORE
            else NewSession("The session is over.", nonce=self.nonce)
        )
        refused.tag_right = True
        return refused

    def _look_at(self, known: _Known) -> None:
        """The first use of a successor, or a use of the key whose place was taken."""
        key = known.key
        if key.state == "grace":
            known.attention = False
            self._alert(Alert("grace-key-used", key.owner, known.principal.key))
            return
        if monotonic() >= self._note_again_at:
            known.attention = False
            self._later(partial(self._note_use, known))

    def _note_use(self, known: _Known) -> None:
        """Note the first use of a successor. May wait for another process that changes keys."""
        key = known.key
        try:
            first = self._store.note_use(key.name)
        except CarmaError:
            # A full disk must not shut the owner out: a later use is noted.
            self._note_again_at = monotonic() + _NOTE_AGAIN_S
            known.attention = True
            return
        if first:
            self._alert(Alert("successor-first-used", key.owner, known.principal.key))

    # Everything else

    def _other(self, head: RequestHead, now: float, operation: str | None) -> Admitted:
        """Static keys, root keys that should never have been sent, and nonsense."""
        scheme, _, text = head.authorization[: MAX_KEY_CHARS + 10].partition(" ")
        scheme = scheme.lower()
        if not head.authorization:
            raise Unauthorized("The request carries no key.")
        if scheme not in ("carma", "bearer"):
            raise KeyMalformed("The Authorization header is neither Carma nor Bearer.")
        key = parse_secret(text)
        if isinstance(key, RootKey):
            raise self._exposed(key)
        if scheme != "bearer":
            raise KeyMalformed("A static key is sent as a bearer token.")
        return self._static(head, key, now, operation)

    def _static(self, head: RequestHead, key: StaticKey, now: float, operation: str | None) -> Admitted:
        if not self._static_keys or not head.secure:
            raise StaticKeyRefused("Static keys are not accepted on this connection.")
        known = self._known.get(key.name, self._nobody)
        right = compare_digest(known.check, key.digest)
        if not right or known.key.kind != "static":
            raise Unauthorized(_UNAUTHORIZED)
        if now >= known.until:
            raise _ended(known.key)
        if known.attention:
            self._look_at(known)
        if head.account and head.account != known.principal.account:
            raise AccountNotFound("There is no such account.")
        if operation is not None:
            check_permission(known.principal.permissions, operation)
        return Admitted(known.principal, None)

    def _exposed(self, key: RootKey) -> RootKeyExposed:
        """A root key was sent. If it is a true one, somebody has to know, for it should be rotated."""
        known = self._known.get(key.name, self._nobody)
        right = compare_digest(known.check, tag_key(key.secret))
        moment = monotonic()
        if right and known.key.kind == "root" and moment >= known.told_until:
            # Once a minute: whoever has the key must not be able to fill the audit log with it.
            known.told_until = moment + _TELL_AGAIN_S
            self._alert(Alert("root-key-exposed", known.key.owner, known.principal.key))
        return RootKeyExposed("A root key is never sent; attempts are signed with it. It was refused.")

    # The keys

    def _look(self, moment: float) -> None:
        """See whether any process changed a key. moment: of the monotonic clock, from before the look."""
        if self._store.mark() != self._mark:
            self._refresh()
        # Set last: until the keys are taken over, other threads must not rely on them.
        self._look_again_at = moment + LEASE_S

    def _refresh(self) -> None:
        """Take over what changed in the key store; sessions of keys that stay are kept."""
        with self._refreshing:
            mark = self._store.mark()
            if mark == self._mark:
                return
            keys = self._store.keys()
            successors = {key.successor for key in keys.values() if key.state == "grace"}
            known = {}
            for name, key in keys.items():
                before = self._known.get(name)
                if before is not None and before.key.id != key.id:
                    before = None  # Another key, which got the name of one that is gone.
                if before is not None and before.key == key:
                    known[name] = before
                    continue
                known[name] = one = self._ready(key, before)
                one.attention = key.state == "grace" or (name in successors and not key.used)
            self._known, self._mark = known, mark

    def _ready(self, key: StoredKey, before: _Known | None) -> _Known:
        principal = Principal(key.owner, self._store.fingerprint(key), key.permissions, key.name)
        if before is not None:
            known = _Known(key, principal, before.check, before.tagger)
            known.keep(before.sessions)
            return known
        if key.kind == "static":
            return _Known(key, principal, key.secret, self._nobody.tagger)
        check = tag_key(self._store.unwrap(key))
        return _Known(key, principal, check, Tagger(check))


def _nobody(secret: bytes) -> _Known:
    key = StoredKey(name="", kind="root", id=b"", owner="", permissions="", created=0.0, state="revoked")
    return _Known(key, Principal("", "", "", ""), secret, Tagger(secret))


def _ended(key: StoredKey) -> Unauthorized:
    if key.state == "revoked":
        return KeyRevoked("This key was revoked.")
    return KeyExpired("The time of this key is over.")


def _moment(date: str) -> float:
    """Carma-Date in seconds since the epoch; minus infinity if it is none."""
    return int(date) if len(date) <= _DATE_DIGITS and date.isascii() and date.isdigit() else float("-inf")


def _stale() -> StaleRequest:
    return StaleRequest(f"Carma-Date lies more than {DATE_BOUND_S} seconds from the server's clock.")
