"""Keys: the account's own; rotate and revoke them. A new secret is shown once, in this page only.

All of it needs the permission to administer. A key can only be rotated by one that may at least as much: the
new secret may what the old one may, and whoever rotates it gets to know it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui
from nicegui.element import Element

from carma.access.keys.permissions import in_words
from carma.access.keys.record import StoredKey
from carma.errors import Forbidden, KeyNotFound
from carma.serve.dashboard.pieces import asked, box, button, card, chip, facts, hint, line, row
from carma.serve.dashboard.say import when
from carma.serve.dashboard.view import View, page

__all__ = ["keys"]

_NEEDS = "rotate_key"
Doing = Callable[[str], Awaitable[None]]
"""Does something with the key of a name."""


@page("/keys", "Keys")
async def keys(view: View) -> None:
    """The page."""
    shown = box("stack", id="new-key", **{"aria-live": "assertive"})
    listed = box("stack", id="keys")

    async def show() -> None:
        mine = await view.asking.run(_NEEDS, partial(_mine, view))
        listed.clear()
        with listed:
            _list(view, mine, rotate, revoke)

    async def rotate(name: str) -> None:
        def work() -> tuple[str, str, StoredKey]:
            old = _own(view, name)
            if not set(old.permissions) <= set(view.asking.principal.permissions):
                raise Forbidden(
                    "That key may more than the one that signed in.", hint="Sign in with that key."
                )
            view.asking.services.may_rotate(view.asking.principal.account)
            new, stored = view.asking.services.keys.rotate(name, by=view.asking.principal.key)
            return new.text, new.fingerprint, stored

        text, _, _ = await view.asking.run(_NEEDS, work)
        shown.clear()
        with shown:
            _once(text, shown)
        await show()

    async def revoke(name: str) -> None:
        def work() -> StoredKey:
            _own(view, name)
            return view.asking.services.keys.revoke(name, by=view.asking.principal.key)

        await view.asking.run(_NEEDS, work)
        ui.notify("Revoked. It opens nothing any more.")
        await show()

    await show()


def _mine(view: View) -> list[StoredKey]:
    """The account's keys, the newest first."""
    account = view.asking.principal.account
    found = [key for key in view.asking.services.keys.keys().values() if key.owner == account]
    return sorted(found, key=lambda key: -key.created)


def _own(view: View, name: str) -> StoredKey:
    """A key of the account's own. Raises KeyNotFound, for another account's too."""
    key = view.asking.services.keys.get(name)
    if key.owner != view.asking.principal.account:
        raise KeyNotFound("There is no such key.")
    return key


def _list(view: View, mine: list[StoredKey], rotate: Doing, revoke: Doing) -> None:
    now = view.now
    with card("Keys of this account"):
        hint("Their names are shown, never what opens anything.")
        with box("list", "ul"):
            for key in mine:
                with box("key-row", "li"):
                    _key(view, key, now, rotate, revoke)


def _key(view: View, key: StoredKey, now: float, rotate: Doing, revoke: Doing) -> None:
    own = key.name == view.asking.principal.name
    state = "expired" if key.state != "revoked" and now >= key.until() else key.state
    with row():
        line(view.asking.services.keys.fingerprint(key), "span", "mono")
        chip(state, "good" if state == "active" else "bad" if state in ("revoked", "expired") else "")
        chip(key.kind)
        if own:
            chip("signed in here")
    known = {"may": in_words(key.permissions), "created": when(key.created)}
    if key.expires is not None:
        known["expires"] = when(key.expires)
    if key.grace_until is not None:
        known["works until"] = when(key.grace_until)
    facts(known)
    if state in ("revoked", "expired"):
        return
    with row():
        if key.state == "active":
            button(
                "Rotate",
                _asked(view, "Rotate this key?", "A new key takes its place; the old one works for a week.",
                       "Rotate", partial(rotate, key.name)),
                "plain rotate",
            )  # fmt: skip
        warning = (
            "This is the key that signed in: you will be signed out."
            if own
            else "It opens nothing from then on."
        )
        button(
            "Revoke",
            _asked(view, "Revoke this key?", warning, "Revoke", partial(revoke, key.name), harsh=True),
            "harsh revoke",
        )


def _asked(
    view: View, title: str, what: str, yes: str, work: Callable[[], Awaitable[None]], *, harsh: bool = False
) -> Callable[[], Awaitable[None]]:
    """A handler that asks before it works."""

    async def ask() -> None:
        if await asked(title, what, yes, harsh=harsh):
            await work()

    return view.does(ask)


def _once(text: str, sheet: Element) -> None:
    with card("The new key, shown this once"):
        line(text, "p", "secret", id="secret")
        hint("Copy it now and keep it where secrets are kept. It cannot be shown again.")

        def gone() -> None:
            sheet.clear()

        button("I have it", gone, id="have-it")
