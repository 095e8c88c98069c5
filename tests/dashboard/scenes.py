"""What there is to photograph: each page, in the states that somebody will see it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from carma.models import Fragment
from carma.serve.dashboard.places import PLACES
from tests.dashboard.browsing import Visitor

__all__ = ["EMPTY", "FULL", "LAST", "Scene"]

_QUESTION = "how does a memory heal?"


class Scene(NamedTuple):
    """A picture. path: the page's, or what finds it. act: what is done there before."""

    name: str
    path: str | Callable[[Visitor], str]
    act: Callable[[Visitor], None] = lambda visitor: None


def _wrong_key(visitor: Visitor) -> None:
    visitor.page.fill("#key", "open sesame")
    visitor.page.click("button")
    visitor.page.locator("#said:not(:empty)").wait_for()


def _search(visitor: Visitor) -> None:
    visitor.page.fill("#query", _QUESTION)
    visitor.page.click("#search")
    visitor.page.locator(".hit").first.wait_for()


def _look(visitor: Visitor) -> None:
    visitor.page.click("#look-deep")
    visitor.page.locator("#scan .facts").wait_for()


def _open_first(visitor: Visitor) -> None:
    visitor.page.locator(".entry summary").first.click()


def _to_the_end(visitor: Visitor) -> None:
    visitor.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")


def _dream_dry(visitor: Visitor) -> None:
    visitor.page.click("#dry")
    visitor.page.click("#dream")
    visitor.page.locator("#dream-status", has_text="completed").wait_for()


def _dream(visitor: Visitor) -> None:
    visitor.page.click("#dream")
    visitor.page.locator("#dream-status", has_text="running").wait_for()


def _menu(visitor: Visitor) -> None:
    if visitor.page.locator("#menu").is_visible():
        visitor.page.click("#menu")
    else:
        visitor.page.keyboard.press("?")


def _revoke(visitor: Visitor) -> None:
    visitor.page.locator(".revoke").first.click()
    visitor.page.get_by_role("alertdialog").wait_for()


def _threads(visitor: Visitor) -> None:
    visitor.page.click("#threads")
    count = visitor.page.frame_locator("#picture").locator("#thread-count")
    count.get_by_text("(0)").wait_for(state="detached", timeout=60_000)


def _found(state: str) -> Callable[[Visitor], str]:
    """Where the first fragment in a state is shown."""

    def path(visitor: Visitor) -> str:
        with visitor.memory() as memory:
            found: list[Fragment] = memory.blanks(limit=1_000, reconstructed=True)
        return f"/tree/{next(each.id for each in found if each.state == state)}"

    return path


def _edited(visitor: Visitor) -> str:
    with visitor.memory() as memory:
        return f"/tree/{memory.list(user='ada')[0].id}"


def _last_dream(visitor: Visitor) -> str:
    with visitor.memory() as memory:
        return f"/dreams/{max(each.cycle for each in memory.dreams(10) if each.reconstructed)}"


FULL = (
    Scene("sign-in", "/sign-in"),
    Scene("sign-in-refused", "/sign-in", _wrong_key),
    Scene("overview", "/"),
    Scene("overview-looked", "/", _look),
    Scene("search-before", "/search"),
    Scene("search", "/search", _search),
    Scene("tree", "/tree"),
    Scene("fragment-rebuilt", _found("reconstructed")),
    Scene("fragment-blank", _found("blank")),
    Scene("fragment-edited", _edited),
    Scene("topology", "/topology"),
    Scene("topology-threads", "/topology", _threads),
    Scene("blanks", "/blanks"),
    Scene("dreams", "/dreams"),
    Scene("dreams-dry", "/dreams", _dream_dry),
    Scene("dream", _last_dream),
    Scene("dream-end", _last_dream, _to_the_end),
    Scene("reconstructions", "/reconstructions"),
    Scene("usage", "/usage"),
    Scene("usage-end", "/usage", _to_the_end),
    Scene("keys", "/keys"),
    Scene("keys-asked", "/keys", _revoke),
    Scene("audit", "/audit", _open_first),
    Scene("menu", "/", _menu),
    Scene("missing", "/nowhere"),
)
"""Of a full memory."""

EMPTY = tuple(Scene(f"empty-{place.name.lower()}", place.path) for place in PLACES)
"""Of a memory that holds nothing."""

LAST = (Scene("dreaming", "/dreams", _dream),)
"""What changes the memory for good."""
