"""A page being shown: the frame around it, who looks at it, and what happens when something fails.

Every page is registered by `page`; it gets a `View` and fills it. Errors are said in the page, in the words
of the error tree; what nobody foresaw goes to the server's log by its kind and place, never with its text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import Request
from nicegui import ui
from nicegui.element import Element

from carma.errors import CarmaError, Unauthorized
from carma.serve.dashboard.asking import Asking
from carma.serve.dashboard.assets import address_of
from carma.serve.dashboard.pieces import box, button, line, link, problem
from carma.serve.dashboard.places import PLACES
from carma.serve.log import failure
from carma.serve.problems import problem_of

__all__ = ["View", "page"]

_SCHEMES: dict[bool | None, tuple[str, str, bool | None]] = {
    None: ("system", "light dark", False),
    False: ("light", "light", True),
    True: ("dark", "dark", None),
}
"""For each choice its name, what a style sheet calls it, and the choice that a click leads to."""


class View:
    """One page that somebody looks at. body: what the page fills."""

    def __init__(self, asking: Asking, request: Request) -> None:
        self.asking = asking
        self.request = request
        self.body: Element

    @property
    def now(self) -> float:
        """The server's time."""
        return self.asking.services.clock.now()

    @asynccontextmanager
    async def trying(self, *, where: Element | None = None) -> AsyncIterator[None]:
        """Within the block, what fails is said: in `where`, else as a notice."""
        try:
            yield
        except Unauthorized:
            ui.navigate.to("/sign-in")
        except Exception as error:
            if not isinstance(error, CarmaError):
                self.asking.log.error("page-failed", page=self.request.url.path, **failure(error))
            told = problem_of(error, "")
            if where is not None:
                with where:
                    problem(told["detail"], told["hint"])
            else:
                ui.notify(
                    f"{told['detail']} {told['hint']}", type="negative", timeout=8000, close_button="OK"
                )

    def does(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A handler whose failures are said."""

        async def done() -> None:
            async with self.trying():
                await work()

        return done

    def every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> ui.timer:
        """Do something again and again while the page is open; one turn at a time."""
        return ui.timer(interval_s, self.does(work), immediate=False)

    def frame(self, title: str) -> None:
        """The frame of the page; `body` is what is in it."""
        visit = self.asking.visit
        ui.add_head_html(f"<style>:root{{color-scheme:{_SCHEMES[visit.dark][1]}}}</style>")
        ui.add_head_html(f'<link rel="stylesheet" href="{address_of("style.css")}">')
        ui.add_head_html(f'<script defer src="{address_of("keys.js")}"></script>')
        self._dark = ui.dark_mode(visit.dark)
        link("Skip to the content", "#content", "skip")
        with box("shell"):
            self._navigation()
            with box("page", "main", id="content", tabindex="-1"):
                line(title, "h1")
                self.body = box("body")
        _shortcuts()

    def _navigation(self) -> None:
        path = self.request.url.path
        with box("side", "header"):
            with box("top"):
                with box("brand", "a", href="/"):
                    box("", "img", src=address_of("mark.svg"), alt="", width="26", height="26")
                    line("CARMA", "span")
                line(
                    "Menu", "button", "act menu", type="button", id="menu",
                    **{"aria-controls": "navigation", "aria-expanded": "false"},
                )  # fmt: skip
            with box("navigation", "nav", id="navigation", **{"aria-label": "Pages"}):
                with box("", "ul"):
                    for target, name, key in PLACES:
                        here = path == target or (target != "/" and path.startswith(f"{target}/"))
                        with (
                            box("", "li"),
                            box("here" if here else "", "a", href=target, title=f"Key: {key}") as item,
                        ):
                            line(name, "span")
                            line(key, "kbd")
                        if here:
                            item.props["aria-current"] = "page"
                with box("foot"):
                    line(self._whose(), "p", "soft")
                    self._scheme_button = button(self._scheme(), self._turn, "quiet", id="dark")
                    line(
                        "Shortcuts: ?", "button", "act quiet", type="button", id="show-shortcuts",
                        **{"aria-haspopup": "dialog"},
                    )  # fmt: skip
                    with box("", "form", method="post", action="/sign-out"):
                        line("Sign out", "button", "act quiet", type="submit")

    def _whose(self) -> str:
        account = self.asking.seat.account
        return f"{account.name} · seat {account.seat}"

    def _scheme(self) -> str:
        return f"Theme: {_SCHEMES[self.asking.visit.dark][0]}"

    def _turn(self) -> None:
        visit = self.asking.visit
        visit.dark = _SCHEMES[visit.dark][2]
        self._dark.value = visit.dark
        ui.run_javascript(f'carmaScheme("{_SCHEMES[visit.dark][1]}")')
        self._scheme_button.text = self._scheme()


_SHORTCUTS = (
    ("/", "the search field"),
    ("?", "this list"),
    ("Tab", "next link or field"),
    ("Enter", "press, search"),
    ("Esc", "close"),
)


def _shortcuts() -> None:
    """The list of keys, a dialog of the browser's own: `?` opens it, Escape closes it."""
    with box("dialog", "dialog", id="shortcuts", **{"aria-labelledby": "shortcuts-title"}):
        line("Keyboard shortcuts", "h2", id="shortcuts-title")
        with box("shortcuts", "dl"):
            for key, what in (*((place.key, place.name) for place in PLACES), *_SHORTCUTS):
                with box("", "div"):
                    with box("", "dt"):
                        line(key, "kbd")
                    line(what, "dd")
        line("Close", "button", "act plain", type="button", id="close-shortcuts")


Build = Callable[[View], Awaitable[None]]


def page(path: str, title: str) -> Callable[[Build], Build]:
    """Register a page: the function fills the body of the view it is given."""

    def add(build: Build) -> Build:
        @ui.page(path, title=f"{title} – CARMA", response_timeout=60.0)
        async def shown(request: Request) -> None:
            asking: Asking = request.scope["carma.asking"]
            view = View(asking, request)
            ui.context.client.on_connect(lambda: _same_visit(asking))
            view.frame(title)
            async with view.trying(where=view.body):
                with view.body:
                    await build(view)

        return build

    return add


def _same_visit(asking: Asking) -> None:
    """A socket belongs to the visit whose page it is; another visit's is shown nothing."""
    client = ui.context.client
    scope = (client.environ or {}).get("asgi.scope", {})
    if scope.get("carma.visit") is not asking.visit:
        client.delete()
