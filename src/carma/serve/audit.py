"""The audit log from the side of the server: what it tells the log, what is copied when, what it shows.

A change is noted in the memory's own record, a key's fate in the key store's; here a thread copies both to
the log, a little later, and adds what has no record of its own: denials, alerts, counts of reads and of
forgeries. Only memories that were written to are asked, so that the others can sleep. What an account is
shown are its own leaves, each with the proof that it stands in the log.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress

from carma.access.audit.leaf import Leaf, parse_leaf
from carma.access.audit.leaves import leaf_for_block, leaf_for_denial, leaf_for_key_event
from carma.access.audit.note import Verifier
from carma.access.audit.trail import AuditTrail
from carma.access.blocks import Block
from carma.access.keys.authority import Alert, Principal
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.store import KeyStore
from carma.errors import AuditUnavailable, CarmaError, InvalidInput
from carma.memory.act_source import ActSource
from carma.serve.seat import Seat
from carma.serve.shapes import AuditEntry, AuditPage

__all__ = ["AuditBook"]

_EVERY_S = 1.0
_MOST_QUEUED = 10_000
_MOST_LOOKED_AT = 50_000
"""So many entries are looked at for one page; the cursor goes on behind them."""


class AuditBook:
    """The audit log of one server. Threads may share it. failed: told when leaves cannot be copied."""

    def __init__(
        self,
        trail: AuditTrail,
        keys: KeyStore,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._trail = trail
        self._failed = failed
        self._dirty: set[Seat] = set()
        self._marking = threading.Lock()
        self._queue: deque[Callable[[], Leaf | None]] = deque(maxlen=_MOST_QUEUED)
        self._copying = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        trail.follow(KeyEvents(keys, trail.key_of))

    # Being told

    def written(self, seat: Seat) -> None:
        """A memory was written to, or opened: it may have acts that wait."""
        with self._marking:
            self._dirty.add(seat)

    def read(self, account: str) -> None:
        """An account was read from."""
        self._trail.counts.read(account)

    def forged(self) -> None:
        """A request came without a right tag."""
        self._trail.counts.forgery()

    def denied(self, principal: Principal, operation: str, reason: str, request_id: str) -> None:
        """A request with a right key was refused; the first ones of a minute have leaves of their own."""
        if not self._trail.counts.denial(principal.account):
            return
        event, now_ms = self._trail.new_event(), self._trail.now_ms()

        def make() -> Leaf | None:
            key = self._trail.key_of(principal.account)
            if key is None:
                return None
            return leaf_for_denial(
                event, now_ms, operation, key, principal.account,
                fingerprint=principal.key, reason=reason, request_id=request_id,
            )  # fmt: skip

        self._queue.append(make)

    def alerted(self, alert: Alert) -> None:
        """Something about a true key that somebody should look at."""
        event, now_ms = self._trail.new_event(), self._trail.now_ms()
        what = f"keys.{alert.kind}"

        def make() -> Leaf:
            key = self._trail.key_of(alert.account)
            return leaf_for_key_event(event, now_ms, what, key, alert.account, fingerprint=alert.key)

        self._queue.append(make)

    def blocked(self, block: Block) -> None:
        """Somebody was blocked for a while."""
        event, now_ms = self._trail.new_event(), self._trail.now_ms()
        until_ms = None if block.until is None else int(block.until * 1000)

        def make() -> Leaf:
            return leaf_for_block(
                event, now_ms, "blocks.set", self._trail.operator,
                scope=block.scope, subject=block.subject, reason=block.reason, until_ms=until_ms,
            )  # fmt: skip

        self._queue.append(make)

    # Copying

    def start(self) -> None:
        """Copy what waits every second, from now on."""
        self._thread = threading.Thread(target=self._work, name="carma-audit", daemon=True)
        self._thread.start()

    def copy(self, account: str | None = None) -> None:
        """Copy everything that waits to the log; of memories only the account's, if one is named.

        Raises AuditUnavailable, AuditDamaged, and what a memory raises.
        """
        with self._copying, ExitStack() as borrowed:
            self._note_queued()
            with self._marking:
                dirty = {seat for seat in self._dirty if account in (None, seat.account.id)}
            names = []
            for seat in dirty:
                with suppress(CarmaError):
                    memory = borrowed.enter_context(seat.use(quiet=True))
                    source = ActSource(memory, seat.account.id, self._trail.key_of)
                    self._trail.follow(source)
                    names.append(source.name)
            # What is written from here on marks its seat again; what was written before is copied now.
            with self._marking:
                self._dirty -= dirty
            try:
                self._trail.sequence()
            except CarmaError:
                with self._marking:
                    self._dirty |= dirty
                raise
            finally:
                for name in names:
                    self._trail.forget(name)

    def _note_queued(self) -> None:
        """Store what has no record of its own; what cannot be stored waits on."""
        makers = [self._queue.popleft() for _ in range(len(self._queue))]
        try:
            leaves = [make() for make in makers]
            self._trail.note(*(leaf for leaf in leaves if leaf is not None))
        except CarmaError:
            self._queue.extendleft(reversed(makers))
            raise

    def close(self) -> None:
        """Copy once more and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(CarmaError):
            self.copy()
        self._trail.close()

    def _work(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self.copy()
            except Exception as error:
                # Whatever it is, the next second tries again: a log that nobody copies to grows stale.
                self._failed(error)

    # Showing

    def verifiers(self) -> tuple[Verifier, ...]:
        """The log's public keys."""
        return self._trail.log.signer.verifiers()

    def page(self, account: str, limit: int, cursor: str | None) -> AuditPage:
        """An account's own entries, the newest first. Raises AuditDamaged, AuditUnavailable, InvalidInput."""
        try:
            self.copy(account)
        except AuditUnavailable:
            raise
        except CarmaError:
            # What a source cannot tell keeps nobody from the entries that are there. A log that is damaged
            # says so itself when it is read.
            pass
        reader, checkpoint = self._trail.log.reader(), self._trail.log.checkpoint()
        stop = reader.size if cursor is None else min(_number(cursor), reader.size)
        key = self._trail.key_of(account)
        mine = f'"owner":"{key.owner(account)}"'.encode() if key is not None else None
        found: list[AuditEntry] = []
        least = max(stop - _MOST_LOOKED_AT, 0)
        while mine is not None and stop > least and len(found) < limit:
            start = max((stop - 1) // 256 * 256, least)
            for index, entry in reversed(list(reader.entries(start, stop))):
                stop = index
                if mine in entry:
                    leaf = parse_leaf(entry).to_dict()
                    proof = [base64.b64encode(each).decode() for each in reader.inclusion(index)]
                    found.append(AuditEntry(index=index, leaf=leaf, proof=tuple(proof)))
                    if len(found) == limit:
                        break
        more = str(stop) if stop > 0 and mine is not None else None
        return AuditPage(entries=tuple(found), cursor=more, size=reader.size, checkpoint=checkpoint.decode())


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise InvalidInput("The cursor is not one that this operation returned.")
    return int(cursor)
