"""Writes topologies to a file in the form that its suffix names: a page, a picture or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from carma.errors import InvalidInput
from carma.healing.topology.page import page
from carma.healing.topology.picture import write_png
from carma.healing.topology.views import Topologies, named
from carma.ports.outfile import check_file

__all__ = ["check", "write", "write_html", "write_json"]


def check(path: str | Path) -> None:
    """Return if `write` can write there. Raises InvalidInput for a suffix that it does not know, and where no
    file can be written.
    """
    _writer(path)
    check_file(Path(path))


def write(topologies: Topologies, path: str | Path) -> None:
    """Writes one topology, or several by title, to `path`; .html, .png or .json says in which form.

    Raises InvalidInput for another suffix, for none or more than nine topologies, or where one holds a
    fragment twice; MissingExtra for .png without the extra `report`; OSError.
    """
    _writer(path)(topologies, path)


def _writer(path: str | Path) -> Callable[[Topologies, str | Path], None]:
    """What writes the form that a suffix names. Raises InvalidInput."""
    writers = {".html": write_html, ".png": write_png, ".json": write_json}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise InvalidInput(
            f"A topology is written as {', '.join(writers)}, not {suffix or 'without a suffix'}."
        )
    return writers[suffix]


def write_html(topologies: Topologies, path: str | Path) -> None:
    """One interactive page that needs nothing else. Raises InvalidInput as `write`, OSError."""
    Path(path).write_text(page(topologies), encoding="utf-8", newline="\n")


def write_json(topologies: Topologies, path: str | Path) -> None:
    """`{"topologies": {title: {"spots", "threads", "more"}}}`. Raises InvalidInput as `write`, OSError."""
    shape = {"topologies": {title: topology.to_dict() for title, topology in named(topologies).items()}}
    Path(path).write_text(json.dumps(shape, indent=1), encoding="utf-8")
