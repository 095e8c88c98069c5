"""Topology: every fragment as a sign of its state, live; threads when they are asked for.

The picture is the one that `carma topology` writes, in a frame: a canvas that holds tens of thousands of
fragments. While the page is open it is told what changed; where fragments came or went it is drawn anew.
"""

from __future__ import annotations

import json

from nicegui import ui

from carma.memory.memory import Memory
from carma.reports import Topology
from carma.serve.dashboard.forms import Tick
from carma.serve.dashboard.picture import MOST, STATES_ORDER
from carma.serve.dashboard.pieces import box, hint, nothing, row
from carma.serve.dashboard.view import View, page

__all__ = ["topology"]

_EVERY_S = 4.0


@page("/topology", "Topology")
async def topology(view: View) -> None:
    """The page."""
    found = await view.asking.ask("topology", _look)
    if not found.spots:
        nothing("The memory is empty.", "There is nothing to draw yet.")
        return
    ids = [spot.id for spot in found.spots]
    states = [_states(found)]
    where = "/topology/picture"

    async def draw() -> None:
        frame.props["src"] = f"{where}?threads=1" if threads.value else where
        frame.update()

    async def again() -> None:
        now = await view.asking.ask("topology", _look, quiet=True)
        if [spot.id for spot in now.spots] != ids:
            ids[:] = [spot.id for spot in now.spots]
            states[0] = _states(now)
            ui.run_javascript('document.getElementById("picture").contentWindow.location.reload()')
        elif _states(now) != states[0]:
            states[0] = _states(now)
            said = json.dumps({"states": states[0]})
            ui.run_javascript(
                f'document.getElementById("picture").contentWindow.postMessage({said}, location.origin)'
            )

    with row("ticks"):
        hint("Each fragment with its state, as it is now.")
        threads = Tick("threads: what lies close in meaning", id="threads", on_change=view.does(draw))
    frame = box("picture", "iframe", src=where, id="picture", title="Topology of the memory")
    view.every(_EVERY_S, again)


def _look(memory: Memory) -> Topology:
    return memory.topology(threads=False, limit=MOST)


def _states(found: Topology) -> str:
    """One digit for each fragment, as the picture has them."""
    return "".join(str(STATES_ORDER.index(spot.state)) for spot in found.spots)
