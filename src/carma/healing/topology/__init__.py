"""Pictures of a memory's topology: its tree and threads as an interactive page, an image or JSON.

`layout` places the fragments; `write` chooses the form by the file's suffix.
"""

from __future__ import annotations

from carma.healing.topology.layout import layout
from carma.healing.topology.picture import write_png
from carma.healing.topology.views import Topologies
from carma.healing.topology.write import check, write, write_html, write_json

__all__ = ["Topologies", "check", "layout", "write", "write_html", "write_json", "write_png"]
