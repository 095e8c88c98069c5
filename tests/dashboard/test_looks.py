"""How the pages look: nothing is cut at the side, everything can be read, the keyboard goes everywhere."""

from __future__ import annotations

import pytest

from carma.serve.dashboard.places import PLACES
from tests.dashboard.browsing import DESK, PHONE, Visitor
from tests.dashboard.conftest import Visit
from tests.dashboard.harm import lose

_PATHS = [place.path for place in PLACES]
_LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 4


@pytest.fixture(scope="module")
def full(visit_all: Visit) -> Visitor:
    """Somebody whose memory holds long words, a blank, and a dream."""
    visitor = visit_all()
    (house,) = visitor.remember("The house", kind="section", user=_LONG[:100])
    rooms = visitor.remember(
        *(f"The {room} was painted in May. {_LONG} {room}" for room in ("attic", "cellar", "garden", "hall")),
        parent=house,
    )
    lose(visitor.run, visitor.account, rooms[:1])
    with visitor.memory() as memory:
        memory.scan(deep=True)
        memory.dream(dry_run=True)
    return visitor


@pytest.mark.parametrize("path", _PATHS)
def test_nothing_is_cut_and_everything_can_be_read(full: Visitor, path: str) -> None:
    """At both sizes nothing reaches beyond the window; in both schemes text keeps to WCAG AA."""
    page = full.open(path)
    if path == "/search":
        page.fill("#query", "painted garden")
        page.click("#search")
        page.locator(".hit").first.wait_for()
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        assert page.evaluate(_WIDER) == []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(_FAINT) == [], scheme


def test_letters_lead_to_pages_and_a_question_mark_lists_them(visit: Visit) -> None:
    """Every page has its letter; in a field a letter is a letter."""
    visitor = visit()
    page = visitor.open("/")
    for place in PLACES[1:4]:
        page.keyboard.press(place.key)
        page.wait_for_url(f"**{place.path}")
        page.get_by_role("heading", name=place.name, exact=True).wait_for()
    page.keyboard.press("?")
    dialog = page.locator("#shortcuts")
    assert dialog.is_visible()
    for place in PLACES:
        assert place.name in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.keyboard.press("/")
    page.wait_for_url("**/search")
    page.wait_for_function("window.did_handshake === true")
    page.keyboard.press("/")
    page.keyboard.type("doubt?")
    assert page.input_value("#query") == "doubt?"
    assert page.url.endswith("/search")


def test_the_focus_is_seen_wherever_tab_goes(visit: Visit) -> None:
    """From the top of a page Tab reaches links, fields and buttons, and each shows that it has the focus."""
    visitor = visit()
    page = visitor.open("/")
    seen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        tag, width = page.evaluate(_FOCUS)
        if tag == "BODY":  # The last one was passed.
            break
        assert width >= 2, tag
        seen.append(tag)
    assert seen[0] == "A"
    assert len(seen) > len(PLACES) + 6
    assert {"A", "BUTTON", "TEXTAREA"} <= set(seen)


def test_the_scheme_is_chosen_and_stays(visit: Visit) -> None:
    """Light, dark or what the system says: a choice holds for the next page too."""
    visitor = visit()
    page = visitor.open("/")
    for wanted in ("light", "dark", "light dark"):
        page.click("#dark")
        page.wait_for_function(f"getComputedStyle(document.documentElement).colorScheme === '{wanted}'")
        page = visitor.open("/usage")
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == wanted


def test_a_key_that_may_only_read_is_offered_nothing_else(visit: Visit) -> None:
    """What the key may not do is not offered, and a page that needs more says so in words."""
    visitor = visit("r")
    visitor_page = visitor.open("/")
    visitor_page.get_by_text("may not heal").first.wait_for()
    assert visitor_page.locator("#look, #add").count() == 0
    page = visitor.open("/keys")
    page.get_by_role("alert").wait_for()
    page = visitor.open("/dreams")
    assert page.locator("#dream").count() == 0


_WIDER = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  const full = document.documentElement.scrollWidth;
  if (full > wide) found.push(`page ${full} of ${wide}`);
  for (const each of document.querySelectorAll("#app *")) {
    if (!each.checkVisibility({ visibilityProperty: true })) continue;
    const box = each.getBoundingClientRect();
    if (!box.width || each.closest(".skip")) continue;
    if (box.right > wide + 1 || box.left < -1) found.push(`${each.tagName} ${each.className}`);
  }
  return found;
}"""

_FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found[3] > 0.99) return found;
    }
    return colour("Canvas");
  };
  const found = [], walk = document.createTreeWalker(document.getElementById("app"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(".skip, option, :disabled")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(colour(ink)), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.className} ${text}`);
  }
  return found;
}"""

_FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  return [document.activeElement.tagName, style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
}"""
