"""The leaves that there are: one function for each kind of event, from what is known of it to its leaf.

Ids become tags here, under the owner's audit key; whatever is said in free text has no place to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import rfc8785

from carma.access.audit.auditkey import AuditKey
from carma.access.audit.leaf import MOST_LISTED, Leaf, Versions
from carma.models import Acted

__all__ = ["leaf_for_act", "leaf_for_block", "leaf_for_count", "leaf_for_denial", "leaf_for_key_event"]


def leaf_for_act(act: Acted, key: AuditKey | None, owner: str) -> Leaf:
    """The leaf of what was noted in a memory. owner: its account, where the act names none.

    key: the owner's; None if it was destroyed before the act could be copied: then the leaf says only that
    something was done, so that no event is missing.
    """
    counts = dict(act.counts)
    if act.kind == "change":
        counts["fragments"] = len(act.written) + len(act.ended)
    if key is None:
        return Leaf(
            event=act.event, time_ms=act.time_ms, kind=act.kind, operation=act.operation,
            words={"withheld": "shredded"}, numbers=counts,
        )  # fmt: skip
    tags = _tags(key, account=act.account, key=act.key, request=act.request_id)
    written, ended = _tagged(act.written, key), _tagged(act.ended, key)
    if max(len(written), len(ended)) > MOST_LISTED:
        # A list this long is committed to by the first half of a SHA-256.
        whole = rfc8785.dumps([[list(each) for each in versions] for versions in (written, ended)])
        tags["fragments_digest"] = sha256(whole).hexdigest()[:32]
        written, ended = written[:MOST_LISTED], ended[:MOST_LISTED]
    return Leaf(
        event=act.event, time_ms=act.time_ms, kind=act.kind, operation=act.operation, owner=key.owner(owner),
        tags=tags, numbers=counts, written=written, ended=ended,
    )  # fmt: skip


def leaf_for_key_event(
    event: str,
    time_ms: int,
    operation: str,
    key: AuditKey | None,
    account: str,
    *,
    fingerprint: str,
    permissions: str = "",
    successor: str | None = None,
    by: str | None = None,
    expires_ms: int | None = None,
) -> Leaf:
    """The leaf of something that happened to a key: `keys.create`, `keys.rotate`, `keys.revoke`, `keys.flag`.

    key: the account's audit key; None if it was shredded, then little is said. fingerprint, successor: of the
    key and of what follows it. permissions: letters, as `rw`. by: who did it, where that is somebody else.
    """
    if key is None:
        return Leaf(
            event=event, time_ms=time_ms, kind="key", operation=operation, words={"withheld": "shredded"}
        )
    return Leaf(
        event=event, time_ms=time_ms, kind="key", operation=operation, owner=key.owner(account),
        tags=_tags(key, account=account, key=fingerprint, successor=successor, by=by),
        words={"permissions": permissions} if permissions else {},
        numbers={} if expires_ms is None else {"expires": expires_ms},
    )  # fmt: skip


def leaf_for_block(
    event: str,
    time_ms: int,
    operation: str,
    key: AuditKey,
    *,
    scope: str,
    subject: str,
    reason: str,
    until_ms: int | None = None,
) -> Leaf:
    """The leaf of a block: `blocks.set`, `blocks.end`. key: the operator's.

    scope: a word, as `source`, `key`, `account`; subject: the network, fingerprint or account, which only its
    tag shows. reason: a word.
    """
    return Leaf(
        event=event, time_ms=time_ms, kind="block", operation=operation, tags=_tags(key, subject=subject),
        words={"scope": scope, "reason": reason},
        numbers={} if until_ms is None else {"until": until_ms},
    )  # fmt: skip


def leaf_for_denial(
    event: str,
    time_ms: int,
    operation: str,
    key: AuditKey,
    account: str,
    *,
    fingerprint: str,
    reason: str,
    request_id: str | None = None,
) -> Leaf:
    """The leaf of a request with a right key that was refused.

    operation: what it asked for. reason: a word.
    """
    return Leaf(
        event=event, time_ms=time_ms, kind="denial", operation=operation, owner=key.owner(account),
        tags=_tags(key, account=account, key=fingerprint, request=request_id), words={"reason": reason},
    )  # fmt: skip


def leaf_for_count(
    event: str, time_ms: int, kind: str, key: AuditKey | None, account: str | None, *, count: int, minute: int
) -> Leaf:
    """The leaf of what is only counted: "reads" and "denials" of an owner, or "forgeries" (then key and
    account are None).

    minute: minutes since the epoch.
    """
    owned = key is not None and account is not None
    return Leaf(
        event=event, time_ms=time_ms, kind=kind, operation=f"count.{kind}",
        owner=key.owner(account) if owned and key and account else None,
        numbers={"count": count, "minute": minute},
    )  # fmt: skip


def _tags(audit: AuditKey, /, **values: str | None) -> dict[str, str]:
    return {name: audit.tag(name, value) for name, value in values.items() if value is not None}


def _tagged(versions: Sequence[tuple[str, int]], key: AuditKey) -> Versions:
    return tuple((key.tag("fragment", id), version) for id, version in versions)
