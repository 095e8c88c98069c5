"""The readable page of a subject access export: what the files of JSON Lines say, for people.

One file of HTML without a script, a style sheet elsewhere or anything else that would be fetched; its
policy (Content-Security-Policy) forbids that too. Whatever was stored stands in it as text, because a
remembered text may hold markup on purpose. Rejected: a template engine (one dependency more for five
headings), PDF (no program can search it well).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

__all__ = ["TAIL", "fragment_piece", "page_head", "table_piece", "titled"]

TAIL = "</main></body></html>\n"

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:46rem;margin:auto;padding:1rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem .2rem 0;"
    "vertical-align:top;border-bottom:1px solid #8884;overflow-wrap:anywhere}"
    "article{border-top:1px solid #8884;padding:.6rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:inherit;margin:.2rem 0}small{opacity:.75}"
)
_STATES = {
    "intact": "", "repaired": "repaired, exactly as it was",
    "reconstructed": "rebuilt from its surroundings, not the original", "blank": "lost",
}  # fmt: skip


def page_head(title: str, made: str) -> str:
    """The beginning of a page, up to its first heading. made: when, as it is to be shown."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p>Made at {escape(made)}. The other files of this folder say the same for "
        "programs; README.txt says what is in which.</p>"
    )


def titled(title: str, pieces: Iterable[str], empty: str = "Nothing.") -> Iterator[str]:
    """A heading and what stands under it."""
    yield f"<h2>{escape(title)}</h2>"
    none = True
    for piece in pieces:
        none = False
        yield piece
    if none:
        yield f"<p>{escape(empty)}</p>"


def table_piece(values: Mapping[str, Any]) -> str:
    """Names and values, one a row."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{_shown(value)}</td></tr>" for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def fragment_piece(value: Mapping[str, Any]) -> str:
    """One version of a fragment, as an export writes it."""
    said = [f"version {value['version']}", _moment(value["updated"]), str(value["kind"])]
    said += ["deleted"] if value["deleted"] else []
    said += [_STATES.get(value["state"], value["state"])]
    said += [f"{name} {value[name]}" for name in ("user", "agent", "session") if value.get(name)]
    said += [f"from {value['source']['path']}"] if value.get("source") else []
    said += [f"until {_moment(value['expires'])}"] if value.get("expires") else []
    about = " · ".join(escape(each) for each in said if each)
    metadata = table_piece(value["metadata"]) if value["metadata"] else ""
    text = f"<pre>{escape(value['text'])}</pre>" if value["text"] else ""
    return f"<article><small>{escape(value['id'])} · {about}</small>{text}{metadata}</article>\n"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return table_piece(value) if value else ""
    if isinstance(value, (list, tuple)):
        return "<br>".join(map(_shown, value))
    return "" if value is None else escape(str(value))


def _moment(seconds: float) -> str:
    """A time to the second; the number itself if no calendar holds it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
