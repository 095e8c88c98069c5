"""What a language model may say: one text and nothing else. Everything else is refused, with a typed reason.

An answer is only ever text. Nothing in it is carried out, looked up, or taken for a statement about itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from carma.errors import ModelError

__all__ = ["accepted"]

_THOUGHT: Final = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_REFUSAL: Final = re.compile(
    r"(?:(?:i['’]m|i am) sorry,? but i (?:can|am|do|was|have)"
    r"|sorry,? (?:but )?i (?:can['’]?t|cannot|am unable|don['’]t have)"
    r"|i (?:can['’]?t|cannot|can not|won['’]t|am unable to|am not able to|['’]m unable to|['’]m not able to)"
    r" (?:help|assist|comply|provide|reconstruct|recover|restore|determine|fulfil|do that)"
    r"|i (?:do not|don['’]t) have (?:enough|sufficient) (?:information|context)"
    r"|(?:as|i['’]m|i am) an? (?:ai|artificial intelligence|large language model|language model)\b"
    r"|(?:there is|there['’]s) (?:not enough|insufficient) (?:information|context))",
    re.IGNORECASE,
)
_SPACE: Final = re.compile(r"\s+")
_ODD_SHARE: Final = 0.02
_SHORT_TEXT: Final = 24
"""Of a text shorter than this an answer may hold all of it by chance ("Yes.")."""


def accepted(answer: object, given: Sequence[str], longest: int) -> str:
    """The answer as text, trimmed. given: the texts of the request. longest: in characters.

    Raises ModelError with the reason.
    """
    if not isinstance(answer, str):
        raise ModelError("the model answered no text", reason="not-text")
    text = _THOUGHT.sub("", answer).strip()
    if not any(character.isalnum() for character in text):
        raise ModelError("the model answered nothing", reason="empty")
    if len(text) > longest:
        raise ModelError(
            f"the model answered {len(text)} characters; {longest} are allowed", reason="too-long"
        )
    if _is_odd(text):
        raise ModelError("the model answered something that is not text", reason="not-text")
    if _REFUSAL.match(text):
        raise ModelError("the model refused", reason="refusal")
    if _echoes(text, given):
        raise ModelError("the model repeated what it was given", reason="echo")
    return text


def _is_odd(text: str) -> bool:
    """Whether it holds what no text holds: control characters, lone surrogates, many replacement
    characters."""
    if any("\ud800" <= c <= "\udfff" or (c < " " and c not in "\n\r\t") or c == "\x7f" for c in text):
        return True
    return text.count("\ufffd") > _ODD_SHARE * len(text)


def _echoes(text: str, given: Sequence[str]) -> bool:
    """Whether it is one of the given texts, or holds two or more of them and so half of what was given."""
    plain = _plain(text)
    others = [_plain(one) for one in given]
    if plain in others:
        return True
    held = [other for other in others if len(other) >= _SHORT_TEXT and other in plain]
    return len(held) >= 2 and 2 * sum(map(len, held)) >= len(plain)


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
