"""Entity tags: which version of a fragment an answer shows (RFC 9110, section 8.8).

The tag is the version, and for what is not simply intact a few letters more, so that a cache notices when a
text is lost or comes back. A packed answer has the tag with the coding behind it, because
its bytes are others. `If-Match: "3"` is the promise of `if_version=3`: refuse
unless nobody wrote since. Damage is not a write, so the version alone decides there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from carma.errors import RequestRefused
from carma.models import Fragment
from carma.serve.encoding import CODINGS

__all__ = ["coded", "etag", "if_version", "known_tag"]

_TAG = re.compile(r'\s*(W/)?"([!#-~\x80-\xff]*)"\s*(?:,|$)')


def etag(fragment: Fragment) -> str:
    """The strong entity tag of a fragment, quoted."""
    if fragment.state == "intact":
        return f'"{fragment.version}"'
    rung = fragment.repair.rung if fragment.repair is not None else ""
    shown = f"{fragment.state}/{fragment.digest}/{rung}/{fragment.repair and fragment.repair.cycle}"
    return f'"{fragment.version}-{blake2b(shown.encode(), digest_size=4).hexdigest()}"'


def coded(tag: str, coding: str) -> str:
    """The tag of the same answer in a content coding."""
    return f'{tag[:-1]}-{coding}"'


def known_tag(if_none_match: str | None, tag: str) -> str | None:
    """The tag by which the asker shows that they have this very answer, in whatever coding; None if they do
    not (`If-None-Match`; weak comparison).
    """
    if if_none_match is None:
        return None
    if if_none_match.strip() == "*":
        return tag
    known = {tag, *(coded(tag, each) for each in CODINGS)}
    return next((f'"{value}"' for _, value in _tags(if_none_match) if f'"{value}"' in known), None)


def if_version(if_match: str | None) -> int | None:
    """The version that `If-Match` asks for; None if it does not, or takes any.

    Raises RequestRefused where it is no entity tag of ours, or several.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = list(_tags(if_match))
    version = found[0][1].partition("-")[0] if len(found) == 1 and not found[0][0] else ""
    if not (version.isascii() and version.isdigit() and len(version) <= 15):
        raise RequestRefused('If-Match takes one entity tag as an ETag gave it, for example "3".')
    return int(version)


def _tags(header: str) -> Iterator[tuple[bool, str]]:
    """Entity tags of a list: whether each is weak, and its value."""
    at = 0
    while (match := _TAG.match(header, at)) is not None and match.end() > at:
        yield match[1] is not None, match[2]
        at = match.end()
