"""One word for what a store did with one damaged bit.

Pure: the truth, what a process answered and how it ended go in. The worst thing that was seen counts, so a
store that hands out a wrong text in one call and raises in another is silently wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.damage.trials import OUT_OF_MEMORY, Ended

__all__ = ["VERDICTS", "Judged", "judge"]

VERDICTS = (
    "correct",
    "repaired on read",
    "reconstructed, flagged",
    "flagged blank",
    "exception naming the record",
    "exception",
    "silently wrong",
    "lost everything",
    "hang",
    "process crash",
)
"""Best first. *Correct*: every text by id, in the listing and in the searches is right, and none is missing.
*Lost everything*: the store opens, says nothing, and is empty."""
NAMES_AT_MOST = 5
"""Errors that name more records than this do not say which one is damaged."""
LOG_SHOWN = 500
"""Characters of a trial's log that are kept where a store is empty without an error."""
HELD_BACK = ("blank", "reconstructed")


@dataclass(frozen=True, slots=True)
class Judged:
    """verdict: of `VERDICTS`. readable: records that came back right by id.

    wrong, missing: ids, without an error.
    searches_changed: no error, no flag, and a search answers otherwise than on the undamaged store.
    named: ids that the store's own errors, blanks or complaints name.
    """

    verdict: str
    readable: int = 0
    wrong: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    searches_changed: bool = False
    named: tuple[str, ...] = ()
    why: str = ""


def judge(truth: Mapping[str, str], ended: Ended, searches: list[Any] | None = None) -> Judged:
    """truth: text by id. searches: what `found` was on the undamaged store."""
    if ended.hung:
        return Judged("hang", why="no answer within the time limit")
    if ended.answer is None:
        what = f"signal {ended.signal}" if ended.signal else f"exit {ended.exit_code}"
        what = "out of memory" if ended.exit_code == OUT_OF_MEMORY else what
        return Judged("process crash", why=f"{what}: {_last(ended.log)}")
    seen = ended.answer
    read, listed = seen["read"] or [], seen["listed"] or []
    rows = [*read, *listed, *(row for search in seen["found"] if search for row in search[0])]
    wrong = {row[0] for row in rows if row[2] not in HELD_BACK and truth.get(row[0]) != row[1]}
    missing = truth.keys() - {row[0] for row in read} - set(seen["failed"])
    if seen["listed"] is not None:
        missing |= truth.keys() - {row[0] for row in listed}
    twice = {identity for identity, times in Counter(row[0] for row in listed).items() if times > 1}
    errors = seen["errors"]
    named = _named(truth, [error["message"] for error in errors])
    states = {row[2] for row in rows}
    held = {row[0] for row in rows if row[2] in HELD_BACK}
    if not read and not listed and not seen["failed"] and seen["listed"] is not None:
        verdict = "lost everything"
    elif wrong or missing or twice:
        verdict = "silently wrong"
    elif errors:
        verdict = "exception naming the record" if named else "exception"
    elif "blank" in states:
        verdict = "flagged blank"
    elif "reconstructed" in states:
        verdict = "reconstructed, flagged"
    else:
        verdict = "repaired on read" if "repaired" in states else "correct"
    pairs = zip(seen["found"], searches or seen["found"], strict=False)
    unlike = [found for found, usual in pairs if found and not found[1] and _texts(found) != _texts(usual)]
    return Judged(
        verdict=verdict,
        readable=sum(truth.get(row[0]) == row[1] for row in read),
        wrong=tuple(sorted(wrong | twice)),
        missing=tuple(sorted(missing)),
        searches_changed=bool(unlike) and not errors,
        named=tuple(sorted({*named, *held, *_named(truth, seen["complaints"])})),
        why="; ".join(f"{e['at']}: {e['type']}: {e['message'][:160]}" for e in errors[:2])
        or (ended.log.strip()[-LOG_SHOWN:] if verdict == "lost everything" else ""),
    )


def _texts(found: Any) -> list[Any]:
    return [row[:2] for row in found[0]]


def _named(truth: Mapping[str, str], messages: Iterable[str]) -> set[str]:
    """Ids that the messages contain, with or without dashes; none if they are too many to say anything."""
    text = "\n".join(messages).replace("-", "").lower()
    found = {identity for identity in re.findall(r"(?=([0-9a-f]{32}))", text) if identity in truth}
    return found if len(found) <= NAMES_AT_MOST else set()


def _last(log: str) -> str:
    lines = [line.strip() for line in log.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
