"""What the pictures of the topology hold: the page, the image and the JSON."""

from __future__ import annotations

import json
import re
import sys
import time
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carma.errors import InvalidInput, MissingExtra
from carma.healing.topology import layout, write
from carma.healing.topology.palette import LIGHT
from carma.healing.topology.picture import PANEL
from carma.healing.topology.views import STATES
from carma.reports import Spot, Thread, Topology
from tests.healing.made_topologies import EVIL, grown, three


class Page(HTMLParser):
    """What a browser would take from the page: elements, links, and the contents of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": []}
        self.cells: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.contents:
            self.contents[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._inside in self.contents:
            self.contents[self._inside][-1] += data
        state = self.elements[-1][1].get("data-count") if self.elements else None
        if self._inside == "td" and state is not None:
            self.cells.append((state, data))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def read_back(text: str) -> dict[str, Topology]:
    """The topologies out of a page, by the rules of its own script."""
    data = json.loads(Page(text).contents["script"][0])
    out = {}
    for view in data["views"]:
        spots = []
        for n, state in enumerate(view["states"]):
            if state == "-":
                continue
            usual: dict[str, Any] = {
                "label": data["labels"][n],
                "kind": data["kinds"][data["kind"][n]],
                "level": data["level"][n],
                "parent": data["parent"][n],
            }
            said = usual | view["changes"].get(str(n), {})
            if isinstance(said["parent"], int):
                said["parent"] = data["ids"][said["parent"]]
            confidence = view["confidence"].get(str(n))
            spots.append(Spot(id=data["ids"][n], state=STATES[int(state)], confidence=confidence, **said))
        threads = tuple(
            Thread(first=_id(data, a), second=_id(data, b), weight=weight) for a, b, weight in view["threads"]
        )
        out[view["title"]] = Topology(spots=tuple(spots), threads=threads, more=view["more"])
    return out


def _id(data: dict[str, Any], at: int | str) -> str:
    return data["ids"][at] if isinstance(at, int) else at


def page_of(tmp_path: Path, topologies: Any) -> str:
    write(topologies, tmp_path / "t.html")
    return (tmp_path / "t.html").read_bytes().decode("utf-8")


# The page


def test_the_page_holds_what_went_in(tmp_path: Path) -> None:
    """States, texts, parents, threads, confidence and what was left out can be read back from the page, for
    each moment.
    """
    given_in = three()
    assert read_back(page_of(tmp_path, given_in)) == given_in


def test_hostile_texts_and_titles_stay_data(tmp_path: Path) -> None:
    """No text can end the data block, add an element or be lost; what is not ASCII is escaped inside the
    block.
    """
    spots = tuple(
        Spot(id=f"{text}{n}", label=text, kind=text or "note", state="blank", level=0, parent=text or None)
        for n, text in enumerate(EVIL)
    )
    topologies = {text: Topology(spots=spots) for text in EVIL[:6]}
    text = page_of(tmp_path, topologies)
    plain = Page(page_of(tmp_path, {f"title {n}": grown(9) for n in range(6)}))
    page = Page(text)
    assert read_back(text) == topologies
    assert page.contents["script"][0].isascii()
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.contents["script"][1:] == plain.contents["script"][1:]


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    """No address, no element that loads, no inline handler; the policy names the digests of its own script
    and style.
    """
    text = page_of(tmp_path, three(40))
    page = Page(text)
    assert not re.search(r"(?i)https?:|url\(|@import|//[a-z]+\.[a-z]", re.sub(r'"http-equiv"', "", text))
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "audio", "video", "source"}
        assert not {"src", "href", "style", "action", "srcset"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a) or ""
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind, content in (("script", page.contents["script"][1]), ("style", page.contents["style"][0])):
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_script_finds_every_element_it_asks_for(tmp_path: Path) -> None:
    """Each id that the script names is in the page, once."""
    page = Page(page_of(tmp_path, three(20)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    asked = set(re.findall(r"""(?:\$|getElementById)\("([\w-]+)"\)""", page.contents["script"][1]))
    assert len(asked) > 15
    assert asked <= set(ids) and len(ids) == len(set(ids))


def test_the_legend_counts_every_state_at_every_moment(tmp_path: Path) -> None:
    """The counts stand in the page itself, so they are there without the script too."""
    topologies = three(1500)
    cells = Page(page_of(tmp_path, topologies)).cells
    wanted = [
        (state, f"{sum(spot.state == state for spot in topology.spots):,}")
        for state in STATES
        for topology in topologies.values()
    ]
    assert cells == wanted
    assert ("intact", "1,500") in cells


def test_a_fragment_lies_where_it_lay_at_every_moment(tmp_path: Path) -> None:
    """Moments that hold different fragments share one set of positions, one for each fragment of any of
    them.
    """
    before = grown(60)
    topologies = {"before": before, "later": Topology(spots=before.spots[::-2])}
    data = json.loads(Page(page_of(tmp_path, topologies)).contents["script"][0])
    assert len(data["ids"]) == len(set(data["ids"])) == 60
    assert np.allclose(np.reshape(data["at"], (60, 2)), layout(before), atol=0.006)
    assert [len(view["states"].replace("-", "")) for view in data["views"]] == [60, 30]


def test_the_page_of_twenty_thousand_is_small_and_soon_written(tmp_path: Path) -> None:
    """Three moments of 20,000 fragments take less than 300 bytes each, and seconds."""
    begun = time.process_time()
    text = page_of(tmp_path, three(20_000))
    assert time.process_time() - begun < 20
    assert len(text) < 300 * 20_000


def test_an_empty_topology_has_a_page(tmp_path: Path) -> None:
    """A memory without fragments is shown as that."""
    assert read_back(page_of(tmp_path, Topology(spots=()))) == {"now": Topology(spots=())}


# Image, JSON, refusals


@pytest.mark.parametrize("count", [0, 363])
def test_the_image_has_its_size_and_the_colours_of_its_states(tmp_path: Path, count: int) -> None:
    """Three panels stand side by side, and every state that occurs is there in its colour."""
    image = pytest.importorskip("matplotlib.image")
    write(three(count), tmp_path / "t.png")
    pixels = np.round(image.imread(tmp_path / "t.png")[:, :, :3] * 255).astype(np.int64)
    assert pixels.shape == (PANEL[1], 3 * PANEL[0], 3)
    colours = set(np.unique(pixels @ [65536, 256, 1]).tolist())
    assert len(colours) > 20
    if count == 363:
        assert {int(colour[1:], 16) for colour in LIGHT.values()} <= colours


def test_the_image_takes_any_text(tmp_path: Path) -> None:
    """Texts that would be mathematics, control characters or of other scripts draw without a warning."""
    pytest.importorskip("matplotlib")
    parents = [
        Spot(id=str(n), label=f"${text}^$", kind="x", state="blank", level=0)
        for n, text in enumerate(EVIL[:5])
    ]
    leaves = [replace(spot, id=spot.id + "-", parent=spot.id, level=1) for spot in parents]
    write({"$x_": Topology(spots=(*parents, *leaves))}, tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 5000


def test_without_matplotlib_the_image_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra, and no file is left."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra) as caught:
        write(grown(3), tmp_path / "t.png")
    assert "carma-memory[report]" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_the_json_is_the_topologies_own_shape(tmp_path: Path) -> None:
    """Title by title what `Topology.to_dict` says."""
    topologies = three(30)
    write(topologies, tmp_path / "t.JSON")
    found = json.loads((tmp_path / "t.JSON").read_text("utf-8"))
    assert found == {"topologies": json.loads(json.dumps({k: v.to_dict() for k, v in topologies.items()}))}


@pytest.mark.parametrize("name", ["t.svg", "t", "t.html.gz"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    """The error names the suffixes that work, and nothing is written."""
    with pytest.raises(InvalidInput, match=r"\.html, \.png, \.json"):
        write(grown(3), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_topology_too_many_and_a_fragment_twice_are_refused(tmp_path: Path) -> None:
    """What cannot be drawn truthfully is not drawn."""
    one = grown(3)
    for topologies in ({}, {str(n): one for n in range(10)}, Topology(spots=one.spots * 2)):
        with pytest.raises(InvalidInput):
            write(topologies, tmp_path / "t.html")
