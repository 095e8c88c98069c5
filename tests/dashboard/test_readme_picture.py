"""The README's picture of the dashboard: taken by this test, of a memory of the documentation as it is now.

It goes into a temporary folder, or to the file that CARMA_README_PICTURE names (`make pictures` does), and
what is in the repository is held against it: the same size, and the same things to see at the same places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carma.serve.dashboard.places import PLACES
from tests.dashboard.browsing import DESK, Visitor, Windows
from tests.dashboard.pictures import DOCS, readme_picture, seeded_server

KEPT = DOCS / "dashboard.png"
STATES = ("intact", "repaired", "reconstructed", "blank")


@pytest.fixture(scope="module")
def visitor(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody whose memory holds the documentation, with something in every state."""
    with seeded_server(tmp_path_factory.mktemp("readme"), DOCS) as (run, account, key):
        yield Visitor(windows, run, account, key)


@pytest.mark.timeout(600)
def test_the_picture_of_the_readme_shows_what_it_must(visitor: Visitor, tmp_path: Path) -> None:
    """Every page in the navigation, every state in the legend, and names that are whole."""
    named = os.environ.get("CARMA_README_PICTURE")
    file = Path(named) if named else tmp_path / "dashboard.png"
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
