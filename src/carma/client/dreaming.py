"""The verbs about dreams and the account: start a dream and follow it, rotate the key, usage, audit.

A dream is followed by its event stream. A stream that breaks off is taken up behind the last event that was
seen; the dream itself goes on whether anybody follows it or not.
"""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from carma.client.asking import Asking
from carma.client.bodies import given, query_of
from carma.client.events import EventReader
from carma.client.exchange import More, Received, Steps, Stop, Wait
from carma.client.operations import OPERATIONS
from carma.client.wire import read
from carma.errors import InvalidAnswer, InvalidInput, NotRemote, ServerUnreachable
from carma.reports import DreamReport

__all__ = ["DreamVerbs", "NewKey", "Progress"]

Progress = Callable[[int, int, str], None]
"""Told how much is done, of how much, and what is being done."""

_STREAM = "text/event-stream"
_AGAIN_S = 1.0
_ID = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A new root key. key: secret, shown this once. old_works_until: seconds since the epoch, or None."""

    key: str = field(repr=False)
    fingerprint: str
    permissions: str
    old_fingerprint: str
    old_works_until: float | None = None


class DreamVerbs(Asking):
    """What heals, and what is about the account."""

    def dream(
        self,
        *,
        budget_s: float | None = None,
        dry_run: bool = False,
        exact: bool = True,
        sources: Sequence[str | os.PathLike[str]] = (),
        model: Any = None,
        progress: Progress | None = None,
        in_process: bool = False,
        cancelled: Callable[[], bool] | None = None,
    ) -> Steps[DreamReport]:
        """As `Memory.dream`, on the server. Sources, a model and being cancelled are matters of the machine
        where the memory lies. Raises NotRemote for those.
        """
        local = {"sources": bool(sources), "model": model is not None, "in_process": in_process}
        local["cancelled"] = cancelled is not None
        named = [name for name, used in local.items() if used]
        if named:
            raise NotRemote(f"A dream on a server takes no {', '.join(named)}.")
        order = given(budget_s=budget_s, dry_run=dry_run or None) | ({} if exact else {"exact": False})
        answer = yield from self._ask("dream", body=order)
        return (yield from self.show_dream(self._number(answer, "cycle"), wait=True, progress=progress))

    def show_dream(
        self, cycle: int, *, wait: bool = False, progress: Progress | None = None
    ) -> Steps[DreamReport]:
        """As `Memory.show_dream`. wait: until it is over. progress: told meanwhile."""
        if isinstance(cycle, bool) or not isinstance(cycle, int):
            raise InvalidInput(f"{cycle!r:.80} is not the number of a dream; they count from 1.")
        if wait or progress is not None:
            yield from self._follow(cycle, progress)  # The events end with the report, but for its steps.
        return read(DreamReport, (yield from self._ask("show_dream", {"cycle": cycle})))

    def dreams(self, limit: int = 20, *, steps: bool = False) -> Steps[builtins.list[DreamReport]]:
        """As `Memory.dreams`."""
        answer = yield from self._ask("dreams", query=query_of(limit=limit, steps=steps or None))
        found = answer.get("dreams")
        if not isinstance(found, builtins.list):
            raise InvalidAnswer("The answer has no list of dreams.")
        return [read(DreamReport, each, f"dreams[{at}]") for at, each in enumerate(found)]

    def _follow(self, cycle: int, progress: Progress | None) -> Steps[None]:
        """Wait until a dream is over, and tell meanwhile how far it is."""
        if self._exchanger.server_key is not None:  # Events are not sealed.
            yield from self._watch(cycle, progress)
        else:
            yield from self._listen(cycle, progress)

    def _watch(self, cycle: int, progress: Progress | None) -> Steps[None]:
        while True:
            answer = yield from self._ask("show_dream", {"cycle": cycle})
            if answer.get("status") not in ("pending", "running"):
                return
            if answer.get("progress") is not None:
                _tell(answer["progress"], progress)
            yield Wait(_AGAIN_S)

    def _listen(self, cycle: int, progress: Progress | None) -> Steps[None]:
        last, silent = "", 0
        while silent < self._settings.tries:
            headers = {"accept": _STREAM} | ({"last-event-id": last} if last else {})
            operation = OPERATIONS["show_dream"]
            answer = yield from self._exchanger.exchange(
                operation, operation.target(cycle=cycle), headers, stream=True
            )
            if not answer.headers.get("content-type", "").startswith(_STREAM):
                raise InvalidAnswer("The server did not answer with events.")
            before = last
            reader = EventReader()
            while True:
                piece = yield More()
                if not isinstance(piece, Received) or not piece.body:
                    break  # The stream ended, or broke off.
                for event in reader.feed(piece.body):
                    last = event.id if _ID.fullmatch(event.id) else last
                    if event.kind == "report":
                        yield Stop()
                        return
                    if event.kind == "progress":
                        _tell(event.json(), progress)
            yield Stop()
            silent = 0 if last != before else silent + 1
            yield Wait(min(_AGAIN_S, self._settings.wait_most_s))
        raise ServerUnreachable(
            f"The events of dream {cycle} broke off {silent} times.",
            hint="The dream goes on without being followed; look with show_dream.",
        )

    # The account

    def rotate_key(self, *, grace_s: float | None = None) -> Steps[NewKey]:
        """A new root key in the place of this client's, which uses it from now on. Needs admin.

        grace_s: how long the old one still works; the server's usual time if None. Keep the new one: it is
        shown this once.
        """
        return read(NewKey, (yield from self._ask("rotate_key", body=given(grace_s=grace_s))))

    def usage(self) -> Steps[dict[str, Any]]:
        """What the account uses: its memory as `Memory.stats` says it, requests, bytes and limits."""
        return (yield from self._ask("usage"))

    def audit(self, *, limit: int = 100, cursor: str | None = None) -> Steps[dict[str, Any]]:
        """The account's own leaves of the audit log, the newest first: `entries`, `cursor`, `size`."""
        return (yield from self._ask("audit", query=query_of(limit=limit, cursor=cursor)))


def _tell(value: Any, progress: Progress | None) -> None:
    if progress is None:
        return
    try:
        told = int(value["done"]), int(value["total"]), str(value["what"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidAnswer("The progress of the dream has no done, total and what.") from error
    progress(*told)
