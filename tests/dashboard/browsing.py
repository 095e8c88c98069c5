"""A real Chromium, and somebody who looks at the dashboard with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from carma.memory.memory import Memory
from carma.serve.accounts import Account
from tests.serve.running import Running

__all__ = ["DESK", "PHONE", "Visitor", "Windows", "chromium"]

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
_PATIENCE_MS = 30_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Windows]:
    """The windows of a Chromium of this machine. Skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    # As root Chromium has no sandbox to start in.
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=flags)
        yield Windows(browser)
        browser.close()


class Windows:
    """Windows of one browser without a screen. Each has cookies of its own; one that was given back is used
    again, because it has read NiceGUI's scripts already.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._idle: list[Any] = []

    def take(self) -> Any:
        """A window in which nobody is signed in."""
        if self._idle:
            return self._idle.pop()
        made = self._browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
        made.set_default_timeout(_PATIENCE_MS)
        return made

    def give_back(self, window: Any) -> None:
        """Forget who was signed in."""
        window.clear_cookies()
        self._idle.append(window)


class Visitor:
    """Somebody with an account, a key and a browser of their own.

    errors: what the browser complained about, policies that were broken included. strangers: requests to
    another host. told: the requests' headers and bodies, as one text each.
    """

    def __init__(
        self, windows: Windows, run: Running, account: Account, key: str, viewport: Any = DESK
    ) -> None:
        self.run, self.account, self.key = run, account, key
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.requests: list[str] = []
        self._windows = windows
        self._context = windows.take()
        self._context.on("request", self._asked)
        self.page = self._context.new_page()
        self.page.set_viewport_size(viewport)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", lambda socket: self._note(socket.url))

    def enter(self) -> None:
        """Sign in without the form, as its script does."""
        answer = self._context.request.post(
            f"{self.run.url}/sign-in", headers={"authorization": f"Bearer {self.key}", "origin": self.run.url}
        )
        assert answer.status == 204

    def leave(self) -> None:
        """Close the page, and give the window back."""
        self.page.close()
        self._context.remove_listener("request", self._asked)
        self._windows.give_back(self._context)

    def open(self, path: str) -> Any:
        """Go to a page and wait until it is alive; the page."""
        self.page.goto(f"{self.run.url}{path}")
        self.page.wait_for_function("window.did_handshake === true")
        return self.page

    def memory(self) -> Any:
        """The visitor's memory, borrowed."""
        return self.run.server.services.block.seat(self.account.id).use()

    def remember(self, *texts: str, **more: Any) -> list[str]:
        """Add texts behind the dashboard's back; their ids."""
        memory: Memory
        with self.memory() as memory:
            return [memory.add(text, **more).id for text in texts]

    def forgive(self, *words: str) -> None:
        """Errors that hold one of these words were meant: the browser calls each refusal one."""
        self.errors[:] = [each for each in self.errors if not any(word in each for word in words)]

    def cookies(self) -> list[Any]:
        """What the browser keeps as cookies."""
        return list(self._context.cookies())

    def storage(self) -> str:
        """Everything else that the page could have kept, as one text."""
        return str(self.page.evaluate(_KEPT))

    def _asked(self, request: Any) -> None:
        self._note(request.url)

    def _note(self, url: str) -> None:
        self.requests.append(url)
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != urlsplit(self.run.url).netloc:
            self.strangers.append(url)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)


_KEPT = """async () => JSON.stringify({
  local: {...localStorage}, session: {...sessionStorage}, name: window.name, cookie: document.cookie,
  databases: await indexedDB.databases(), caches: globalThis.caches ? await caches.keys() : [],
})"""
