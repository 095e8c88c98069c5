"""The meter: what each account asked of this server since it was started. For `usage`, and later for bills.

Counts in memory only: what must survive is in the audit log. One writer, the event loop, so no lock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Meter", "Use"]


@dataclass(slots=True)
class Use:
    """What one account used. Sizes in bytes, bodies only."""

    requests: Counter[str] = field(default_factory=Counter)
    received_bytes: int = 0
    sent_bytes: int = 0


class Meter:
    """The use of every account. since: seconds since the epoch."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._uses: dict[str, Use] = {}

    def add(self, account: str, operation: str, received: int, sent: int) -> None:
        """One request was answered."""
        use = self._uses.get(account)
        if use is None:
            use = self._uses[account] = Use()
        use.requests[operation] += 1
        use.received_bytes += received
        use.sent_bytes += sent

    def of(self, account: str) -> Use:
        """What an account used."""
        return self._uses.get(account) or Use()

    def forget(self, account: str) -> None:
        """The account is gone."""
        self._uses.pop(account, None)
