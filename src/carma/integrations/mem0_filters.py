"""mem0's filters as CARMA's: whose memories, and which of them.

    {"user_id": "ann", "AND": [{"topic": {"in": ["tea", "cups"]}}, {"stars": {"gte": 4}}]}

The ids become the scope where they stand at the top with a text, and conditions where they stand deeper. A
name that CARMA uses for a fragment's own field means the metadata of that name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from carma.integrations.mem0_items import KIND, SCOPES, InvalidCall, scope_of

__all__ = ["filters_of"]

_OWN: Final = {**SCOPES, "created_at": "created", "updated_at": "updated", "id": "id"}
_TAKEN: Final = frozenset(
    {"created", "updated", "expires", "kind", "user", "agent", "session", "source", "parent", "under"}
)
_CONNECTIVES: Final = frozenset({"AND", "OR", "NOT", "$and", "$or", "$not"})
_MISSING: Final = frozenset({"icontains"})


def filters_of(filters: Mapping[str, Any] | None, ids: Mapping[str, Any]) -> dict[str, Any]:
    """`user`, `agent`, `session` and `where` for `Memory.search` and `list`.

    filters: as mem0 takes them. ids: `user_id`, `agent_id`, `run_id` given beside them, as mem0 1 took them.
    Raises InvalidCall: not a mapping, no owner, or an operator that there is not.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise InvalidCall(f"filters is a {type(filters).__name__}, not a mapping.")
    rest = dict(filters or {})
    named = {name: value for name, value in ids.items() if value is not None}
    for name in SCOPES:
        if isinstance(rest.get(name), str):
            if named.setdefault(name, rest[name]) != rest[name]:
                raise InvalidCall(f"{name} is given twice, with two values.")
            del rest[name]
    scope = scope_of(named, needed=not any(name in rest for name in SCOPES))
    parts = [{"kind": KIND}]
    if rest:
        parts.append(_filter(rest))
    return {**scope, "where": {"and": parts}}


def _filter(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidCall(f"A filter is a mapping, not {value!r:.80}.")
    return {"and": [_entry(name, each) for name, each in value.items()]}


def _entry(name: Any, value: Any) -> dict[str, Any]:
    if not isinstance(name, str):
        raise InvalidCall(f"A name in a filter is a text, not {name!r:.80}.")
    if name in _CONNECTIVES:
        parts = value if isinstance(value, (list, tuple)) else [value]
        filters = [_filter(part) for part in parts]
        return {"not": filters} if name.lower().endswith("not") else {name.lower().lstrip("$"): filters}
    ours = _OWN.get(name) or (f"metadata.{name}" if name in _TAKEN else name)
    return {ours: _condition(name, value)}


def _condition(name: str, value: Any) -> Any:
    if value == "*":
        return {"exists": True}
    if isinstance(value, (list, tuple, set, frozenset)):
        return {"in": list(value)}
    if isinstance(value, Mapping) and _MISSING & value.keys():
        raise InvalidCall(f"{name}: there is no icontains.", hint="Use contains, or search for the words.")
    return value
