"""Retention in a server: the rules of the data directory, applied to every seat on its round.

The rules are `retention.json` in the data directory; without the file nothing is removed. It is read anew
when it has changed. Rules that cannot be read remove nothing and are reported in the log: a limit that was
mistyped must not be taken for another one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from carma.compliance.retention import candidates, carry_out, plan
from carma.compliance.rules import FILE, Rules, load_rules
from carma.errors import CarmaError
from carma.memory.memory import Memory
from carma.ports.clock import Clock
from carma.serve.log import Log
from carma.serve.seat import Seat

__all__ = ["Retention"]


class Retention:
    """Keeps seats to the rules. Used by one thread, that of the rounds.

    folder: the data directory. written: told a seat from which something was removed. going: whether to go on
    behind a batch.
    """

    def __init__(
        self,
        folder: Path,
        log: Log,
        clock: Clock,
        written: Callable[[Seat], None] = lambda seat: None,
        going: Callable[[], bool] = lambda: True,
    ) -> None:
        self._path = folder / FILE
        self._log = log
        self._clock = clock
        self._written = written
        self._going = going
        self._seen: tuple[int, int] | None = None
        self._rules: Rules | None = None

    def apply(self, seat: Seat, memory: Memory) -> None:
        """Remove what is due from the memory of a seat, and purge it. Errors go to the log."""
        rules = self._read()
        if rules is None or not rules.rules:
            return
        try:
            planned = plan(rules, candidates(memory), self._clock.now())
            done = carry_out(
                memory, planned, account=seat.account.id, after_batch=lambda deleted: self._going()
            )
        except CarmaError as error:
            self._log.error("retention-failed", seat=seat.account.seat, error=error.code)
            return
        if done.deleted or done.purged:
            self._written(seat)
            self._log.info(
                "retained", seat=seat.account.seat, deleted=done.deleted, purged=done.purged,
                on_hold=sum(planned.kept.values()), finished=done.finished,
            )  # fmt: skip

    def _read(self) -> Rules | None:
        """The rules as they are now; None if there are none, or none that can be read."""
        try:
            status = self._path.stat()
        except OSError:
            self._seen = self._rules = None
            return None
        seen = (status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._seen, self._rules = seen, None
            try:
                self._rules = load_rules(self._path)
            except CarmaError as error:
                self._log.error("retention-rules", error=error.code, detail=error.message)
        return self._rules
