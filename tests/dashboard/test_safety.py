"""What stored text and other sites cannot do, in a browser."""

from __future__ import annotations

import pytest

from tests.dashboard.browsing import Visitor
from tests.dashboard.conftest import Visit
from tests.dashboard.harm import lose

NASTY = (
    "</script></style></textarea></title><script>window.owned = 1</script>"
    "<img src=x onerror='window.owned = 2'><svg onload=window.owned=3>"
    "<iframe srcdoc='<script>parent.owned = 4</script>'></iframe>"
    "<a href='javascript:window.owned=5'>here</a> "
    "${window.owned = 6} `${window.owned = 7}` {{ window.owned = 8 }} &lt;script&gt; &#96; "
    "--> ]]> \u202eabc\u2066 \x00\x1b[31m\x07 \"quoted\" 'too' \\u003cscript\\u003e " + "W" * 300
)
_PATHS = ("/", "/search", "/tree", "/tree/{id}", "/blanks", "/reconstructions", "/topology", "/usage")


@pytest.fixture(scope="module")
def nasty(visit_all: Visit) -> tuple[Visitor, str]:
    """Somebody whose memory is full of markup and scripts, and the id of a fragment of it."""
    visitor = visit_all()
    (id,) = visitor.remember(NASTY, user=NASTY[:80], metadata={NASTY[:40]: NASTY}, kind="section")
    visitor.remember(NASTY + "second", parent=id)
    return visitor, id


@pytest.mark.parametrize("path", _PATHS)
def test_stored_text_is_never_markup(nasty: tuple[Visitor, str], path: str) -> None:
    """A fragment full of markup and scripts is read as it stands on every page, and nothing of it runs."""
    visitor, id = nasty
    page = visitor.open(path.format(id=id))
    if path == "/search":
        page.fill("#query", "second script window owned")
        page.click("#search")
        page.locator(".hit").first.wait_for()
    if path.startswith(("/search", "/tree")):
        assert "<script>window.owned = 1</script>" in page.locator("#content").inner_text()
    page.wait_for_timeout(150)
    for frame in page.frames:
        assert frame.evaluate("window.owned") is None
    shown = page.locator("#content")
    assert shown.locator("script, img, svg:not(.curve), iframe:not(#picture)").count() == 0
    assert shown.locator("[onerror], [onload], [href^='javascript:']").count() == 0


def test_a_nasty_text_is_harmless_as_a_blank_and_as_a_reconstruction(visit: Visit) -> None:
    """What is lost and what is rebuilt of it are text too."""
    visitor = visit()
    parent, child = visitor.remember(NASTY, kind="section")[0], NASTY + " and a part of its own below it"
    (id,) = visitor.remember(child, parent=parent)
    visitor.remember(*(f"{NASTY} number {number}" for number in range(10)), parent=parent)
    lose(visitor.run, visitor.account, [id], index=True)
    with visitor.memory() as memory:
        memory.scan(deep=True)
    page = visitor.open("/blanks")
    page.locator(".blank-row").wait_for()
    assert page.evaluate("window.owned") is None
    with visitor.memory() as memory:
        memory.dream()
    page = visitor.open("/reconstructions")
    page.locator("#content").wait_for()
    assert page.evaluate("window.owned") is None


def test_a_script_that_comes_into_a_page_is_not_run(visit: Visit) -> None:
    """Were there a hole through which markup came, the policy would still refuse scripts and styles in it."""
    visitor = visit()
    page = visitor.open("/usage")
    page.evaluate("""() => {
        const hole = document.createElement("div");
        hole.innerHTML = "<img src='data:,' onerror='window.owned = 1'><b style='color: red'>x</b>";
        document.body.append(hole);
        const script = document.createElement("script");
        script.textContent = "window.owned = 2";
        document.body.append(script);
        const link = document.createElement("script");
        link.src = "https://evil.example/x.js";
        document.body.append(link);
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None
    assert all("Content Security Policy" in each for each in visitor.errors)
    assert len(visitor.errors) >= 3
    visitor.errors.clear()
    visitor.strangers.clear()


def test_another_account_is_shown_nothing(visit: Visit) -> None:
    """The id of somebody else's fragment leads to the same page as one that never was."""
    owner, other = visit(), visit()
    (id,) = owner.remember("Only ada may read that the treasure is buried under the oak.")
    page = other.open(f"/tree/{id}")
    page.get_by_role("alert").wait_for()
    told = page.locator("#content").inner_text()
    page = other.open("/tree/" + "0" * 32)
    assert page.locator("#content").inner_text() == told.replace(id, "0" * 32)
    assert "oak" not in told
