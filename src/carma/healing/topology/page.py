"""The topology as one interactive page: everything inside, nothing from elsewhere, drawn on a canvas.

Stored text is data, never markup: the topologies travel as JSON in a block that the browser does not run,
all ASCII and without `<`, and reach the screen only as text. The page's policy (CSP) names the digests of
its own script and style, and forbids everything else, any request included. A drawing library was rejected:
it would be ten times the size of the page, and would draw tens of thousands of fragments as so many
elements.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from carma.healing.topology.layout import Arrangement, arrange
from carma.healing.topology.palette import DARK, LIGHT
from carma.healing.topology.views import STATES, Topologies, View, Views, united
from carma.reports import Spot

__all__ = ["embedded", "page"]

_SCRIPTS = ("data.js", "draw.js", "panel.js", "hands.js")
_MEANINGS = {
    "intact": "as it was written",
    "repaired": "back bit for bit, proven",
    "reconstructed": "rebuilt from meaning",
    "blank": "lost for now",
}


def page(topologies: Topologies, *, scheme: str = "light dark") -> str:
    """The page as text in UTF-8 without lone surrogates. scheme: `light`, `dark`, or what the system says.

    Raises InvalidInput as `united`.
    """
    views = united(topologies)
    colours = "".join(f"--{state}:light-dark({LIGHT[state]},{DARK[state]});" for state in STATES)
    style = _asset("page.css") + f":root{{color-scheme:{scheme};{colours}}}\n"
    script = '"use strict";\n' + "\n".join(_asset(name) for name in _SCRIPTS)
    return Template(_asset("page.html")).substitute(
        style_digest=_digest(style),
        script_digest=_digest(script),
        style=style,
        script=script,
        title=escape(_plain(" / ".join(view.title for view in views.views))),
        fragments=f"{len(views.union.spots):,}",
        legend=_legend(views),
        data=embedded(shape(views, arrange(views.union))),
    )


def embedded(value: object) -> str:
    """JSON that may stand inside a `<script>` block: ASCII only, and without `<`, `>` and `&`."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def shape(views: Views, places: Arrangement) -> dict[str, Any]:
    """What the page's script reads: columns over all fragments, then what each view says otherwise."""
    spots = views.union.spots
    kinds = sorted({spot.kind for view in views.views for spot in view.spots.values()})
    parents = [_parent(spot, views.places) for spot in spots]
    return {
        "states": STATES,
        "kinds": kinds,
        "ids": [spot.id for spot in spots],
        "labels": [spot.label for spot in spots],
        "kind": [kinds.index(spot.kind) for spot in spots],
        "level": [spot.level for spot in spots],
        "parent": parents,
        "at": [round(value, 2) for value in places.positions.ravel().tolist()],
        "discs": {
            place: [round(value, 2) for value in (*places.centres[place].tolist(), radius)]
            for place, radius in enumerate(places.radii.tolist())
            if radius > 0
        },
        "views": [_view(view, views) for view in views.views],
    }


def _view(view: View, views: Views) -> dict[str, Any]:
    """states: one digit for each fragment, `-` for one that is not there. changes: where it differs from
    the columns.
    """
    states = ["-"] * len(views.union.spots)
    changes: dict[int, dict[str, Any]] = {}
    confidence: dict[int, float] = {}
    for place, spot in view.spots.items():
        states[place] = str(STATES.index(spot.state))
        if spot.confidence is not None:
            confidence[place] = spot.confidence
        usual = views.union.spots[place]
        changed = {
            name: getattr(spot, name)
            for name in ("label", "kind", "level")
            if getattr(spot, name) != getattr(usual, name)
        }
        if spot.parent != usual.parent:
            changed["parent"] = _parent(spot, views.places)
        if changed:
            changes[place] = changed
    threads = [
        (
            views.places.get(thread.first, thread.first),
            views.places.get(thread.second, thread.second),
            thread.weight,
        )
        for thread in view.topology.threads
    ]
    return {
        "title": view.title,
        "states": "".join(states),
        "confidence": confidence,
        "changes": changes,
        "threads": threads,
        "more": view.topology.more,
    }


def _parent(spot: Spot, places: Mapping[str, int]) -> int | str | None:
    """The parent's number; its id where it is not shown."""
    return spot.parent if spot.parent is None else places.get(spot.parent, spot.parent)


def _legend(views: Views) -> str:
    """The table of counts; the script makes switches of its headings and rows."""
    heads = "".join(
        f'<th scope="col"><button type="button" class="view" data-view="{number}"><bdi>'
        f"{escape(_plain(view.title))}</bdi></button></th>"
        for number, view in enumerate(views.views)
    )
    rows = "".join(
        f'<tr><th scope="row"><label title="{_MEANINGS[state]}">'
        f'<input type="checkbox" checked data-state="{number}">'
        f'<svg class="mark {state}" viewBox="0 0 16 16" aria-hidden="true">{_MARKS[state]}</svg>'
        f"{state}</label></th>"
        + "".join(f'<td data-count="{state}">{view.counts[state]:,}</td>' for view in views.views)
        + "</tr>"
        for number, state in enumerate(STATES)
    )
    totals = "".join(f"<td>{len(view.spots):,}</td>" for view in views.views)
    more = [view.topology.more for view in views.views]
    left_out = "".join(f"<td>{count:,}</td>" for count in more)
    return (
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody>"
        f'<tfoot><tr><th scope="row">all shown</th>{totals}</tr>'
        + (f'<tr><th scope="row">left out</th>{left_out}</tr>' if any(more) else "")
        + "</tfoot>"
    )


_MARKS = {
    "intact": '<circle cx="8" cy="8" r="4.5"/>',
    "repaired": '<rect x="3" y="3" width="10" height="10"/>',
    "reconstructed": '<path d="M8 1 15 8 8 15 1 8z"/>',
    "blank": '<circle cx="8" cy="8" r="5.5"/>',
}


def _plain(text: str) -> str:
    """Without lone surrogates and control characters, which UTF-8 or HTML do not hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _asset(name: str) -> str:
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
