"""Audit: the account's own entries of the log, each proven against the signed checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from carma.serve.dashboard.pieces import box, button, card, chip, facts, hint, line, nothing, row
from carma.serve.dashboard.proving import Proven, proven
from carma.serve.dashboard.say import count, plural
from carma.serve.dashboard.view import View, page

__all__ = ["audit"]

_PAGE = 50


@page("/audit", "Audit")
async def audit(view: View) -> None:
    """The page."""
    hint(
        "Every change, key event, dream and denial is an entry that cannot be altered or removed unnoticed. "
        "Entries hold no text. What is checked here is checked by this server; the command carma audit "
        "verify checks it from outside."
    )
    head = box("stack", id="verification", **{"aria-live": "polite"})
    listed = box("stack", id="entries")
    cursor: list[str | None] = [None]

    async def more() -> None:
        found = await view.asking.run("audit", partial(_read, view, cursor[0]))
        cursor[0] = found.page.cursor
        head.clear()
        with head:
            _checked(found)
        with listed:
            _list(found)
        further.set_visibility(cursor[0] is not None and bool(found.page.entries))

    further = button("Older entries", view.does(more), "plain", id="older")
    await more()


def _read(view: View, cursor: str | None) -> Proven:
    book = view.asking.services.audit
    return proven(book.page(view.asking.principal.account, _PAGE, cursor), book.verifiers())


def _checked(found: Proven) -> None:
    with card("Verification"):
        right = all(found.right)
        with row():
            chip(
                "signature holds" if found.signers else "no signature holds",
                "good" if found.signers else "bad",
            ).props["id"] = "signature"
            said = "each entry is proven to stand in the log" if right else "an entry is not what was logged"
            chip(said, "good" if right else "bad").props["id"] = "proofs"
        facts({
            "entries of the log": count(found.page.size), "signed by": ", ".join(found.signers) or "nobody",
            "root": found.root,
        })  # fmt: skip


def _list(found: Proven) -> None:
    if not found.page.entries:
        nothing("There are no entries.", "What this account does appears here a moment later.")
        return
    with card(plural(len(found.page.entries), "entry", "entries") + ", the newest first"), box("list", "ul"):
        for entry, right in zip(found.page.entries, found.right, strict=True):
            with box("entry", "li"), box("", "details"):
                with box("", "summary"):
                    line(str(entry.leaf.get("operation", "entry")), "span", "name")
                    chip("proven" if right else "not proven", "good" if right else "bad")
                    line(_moment(entry.leaf), "span", "soft when")
                facts(
                    [
                        ("entry", str(entry.index)),
                        *((name, _said(value)) for name, value in entry.leaf.items()),
                    ]
                )


def _moment(leaf: Any) -> str:
    value = leaf.get("time")
    if not isinstance(value, int | float):
        return ""
    return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_said(each)}" for name, each in value.items()) or "none"
    return str(value)
