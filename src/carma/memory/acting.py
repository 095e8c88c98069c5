"""Acting: changes on somebody's behalf are noted with the change, and made once.

`acting(act)` holds for a block of code (a context variable, read when a write is submitted, because another
thread may carry it out). Each write in it gets one note more, in the same append and joined to it: what was
changed, for whom, and what the answer was. A request that comes again with its Idempotency-Key is refused
under the turn, where no other process can be in between.

A verb that writes many times (`ingest`, `import_`) or that changes something else than fragments is noted
when it begins; each of its writes has its own note, and the Idempotency-Key stands in one more, at its end.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from carma.errors import AuditUnavailable, InvalidInput, RequestRepeated
from carma.memory.ids import IdMaker
from carma.models import Act, Acted, Answered
from carma.store.acts import ACT, COPIED, DREAM, Noted, Versions, pack_act, pack_copied, unpack_act
from carma.store.commit import Prepare, View
from carma.store.entry import Draft, Entry
from carma.store.payload import unpack_map
from carma.store.record import NO_DIGEST, NO_ID, RecordKind
from carma.store.store import Store

__all__ = ["Actor", "Answer"]

Answer = Callable[[Sequence[Draft]], Versions]
"""Ids and versions that a verb's answer speaks of, from the drafts that it wrote."""

_OPERATION = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_LONGEST = 512
_LOOK_EVERY = 256
"""So many acts are noted before somebody counts again how many wait."""
_PAGE = 1_000
_WAITING = """
SELECT count(*) FROM acts WHERE kind = 'act'
AND seq > (SELECT coalesce(max(value), 0) FROM state WHERE key = 'copied')
"""
_ACTING: ContextVar[tuple[Actor, Act] | None] = ContextVar("carma_acting", default=None)


class Actor:
    """Writes to one memory, with notes while somebody acts. Safe to share between threads."""

    def __init__(self, store: Store, ids: IdMaker) -> None:
        self._store = store
        self._ids = ids
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._unseen = _LOOK_EVERY

    @contextmanager
    def acting(self, act: Act) -> Iterator[None]:
        """What is written to this memory within the block is written on behalf of `act`."""
        _check(act)
        token = _ACTING.set((self, act))
        try:
            yield
        finally:
            _ACTING.reset(token)

    def _act(self) -> Act | None:
        found = _ACTING.get()
        return found[1] if found is not None and found[0] is self else None

    # Writing

    def commit(self, prepare: Prepare, answer: Answer | None = None) -> Sequence[Entry]:
        """As `Store.commit`; while somebody acts, with the note that belongs to it.

        answer: what the request's answer speaks of, if that is not simply what was written.
        Raises RequestRepeated, AuditUnavailable, and what `Store.commit` raises.
        """
        act = self._act()
        if act is None:
            return self._store.commit(prepare)
        with self._once(act):
            return self._store.commit(self._noted(act, prepare, answer))[:-1]

    @contextmanager
    def long(self) -> Iterator[None]:
        """A verb within the block is one change, however often it writes. It is noted when it begins."""
        act = self._act()
        if act is None:
            yield
            return
        with self._once(act):
            if act.idempotency_key is not None:
                self._store.refresh()
                self._refuse_repeated(act)
            part = replace(act, idempotency_key=None, body_digest=None)
            self._store.commit(self._noted(part, _nothing, None))
            with self.acting(part):
                yield
            if act.idempotency_key is not None:
                self._store.commit(self._noted(act, _nothing, None))

    def _noted(self, act: Act, prepare: Prepare, answer: Answer | None) -> Prepare:
        """`prepare`, and the note of what it made as one draft more."""
        self._check_room()
        event = self._ids.next()

        def both(view: View) -> Sequence[Draft]:
            self._refuse_repeated(act)
            drafts = prepare(view)
            keyed = answer is not None and act.idempotency_key is not None
            note = Noted(
                event, act.operation, act.account, act.key, act.request_id, act.idempotency_key,
                act.body_digest, self._store.now_ms(),
                [(d.id, d.version) for d in drafts if d.kind == RecordKind.FRAGMENT],
                [(d.id, d.version) for d in drafts if d.kind == RecordKind.TOMBSTONE],
                answer(drafts) if keyed and answer is not None else None,
            )  # fmt: skip
            last = Draft(RecordKind.LEDGER, NO_ID, 0, pack_act(note), NO_DIGEST, None)
            return [*(draft._replace(joined=True) for draft in drafts), last]

        return both

    @contextmanager
    def _once(self, act: Act) -> Iterator[None]:
        """No other thread carries out the same request within the block. Raises RequestRepeated."""
        key = act.idempotency_key
        if key is None:
            yield
            return
        with self._lock:
            if key in self._running:
                raise RequestRepeated("A request with this Idempotency-Key is being carried out.")
            self._running.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(key)

    def _refuse_repeated(self, act: Act) -> None:
        answered = self.answered(act.idempotency_key) if act.idempotency_key is not None else None
        if answered is not None:
            raise RequestRepeated(
                "A request with this Idempotency-Key was carried out already.", answered=answered
            )

    def _check_room(self) -> None:
        """Raise AuditUnavailable if too many acts wait for the audit log."""
        self._unseen += 1
        most = self._store.settings.acts_waiting
        if self._unseen < min(_LOOK_EVERY, most):
            return
        waiting = self._store.registry.rows(_WAITING)[0][0] + self._store.pending()
        if waiting >= most:
            self._store.settle()
            waiting = self._store.registry.rows(_WAITING)[0][0]
        if waiting >= most:
            raise AuditUnavailable(
                f"{waiting:,} acts wait to be copied to the audit log; acts_waiting allows {most:,}."
            )
        self._unseen = 0

    # What was noted

    def answered(self, key: str) -> Answered | None:
        """What the request with an Idempotency-Key came to; None if there was none within
        `idempotency_hours`.
        """
        payload = self._store.note_of(key)
        if payload is None:
            return None
        note = unpack_act(unpack_map(payload)[ACT])
        hours = self._store.settings.idempotency_hours
        if note.time_ms < self._store.now_ms() - hours * 3_600_000:
            return None
        return Answered(
            operation=note.operation, body_digest=note.digest,
            ids=tuple(id.hex() for id, _ in note.answered),
            versions=tuple(version for _, version in note.answered),
            event=note.event.hex(), when=note.time_ms / 1000,
        )  # fmt: skip

    def acts(self, after: int) -> Iterator[Acted]:
        """Every act and dream that was noted after the write `after`, in order."""
        self._store.settle()
        sql = "SELECT seq, kind, event, time, note FROM acts WHERE seq > ? AND kind <> ? ORDER BY seq LIMIT ?"
        while rows := self._store.registry.rows(sql, (after, COPIED, _PAGE)):
            yield from (self._acted(*row) for row in rows)
            after = rows[-1][0]

    def _acted(self, seq: int, kind: str, event: bytes, time_ms: int, payload: bytes) -> Acted:
        note = unpack_map(payload)
        if kind == DREAM:
            return _dreamt(seq, event, time_ms, note["cycle"])
        act = unpack_act(note[ACT])
        return Acted(
            seq=seq, event=event.hex(), kind="change", operation=act.operation, account=act.account,
            key=act.key, request_id=act.request, time_ms=act.time_ms,
            written=tuple((id.hex(), version) for id, version in act.written),
            ended=tuple((id.hex(), version) for id, version in act.ended),
        )  # fmt: skip

    def copied(self, upto: int) -> None:
        """Note that the audit log has every act up to the write `upto`, so that rests may leave them out."""
        self._store.settle()
        if (self._store.registry.state("copied") or 0) < upto:
            self._store.append(RecordKind.LEDGER, pack_copied(upto))
        self._unseen = _LOOK_EVERY


def _dreamt(seq: int, event: bytes, time_ms: int, report: dict[str, object]) -> Acted:
    status = str(report.get("status", "running"))
    names = ("cycle", "damaged", "exact", "reconstructed", "files_repaired")
    counts = json.loads(json.dumps({name: report.get(name, 0) for name in names}))
    return Acted(
        seq=seq, event=event.hex(), kind="dream", operation=f"dream.{status}", account=None, time_ms=time_ms,
        counts={name: int(value) for name, value in counts.items()},
    )  # fmt: skip


def _nothing(view: View) -> Sequence[Draft]:
    return ()


def _check(act: Act) -> None:
    """Raise InvalidInput if an act cannot be noted."""
    if not _OPERATION.fullmatch(act.operation):
        raise InvalidInput(f"{act.operation!r} is no name of an operation: a-z, then a-z 0-9 _ . - up to 64.")
    for name in ("account", "key", "request_id", "idempotency_key"):
        value = getattr(act, name)
        if value is None and name != "account":
            continue
        if not isinstance(value, str) or not value or len(value) > _LONGEST:
            raise InvalidInput(f"The {name} of an act must be a text of 1 to {_LONGEST} characters.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"The {name} of an act has a lone surrogate.") from error
    if act.body_digest is not None and len(act.body_digest) != 32:
        raise InvalidInput("The body_digest of an act must be 32 bytes (SHA-256).")
