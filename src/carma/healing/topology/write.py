"""Writes topologies to a file in the form that its suffix names: a page, a picture or JSON."""

from __future__ import annotations

import json
from pathlib import Path

from carma.errors import InvalidInput
from carma.healing.topology.page import page
from carma.healing.topology.picture import write_png
from carma.healing.topology.views import Topologies, named

__all__ = ["write", "write_html", "write_json"]


def write(topologies: Topologies, path: str | Path) -> None:
    """Writes one topology, or several by title, to `path`; .html, .png or .json says in which form.

    Raises InvalidInput for another suffix, for none or more than nine topologies, or where one holds a
    fragment twice; MissingExtra for .png without the extra `report`; OSError.
    """
    writers = {".html": write_html, ".png": write_png, ".json": write_json}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise InvalidInput(
            f"A topology is written as {', '.join(writers)}, not {suffix or 'without a suffix'}."
        )
    writers[suffix](topologies, path)


def write_html(topologies: Topologies, path: str | Path) -> None:
    """One interactive page that needs nothing else. Raises InvalidInput as `write`, OSError."""
    Path(path).write_text(page(topologies), encoding="utf-8", newline="\n")


def write_json(topologies: Topologies, path: str | Path) -> None:
    """`{"topologies": {title: {"spots", "threads", "more"}}}`. Raises InvalidInput as `write`, OSError."""
    shape = {"topologies": {title: topology.to_dict() for title, topology in named(topologies).items()}}
    Path(path).write_text(json.dumps(shape, indent=1), encoding="utf-8")
