"""Rules of retention: what may be kept how long, and what must be kept, in a file of JSON.

    {"format": "carma retention 1",
     "rules": [{"name": "chats", "older_than": "90d", "by": "updated", "where": {"kind": "chat"}},
               {"name": "over", "expired": true}],
     "holds": [{"name": "case-17", "where": {"case": 17}}]}

A rule names an age, or the fragments' own expiry, and a filter over metadata. A hold names a filter, and
nothing that it holds is removed, whatever the rules say. A lost fragment's metadata is not known: no rule
with a filter removes it, and every hold holds it. Rejected: a mark on the fragments themselves (who writes
them could take it off).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from carma.errors import InvalidInput
from carma.search.filters import Filter, parse
from carma.search.where import matches

__all__ = ["FILE", "Hold", "Rule", "Rules", "load_rules", "parse_rules"]

FILE = "retention.json"
"""The name of the rules in a data directory."""

_FORMAT = "carma retention 1"
_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_TOP = {"format", "rules", "holds"}
_MEMBERS = {"name", "older_than", "by", "expired", "where"}
_HOLD_MEMBERS = {"name", "where"}
_MOST_BYTES = 2**20
_OWN = ("id", "parent", "kind", "user", "agent", "session", "created", "updated", "expires")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one rule removes.

    older_than_s: age in seconds, by the time of `by`; None if `expired`: past the fragment's own expiry.
    where: a filter as `search` takes it.
    """

    name: str
    older_than_s: float | None = None
    by: Literal["created", "updated"] = "created"
    expired: bool = False
    where: Mapping[str, Any] = field(default_factory=dict)
    _filter: Filter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_filter", parse(self.where))

    def removes(self, value: Mapping[str, Any], above: Iterable[str], now: float) -> bool:
        """Whether a fragment is due. value: as an export writes it. above: ids of it and of what is above."""
        if self.expired:
            end = value["expires"]
            if end is None or end > now:
                return False
        elif self.older_than_s is None or value[self.by] > now - self.older_than_s:
            return False
        if not self.where:
            return True
        return value["state"] != "blank" and _matches(self._filter, value, above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What has to be kept. where: a filter as `search` takes it; an empty one holds everything."""

    name: str
    where: Mapping[str, Any] = field(default_factory=dict)
    _filter: Filter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_filter", parse(self.where))

    def keeps(self, value: Mapping[str, Any], above: Iterable[str]) -> bool:
        """Whether a fragment has to be kept; arguments as of `Rule.removes`."""
        return not self.where or value["state"] == "blank" or _matches(self._filter, value, above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules, the first that applies counts; and the holds, which go before all of them."""

    rules: tuple[Rule, ...] = ()
    holds: tuple[Hold, ...] = ()

    def rule_for(self, value: Mapping[str, Any], above: tuple[str, ...], now: float) -> Rule | None:
        """The first rule that removes a fragment, holds not asked."""
        return next((rule for rule in self.rules if rule.removes(value, above, now)), None)

    def hold_for(self, value: Mapping[str, Any], above: tuple[str, ...]) -> Hold | None:
        """The first hold that keeps a fragment."""
        return next((hold for hold in self.holds if hold.keeps(value, above)), None)


def load_rules(path: Path) -> Rules:
    """The rules in a file. Raises InvalidInput, InvalidFilter."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"The rules {path} cannot be read ({error.strerror}).") from error
    if len(data) > _MOST_BYTES:
        raise InvalidInput(f"The rules {path} are longer than {_MOST_BYTES:,} bytes.")
    return parse_rules(data)


def parse_rules(data: bytes) -> Rules:
    """Rules from JSON, as the head of this file shows them.

    Raises InvalidInput, InvalidFilter. A member that is not known is refused: it may be a limit that was
    mistyped.
    """
    try:
        value = json.loads(data)
        if value["format"] != _FORMAT:
            raise InvalidInput(f"The rules have the format {value['format']!r:.80}, not {_FORMAT!r}.")
        _refuse_unknown("The file", value, _TOP)
        found = Rules(
            rules=tuple(_rule(each) for each in value["rules"]),
            holds=tuple(_hold(each) for each in value.get("holds", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"These are no retention rules ({type(error).__name__}: {error}).") from error
    names = [*(rule.name for rule in found.rules), *(hold.name for hold in found.holds)]
    if len(set(names)) != len(names):
        raise InvalidInput("Two rules or holds have the same name.")
    return found


def _rule(value: Mapping[str, Any]) -> Rule:
    name = _name(value)
    _refuse_unknown(f"The rule {name}", value, _MEMBERS)
    by, expired, age = value.get("by", "created"), value.get("expired", False), value.get("older_than")
    if by not in ("created", "updated") or not isinstance(expired, bool):
        raise InvalidInput(f"The rule {name}: `by` is created or updated, `expired` is true or false.")
    if expired == (age is not None):
        raise InvalidInput(f"The rule {name} has either `older_than` or `expired`.")
    return Rule(
        name=name, older_than_s=_seconds(name, age) if age is not None else None, by=by, expired=expired,
        where=value.get("where", {}),
    )  # fmt: skip


def _hold(value: Mapping[str, Any]) -> Hold:
    name = _name(value)
    _refuse_unknown(f"The hold {name}", value, _HOLD_MEMBERS)
    # A hold on everything is written out as `{}`, so that a forgotten filter is no hold on everything.
    return Hold(name=name, where=value["where"])


def _name(value: Mapping[str, Any]) -> str:
    name = value["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r:.80} is no name of a rule: a-z 0-9 _ . - up to 40.")
    return name


def _refuse_unknown(what: str, value: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(value.keys() - known)
    if unknown:
        raise InvalidInput(f"{what} has an unknown member {unknown[0]!r:.80}.")


def _seconds(name: str, age: object) -> float:
    found = _AGE.fullmatch(age) if isinstance(age, str) else None
    if found is None or int(found[1]) == 0:
        raise InvalidInput(f"The rule {name}: `older_than` is like 90d (s, m, h, d, w), above 0.")
    return float(int(found[1]) * _SECONDS[found[2]])


def _matches(filter: Filter, value: Mapping[str, Any], above: Iterable[str]) -> bool:
    own = {name: value[name] for name in _OWN}
    own["source"] = value["source"]["path"] if value["source"] else None
    return matches(filter, value["metadata"], own, above)
