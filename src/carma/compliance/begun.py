"""Erasures that were begun: what was known before anything was destroyed, kept until the certificate is out.

A journal of four copies in the data directory (`<data>/erasures`). Without it a killed erasure could not go
on, because the keys that would tell what belonged to whom are destroyed on the way. It holds names and
counts and no texts; when the certificate was handed over, it is written anew without the owner.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from carma.access.data import DataFolder
from carma.access.journal import Journal
from carma.ports.disk import Disk

__all__ = ["Begun", "Erasures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """One erasure. names: by which the owner may be asked for. facts: what is known of what they had.

    events: of the two leaves in the audit log. body: of the certificate, once everything is destroyed.
    """

    owner: str
    names: tuple[str, ...]
    account: dict[str, Any] | None
    memories: tuple[str, ...]
    facts: dict[str, Any]
    events: dict[str, str]
    begun_ms: int
    body: dict[str, Any] | None = field(default=None)


class Erasures:
    """The erasures of a data directory that are not over yet. Processes may share it."""

    def __init__(self, disk: Disk, folder: DataFolder) -> None:
        self._journal = Journal(disk, f"{folder.root}/erasures")
        self._known: dict[str, Begun] = {}

    def all(self) -> list[Begun]:
        """Every erasure that is not over. Raises what the journal raises."""
        records = self._journal.news()
        if self._journal.start_over:
            self._known = {}
        for record in records:
            begun = _begun(json.loads(record))
            self._known[begun.owner] = begun
        return list(self._known.values())

    def find(self, names: Iterable[str]) -> Begun | None:
        """The erasure of whoever has one of these names."""
        wanted = set(names)
        return next((each for each in self.all() if wanted & {each.owner, *each.names}), None)

    def keep(self, begun: Begun) -> Begun:
        """Keep what is known now, durably; what is known already of this owner if `begun` says less."""
        with self._journal.turn():
            known = self.find([begun.owner])
            if known is not None and (known.body is not None or begun.body is None):
                return known
            self._journal.append([_encoded(begun)])
            self.all()
            return begun

    def forget(self, owner: str) -> None:
        """Write the journal anew without an owner; nothing happens a second time."""
        with self._journal.turn():
            rest = [each for each in self.all() if each.owner != owner]
            if len(rest) != len(self._known):
                self._journal.rewrite([_encoded(each) for each in rest])
                self.all()

    def close(self) -> None:
        """Give the journal back."""
        self._journal.close()


def _encoded(begun: Begun) -> bytes:
    names = Begun.__slots__
    return json.dumps({name: getattr(begun, name) for name in names}, ensure_ascii=False).encode()


def _begun(value: dict[str, Any]) -> Begun:
    return Begun(**{**value, "names": tuple(value["names"]), "memories": tuple(value["memories"])})
