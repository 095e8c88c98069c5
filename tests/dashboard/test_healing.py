"""The whole path, in a browser: a text is added, damaged on the disk, seen as a blank, dreamt of, healed."""

from __future__ import annotations

from typing import Any

from tests.dashboard.conftest import Visit
from tests.dashboard.harm import lose

SHORT = "The spare key hangs behind the blue door."
LONG = (
    "The harbour of Porto lies where the Douro meets the sea. In the morning of 7 May the ferry leaves from "
    "the second quay, and whoever holds a yellow ticket may board before anybody else does. Ada paid 34.50 "
    "euros for hers; Grace, who came late, stood in the rain with an umbrella full of holes and a bag of "
    "oranges. At noon the captain, Senhor Almeida, told them that fog over the bar would keep every ship "
    "inside until the evening tide."
)
"""Too long for a short copy: what is left of it when its bytes and the index are gone is its sketch."""


def test_a_text_is_added_lost_seen_dreamt_of_and_healed(visit: Visit) -> None:
    """Every step is taken in the browser; only the bytes are damaged from outside."""
    visitor = visit()
    page = visitor.open("/")
    page.get_by_text("The memory is empty.").wait_for()
    page.fill("#remember", LONG)
    page.click("#add")
    page.get_by_text("Remembered.").wait_for()
    page.get_by_text("The memory is whole").wait_for()
    with visitor.memory() as memory:
        (fragment,) = list(memory.list())
    short, *_ = visitor.remember(SHORT, *(f"Room {number} was painted in May." for number in range(9)))

    lose(visitor.run, visitor.account, [fragment.id, short], index=True)

    page = visitor.open("/blanks")
    page.click("#look-deep")
    row = page.locator(".blank-row")
    row.wait_for()
    assert row.count() == 1
    assert fragment.id in row.inner_text()
    assert "Porto" not in page.content()
    row.get_by_role("link", name="open").click()
    page.get_by_text("The text is lost for now").first.wait_for()

    page = visitor.open("/dreams")
    page.click("#dream")
    page.locator("#dream-status", has_text="completed").wait_for(timeout=60_000)
    assert (_fact(page, "back exactly"), _fact(page, "still blank")) == ("1", "0")
    assert _fact(page, "rebuilt from meaning") == "1"
    page.get_by_text(" planned").first.wait_for()
    assert "short copy" in page.locator("#live table").first.inner_text()
    assert _fact(page, "share of kept terms").endswith("%")
    sure = _fact(page, "confidence")
    assert "average" in sure or "steps" in sure
    assert "imilarity" not in page.content() and "Quality" not in page.content()

    page = visitor.open(f"/tree/{short}")
    assert page.locator(".text").first.inner_text() == SHORT
    page = visitor.open("/reconstructions")
    rebuilt = page.locator(".reconstruction .text").first.inner_text()
    assert "the ferry leaves from the second" in rebuilt
    assert _fact(page, "share of kept terms").endswith("%")
    page.click(".accept")
    page.get_by_text("There is nothing to judge.").wait_for()
    page = visitor.open("/")
    page.get_by_text("The memory is whole").wait_for()
    with visitor.memory() as memory:
        assert memory.get(fragment.id).text == rebuilt
        assert {each.state for each in memory.list()} <= {"intact", "repaired"}


def test_one_reconstruction_is_accepted_and_another_rejected(visit: Visit) -> None:
    """What stands on the page for judgement is what the memory then holds."""
    visitor = visit()
    ids = visitor.remember(
        LONG, LONG.replace("Porto", "Lagos").replace("rain", "snow").replace("Ada", "Alan")
    )
    visitor.remember(*(f"About ferry number {number}: it leaves in the morning." for number in range(9)))
    lose(visitor.run, visitor.account, ids, index=True)
    with visitor.memory() as memory:
        memory.scan(deep=True)
        memory.dream()

    page = visitor.open("/reconstructions")
    cards = page.locator(".reconstruction")
    assert cards.count() == 2
    shown = cards.first.locator(".text").first.inner_text()
    cards.first.locator(".accept").click()
    page.wait_for_function("document.querySelectorAll('.reconstruction').length === 1")
    cards.first.locator(".reject").click()
    page.get_by_text("There is nothing to judge.").wait_for()

    with visitor.memory() as memory:
        found = [memory.get(id) for id in ids]
    assert sorted(each.state for each in found) == ["blank", "intact"]
    assert next(each.text for each in found if each.state == "intact") == shown


def _fact(page: Any, name: str) -> str:
    """The value beside a name in a list of facts."""
    found = page.locator("dt", has_text=name).first.locator("xpath=following-sibling::dd[1]")
    return str(found.inner_text())
