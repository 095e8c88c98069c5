"""One message of a chat export, whatever its layout calls the parts: who, what, when.

Known names: `speaker`, `author`, `name`, `from`, `sender`, `user`, `role` for who; `text`, `content`,
`value`, `body`, `message` for what (a string, or the list of typed parts of the OpenAI, Anthropic and
Telegram layouts); `time`, `timestamp`, `created_at`, `create_time`, `date`, `ts` for when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from carma.ingest.document import clean

__all__ = ["flat", "is_message", "said", "seconds", "speaker_of", "turn_metadata"]

_WHO = ("speaker", "author", "name", "from", "sender", "user", "role")
_SURELY_WHO = ("speaker", "author", "from", "sender", "role")
_WHAT = ("text", "content", "value", "body", "message")
_WHEN = ("time", "timestamp", "created_at", "create_time", "date", "ts", "datetime")
_KEPT = ("role", "dia_id", "id", "blip_caption")
_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_WRITTEN = re.compile(
    r"(\d{1,2}):(\d{2})\s*([ap])\.?m\.?,?\s+on\s+(\d{1,2})\s+([a-z]+),?\s+(\d{4})", re.IGNORECASE
)
_METADATA_CHARS = 1_000


def flat(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message whose parts lie one level deeper, under `message`, brought to one level."""
    inner = value.get("message")
    return {**value, **inner} if isinstance(inner, dict) else value


def is_message(value: object) -> bool:
    """Whether a JSON value is a message: an object that names a speaker and holds text.

    `name` and `user` name many other things too, so they count only beside a time, and `value` only beside
    `from`.
    """
    if not isinstance(value, dict):
        return False
    message = flat(value)
    sure = any(isinstance(message.get(key), str | dict) and message[key] for key in _SURELY_WHO)
    timed = any(message.get(key) for key in _WHEN)
    who = sure or (timed and any(isinstance(message.get(key), str) for key in ("name", "user")))
    what = any(isinstance(message.get(key), str | list | dict) for key in _WHAT if key != "value")
    return who and (what or (isinstance(message.get("value"), str) and "from" in message))


def speaker_of(message: Mapping[str, Any]) -> str:
    """The speaker's name, else the role."""
    for key in _WHO:
        who = message.get(key)
        if isinstance(who, dict):
            who = who.get("name") or who.get("role")
        if isinstance(who, str) and who.strip():
            return clean(who.strip())[:_METADATA_CHARS]
    return "unknown"


def said(message: Mapping[str, Any]) -> str:
    """What was said, with the caption of an image that was shown; empty if there is nothing to read."""
    parts = []
    for key in _WHAT:
        words = _words(message.get(key), 0)
        if words:
            parts.append(words)
            break
    caption = message.get("blip_caption")
    if isinstance(caption, str) and caption.strip():
        parts.append(f"[image: {caption.strip()}]")
    return clean(" ".join(parts))


def _words(content: object, depth: int) -> str:
    """The text in a message's content, which may be a string or nested, typed parts."""
    if isinstance(content, str):
        return content.strip()
    if depth > 8:
        return ""
    if isinstance(content, list):
        return "\n".join(words for part in content if (words := _words(part, depth + 1)))
    if isinstance(content, dict):
        for key in ("text", "parts", "content", "value"):
            if words := _words(content.get(key), depth + 1):
                return words
    return ""


def turn_metadata(message: Mapping[str, Any], speaker: str) -> dict[str, Any]:
    """What is kept beside the text: `speaker`; if given, `role`, `time`, `dia_id`, `id`, `blip_caption`."""
    metadata: dict[str, Any] = {"speaker": speaker}
    author = message.get("author")
    if isinstance(author, dict) and isinstance(author.get("role"), str):
        metadata["role"] = clean(author["role"])[:_METADATA_CHARS]
    for key in _KEPT:
        if (value := _scalar(message.get(key))) is not None:
            metadata[key] = value
    for key in _WHEN:
        if (value := _scalar(message.get(key))) is not None:
            metadata["time"] = value
            break
    return metadata


def _scalar(value: object) -> str | int | float | bool | None:
    if isinstance(value, str):
        return clean(value)[:_METADATA_CHARS]
    if isinstance(value, bool | float):
        return value if value == value and value not in (float("inf"), float("-inf")) else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)[:_METADATA_CHARS]
    return None


def seconds(value: object) -> float | None:
    """A time as seconds since the epoch: a number (s or ms), ISO 8601, or as in "1:56 pm on 8 May, 2023".

    A time without a zone is taken as UTC. None where it cannot be read.
    """
    try:
        if isinstance(value, str):
            return _from_text(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _from_number(float(value))
    except (ValueError, OverflowError):
        pass
    return None


def _from_number(number: float) -> float | None:
    if number > 1e11:
        number /= 1000.0
    return number if 0 < number < 1e11 else None


def _from_text(text: str) -> float | None:
    written = _WRITTEN.fullmatch(text)
    if written:
        hour, minute, half, day, month, year = written.groups()
        if not 1 <= int(hour) <= 12:
            return None
        hours = int(hour) % 12 + (12 if half.lower() == "p" else 0)
        number = _MONTHS.index(month.lower()) + 1
        return datetime(int(year), number, int(day), hours, int(minute), tzinfo=UTC).timestamp()
    if re.fullmatch(r"\d{9,16}(\.\d+)?", text):
        return _from_number(float(text))
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
