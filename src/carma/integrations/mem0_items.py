"""How a memory of mem0 lies in CARMA, and the dictionaries that its callers expect.

    mem0        CARMA                          mem0              CARMA
    memory      text                           hash              digest (BLAKE3, not MD5)
    user_id     user                           created_at …      created …, as ISO 8601
    agent_id    agent                          expiration_date   expires: the end of that day, UTC
    run_id      session                        role, actor_id    metadata

Only fragments of the kind `memory` are seen, so a folder ingested into the same memory is neither listed nor
deleted by these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from carma.errors import InvalidInput
from carma.models import Fragment, Hit

__all__ = [
    "KIND", "SCOPES", "InvalidCall", "deleted", "described", "expiry", "found", "messages_of", "own_metadata",
    "scope_of", "told",
]  # fmt: skip

KIND: Final = "memory"
SCOPES: Final = {"user_id": "user", "agent_id": "agent", "run_id": "session"}
_SHOWN: Final = ("actor_id", "role")
_ONE_DAY: Final = timedelta(days=1)


class InvalidCall(InvalidInput, ValueError):
    """The call cannot be answered as it is made; also a ValueError, as mem0's callers expect."""


def scope_of(ids: Mapping[str, Any], *, needed: bool = True) -> dict[str, str]:
    """`user`, `agent` and `session` from mem0's ids. Raises InvalidCall: a bad id, or none where one is
    needed.
    """
    scope: dict[str, str] = {}
    for name, ours in SCOPES.items():
        value = ids.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not value.strip():
            raise InvalidCall(f"{name} must be a text that is not empty, not {value!r:.80}.")
        scope[ours] = value.strip()
    if needed and not scope:
        raise InvalidCall(
            "None of user_id, agent_id and run_id was given.", hint="Name whose memories are meant."
        )
    return scope


def messages_of(messages: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Text, role and speaker of each message that is remembered; those of the system are not.

    messages: a text, a message, or a list of messages with `role` and `content`. Raises InvalidCall.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    elif isinstance(messages, Mapping):
        messages = [messages]
    if not isinstance(messages, Iterable):
        raise InvalidCall(f"messages is a {type(messages).__name__}, not a text or a list of messages.")
    for number, message in enumerate(messages):
        if isinstance(message, str):
            message = {"role": "user", "content": message}
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InvalidCall(f"messages[{number}] is not a mapping with a role.")
        if message["role"] == "system":
            continue
        text = _content(message.get("content"), number)
        if text.strip():
            told = {"role": message["role"]}
            if isinstance(message.get("name"), str):
                told["actor_id"] = message["name"]
            yield text, told


def _content(content: Any, number: int) -> str:
    """The text of a message; of one in parts, its text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "\n".join(text for text in parts if isinstance(text, str))
    raise InvalidCall(f"messages[{number}] has no text as its content.")


def own_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata without the names that are scopes: free metadata must not move a memory to another owner."""
    return {name: value for name, value in (metadata or {}).items() if name not in SCOPES}


def expiry(day: Any) -> float | None:
    """The end of a day (a date, or YYYY-MM-DD) in UTC, seconds since the epoch. Raises InvalidCall."""
    if day is None:
        return None
    if isinstance(day, datetime):
        day = day.date()
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError as error:
            raise InvalidCall(f"expiration_date {day!r:.40} is not a date like 2027-01-31.") from error
    if not isinstance(day, date):
        raise InvalidCall(f"expiration_date is a {type(day).__name__}, not a date like 2027-01-31.")
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) + _ONE_DAY).timestamp()


def described(fragment: Fragment) -> dict[str, Any]:
    """A memory as `get` and `get_all` show it."""
    metadata = dict(fragment.metadata)
    out: dict[str, Any] = {
        "id": fragment.id,
        "memory": fragment.text,
        "hash": fragment.digest,
        "created_at": _iso(fragment.created),
        "updated_at": _iso(fragment.updated) if fragment.version > 1 else None,
        "state": fragment.state,
    }
    for name, ours in SCOPES.items():
        value = getattr(fragment, ours)
        if value is not None:
            out[name] = value
    for name in _SHOWN:
        if name in metadata:
            out[name] = metadata.pop(name)
    if fragment.expires is not None:
        out["expiration_date"] = (datetime.fromtimestamp(fragment.expires, UTC) - _ONE_DAY).date().isoformat()
    out["metadata"] = metadata or None
    if fragment.blank is not None:
        out["reason"] = fragment.blank.reason
    if fragment.repair is not None and fragment.repair.confidence is not None:
        out["confidence"] = fragment.repair.confidence
    return out


def found(hit: Hit) -> dict[str, Any]:
    """A memory as `search` shows it."""
    out = described(hit.fragment) | {"score": hit.score}
    if hit.parts is not None:
        out["score_details"] = hit.parts.to_dict()
    return out


def told(versions: list[Fragment]) -> list[dict[str, Any]]:
    """The versions of a memory as `history` shows them, oldest first."""
    out = []
    before: Fragment | None = None
    for each in versions:
        event = "DELETE" if each.deleted else "ADD" if before is None and each.version == 1 else "UPDATE"
        seen = each.metadata or (before.metadata if before else {})
        out.append(
            {
                "id": f"{each.id}-{each.version}",
                "memory_id": each.id,
                "old_memory": before.text if before is not None else None,
                "new_memory": None if each.deleted else each.text,
                "event": event,
                "created_at": _iso(versions[0].created),
                "updated_at": _iso(each.updated) if event != "ADD" else None,
                "is_deleted": each.deleted,
                "state": each.state,
                **{name: seen.get(name) for name in _SHOWN},
            }
        )
        before = each
    return out


def deleted(fragment: Fragment, scope: Mapping[str, str]) -> bool:
    """Whether `delete_all` for `scope` may delete this fragment: it is looked at again, one by one."""
    return fragment.kind == KIND and all(getattr(fragment, name) == value for name, value in scope.items())


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
