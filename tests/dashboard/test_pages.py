"""What the pages show and do, in a browser."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from carma.serve.dashboard.places import PLACES, Place
from tests.dashboard.conftest import Visit
from tests.dashboard.harm import lose
from tests.dashboard.test_healing import LONG


def test_a_search_explains_its_hits_and_keeps_the_words_that_were_asked(visit: Visit) -> None:
    """Each hit says what made its score; the field holds what was typed when the answer is there."""
    visitor = visit()
    visitor.remember("The spare key hangs behind the blue door.", "The ferry leaves at noon.")
    page = visitor.open("/search")
    page.fill("#query", "where is the spare key?")
    page.keyboard.press("Enter")
    hit = page.locator(".hit").first
    hit.wait_for()
    assert "blue door" in hit.locator(".text").inner_text()
    parts = hit.locator(".parts").inner_text()
    for name in ("score", "vector", "words", "neighbours", "context"):
        assert name in parts
    assert "hit" in page.locator("#said").inner_text()
    assert page.input_value("#query") == "where is the spare key?"
    page.select_option("#mode", "words")
    page.fill("#query", "nothing holds this")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was found.").wait_for()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_page_of_an_empty_account_is_neither_broken_nor_half_there(visit_all: Visit, place: Place) -> None:
    """No error, no table without rows, no heading without anything below it."""
    page = visit_all().open(place.path)
    page.get_by_role("heading", name=place.name, exact=True).wait_for()
    content = page.locator("#content")
    assert "nobody foresaw" not in content.inner_text()
    assert content.get_by_role("alert").count() == 0
    tables = content.locator("table:visible").all()
    assert all(table.locator("tbody tr").count() for table in tables)
    assert content.inner_text().strip()


def test_a_long_text_says_that_it_goes_on(visit: Visit) -> None:
    """What does not fit is scrolled, and a shadow stands where it is cut."""
    visitor = visit()
    (id,) = visitor.remember("\n".join(f"Line {number} of many." for number in range(200)))
    text = visitor.open(f"/tree/{id}").locator(".text").first
    assert text.evaluate("each => each.scrollHeight > each.clientHeight + 100")
    box = text.bounding_box()
    assert box is not None
    png = visitor.page.screenshot(clip={**box, "x": box["x"] + box["width"] - 60, "width": 30})
    rows = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(int).mean(axis=1)
    middle = rows[len(rows) // 2]
    assert rows[-2] < middle - 15 and abs(rows[1] - middle) < 4, "shadow below, none above"
    text.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    png = visitor.page.screenshot(clip={**box, "x": box["x"] + box["width"] - 60, "width": 30})
    rows = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(int).mean(axis=1)
    assert rows[1] < middle - 15 and abs(rows[-2] - middle) < 4, "shadow above, none below"


def test_the_tree_leads_to_a_fragment_and_its_history(visit: Visit) -> None:
    """Names open fragments; a fragment says where it stands and shows each of its versions."""
    visitor = visit()
    (house,) = visitor.remember("The house", kind="section")
    (room,) = visitor.remember("The attic is white.", parent=house, metadata={"floor": 3})
    with visitor.memory() as memory:
        memory.update(room, "The attic is green.")
    page = visitor.open("/tree")
    page.get_by_role("link", name="The attic is green.").click()
    page.get_by_role("heading", name="History: 2 versions").wait_for()
    content = page.locator("#content").inner_text()
    assert "The attic is white." in content
    assert '{"floor": 3}' in content
    assert page.locator(".crumbs a").all_inner_texts() == ["Browse", "The house"]


def test_the_topology_follows_what_happens_and_loads_threads_when_asked(visit: Visit) -> None:
    """A page that is open shows a loss without being asked again; threads come with a tick."""
    visitor = visit()
    ids = visitor.remember(
        LONG, "The ferry leaves the harbour of Porto in the morning.", "The ferry of Porto."
    )
    page = visitor.open("/topology")
    frame = page.frame_locator("#picture")
    blanks = frame.locator('td[data-count="blank"]')
    blanks.get_by_text("0").wait_for()
    assert not frame.locator("#thread-count").is_visible()
    lose(visitor.run, visitor.account, ids[:1], index=True)
    with visitor.memory() as memory:
        memory.scan(deep=True)
    blanks.get_by_text("1").wait_for()
    page.click("#threads")
    frame.locator("#thread-count").get_by_text("(0)").wait_for(state="detached")
    assert frame.locator("#threads").is_visible()


def test_the_audit_page_proves_its_entries(visit: Visit) -> None:
    """What the account did stands there, each entry proven up to a root with a signature that holds."""
    visitor = visit()
    page = visitor.open("/")
    page.fill("#remember", "Something to be found in the log.")
    page.click("#add")
    page.get_by_text("Remembered.").wait_for()
    page = visitor.open("/audit")
    assert page.locator("#signature").inner_text() == "signature holds"
    assert page.locator("#proofs").inner_text() == "each entry is proven to stand in the log"
    entries = page.locator(".entry")
    assert entries.count() == entries.locator(".chip.good").count() > 0
    added = entries.filter(has_text="add").first
    added.locator("summary").click()
    assert "written" in added.inner_text()
    assert "found in the log" not in page.content()


def test_a_key_is_rotated_and_the_new_one_shown_once(visit: Visit) -> None:
    """The new secret opens the server, is on the page until it is put away, and in no storage."""
    visitor = visit()
    page = visitor.open("/keys")
    assert visitor.key not in page.content()
    page.click(".rotate")
    page.get_by_role("alertdialog").get_by_role("button", name="Rotate").click()
    new = page.locator("#secret").inner_text()
    assert new != visitor.key
    assert visitor.run.client(new).get("/v1/usage").status_code == 200
    assert new not in visitor.storage()
    page.click("#have-it")
    page.locator("#secret").wait_for(state="detached")
    page = visitor.open("/keys")
    assert new not in page.content()


def test_usage_counts_what_was_asked(visit: Visit) -> None:
    """Whose memory it is, what it holds, and how often it was asked."""
    visitor = visit()
    visitor.remember("One.", "Two.")
    visitor.open("/search")
    content = visitor.open("/usage").locator("#content").inner_text()
    assert visitor.account.name in content
    assert visitor.account.id in content
    assert "usage" in content
