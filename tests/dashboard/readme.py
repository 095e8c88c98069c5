"""Takes the README's picture and looks at it: `python -m tests.dashboard.readme FILE`.

A process of its own, because it has a server of its own, and NiceGUI keeps one a process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from carma.serve.dashboard.places import PLACES
from tests.dashboard.browsing import DESK, Visitor, chromium
from tests.dashboard.pictures import DOCS, readme_picture, seeded_server

KEPT = DOCS / "dashboard.png"
STATES = ("intact", "repaired", "reconstructed", "blank")


def main() -> None:
    """Take the picture; fail where it, or the one in the repository, does not show what it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="carma-readme-") as place,
        chromium() as windows,
        seeded_server(Path(place), DOCS) as (run, account, key),
    ):
        check(Visitor(windows, run, account, key), given.file)


def check(visitor: Visitor, file: Path) -> None:
    """Every page in the navigation, every state in the legend, and names that are whole."""
    page, picture = readme_picture(visitor, file)
    links = [page.locator("nav").get_by_role("link", name=place.name, exact=True) for place in PLACES]
    boxes = {place.name: link.bounding_box() for place, link in zip(PLACES, links, strict=True)}
    legend = page.frame_locator("#picture").locator("#legend")
    boxes["legend"] = legend.bounding_box()
    counts = legend.inner_text()
    assert all(state in counts for state in STATES)
    colours = {state: picture.evaluate(f"colours['{state}']") for state in STATES}
    names = picture.evaluate("named")
    assert {"docs", "guides", "without a parent"} <= {*names}
    assert not [name for name in names if name.endswith("…") and " " not in name], "a file's name is cut"
    for shown in {file, KEPT}:
        assert shown.stat().st_size < 300_000
        pixels = np.asarray(Image.open(shown).convert("RGB")).astype(int)
        assert pixels.shape == (DESK["height"], DESK["width"], 3)
        for place in PLACES:
            assert (_part(pixels, boxes[place.name]).sum(axis=2) < 300).sum() > 20, place.name
        for state, colour in colours.items():
            wanted = [int(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]
            near = abs(_part(pixels, boxes["legend"]) - wanted).max(axis=2) < 24
            assert near.sum() > 20, (shown, state)


def _part(pixels: Any, box: Any) -> Any:
    """What lies in a box of the page."""
    left, top = int(box["x"]), int(box["y"])
    return pixels[top : top + int(box["height"]) + 1, left : left + int(box["width"]) + 1]


if __name__ == "__main__":
    main()
