"""The pieces that pages are put together from. Stored text enters them as text only, never as markup.

They are the browser's own elements (a heading is `h2`, a button is `button`), so that keyboards and screen
readers know them. Nothing here takes HTML.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from carma.models import Fragment, State
from carma.serve.dashboard.say import count, percent, shortened

__all__ = [
    "MEANINGS", "Handler", "asked", "bar", "box", "button", "card", "chip", "facts", "fragment_text", "hint",
    "line", "link", "mark", "meter", "named", "nothing", "problem", "row", "states_bar", "table", "tile",
    "title_of",
]  # fmt: skip

Handler = Callable[[], Awaitable[None] | None]

MEANINGS: Mapping[State, str] = {
    "intact": "as it was written",
    "repaired": "back bit for bit, proven",
    "reconstructed": "rebuilt from meaning",
    "blank": "lost for now",
}
_STATES: tuple[State, ...] = ("intact", "repaired", "reconstructed", "blank")


def line(text: str, tag: str = "p", classes: str = "", **attributes: Any) -> TextElement:
    """An element with a text."""
    made = TextElement(tag=tag, text=text).classes(classes)
    made.props.update(attributes)
    return made


def box(classes: str = "", tag: str = "div", **attributes: Any) -> Element:
    """An element to put others into."""
    made = ui.element(tag).classes(classes)
    made.props.update(attributes)
    return made


def card(title: str | None = None, classes: str = "") -> Element:
    """A sheet with a heading."""
    made = box(f"card {classes}", "section")
    if title is not None:
        with made:
            line(title, "h2")
    return made


def row(classes: str = "") -> Element:
    """Things beside each other, which wrap."""
    return box(f"row-of {classes}")


def link(text: str, target: str, classes: str = "") -> TextElement:
    """A link to another page."""
    return line(text, "a", classes, href=target)


def button(
    text: str, on_click: Handler, classes: str = "", *, shown: bool = True, **attributes: Any
) -> TextElement:
    """A button. While its work goes on it takes no second click."""
    made = line(text, "button", f"act {classes}", type="button", **attributes)
    made.set_visibility(shown)

    async def clicked() -> None:
        made.props["disabled"] = True
        made.update()
        try:
            done = on_click()
            if done is not None:
                await done
        finally:
            made.props.pop("disabled", None)
            if not made.is_deleted:
                made.update()

    made.on("click", clicked)
    return made


def mark(state: State) -> Element:
    """The sign of a state: a disc, a square, a diamond or a ring."""
    return box(f"mark {state}", "span", role="img", **{"aria-label": state})


def named(state: State) -> None:
    """A state with its sign."""
    with box("state", "span", title=MEANINGS[state]):
        mark(state)
        line(state, "span")


def chip(text: str, classes: str = "") -> TextElement:
    """A short remark."""
    return line(text, "span", f"chip {classes}")


def hint(text: str) -> TextElement:
    """A remark in small letters."""
    return line(text, "p", "soft")


def tile(name: str, value: str, note: str = "", target: str | None = None) -> None:
    """A number with its name."""
    with box("tile", "a" if target else "div", **({"href": target} if target else {})):
        line(name, "span", "soft")
        line(value, "strong")
        if note:
            line(note, "span", "soft")


def facts(pairs: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
    """Names and values."""
    with box("facts", "dl"):
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            line(name, "dt")
            line(value, "dd")


def table(
    heads: tuple[str, str], rows: Iterable[tuple[str, int]], say: Callable[[float], str] = count
) -> None:
    """Names and numbers, with a heading over each column. say: a number in words."""
    with box("", "table"):
        with box("", "thead"), box("", "tr"):
            for head in heads:
                line(head, "th", scope="col")
        with box("", "tbody"):
            for name, number in rows:
                with box("", "tr"):
                    line(name, "th", scope="row")
                    line(say(number), "td")


def meter(share: float | None, name: str) -> None:
    """A share from 0 to 1 as a bar."""
    with box("meter", "span", role="img", **{"aria-label": f"{name} {percent(share)}"}):
        box("fill", "span").style(f"width: {100 * min(max(share or 0.0, 0.0), 1.0):.1f}%")


def bar(parts: Sequence[tuple[str, float]], name: str) -> None:
    """Shares of a whole, one beside the other. parts: class and size."""
    whole = sum(size for _, size in parts) or 1
    with box("shares", role="img", **{"aria-label": name}):
        for kind, size in parts:
            if size:
                box(f"share {kind}", "span").style(f"flex-grow: {size / whole * 1000:.2f}")


def states_bar(counts: Mapping[State, int]) -> None:
    """How many fragments are in which state: a bar and its legend."""
    shown = [state for state in _STATES if state in counts]
    said = ", ".join(f"{counts[state]} {state}" for state in shown)
    bar([(state, counts[state]) for state in shown], said)
    with box("legend", "ul"):
        for state in shown:
            with box("", "li"):
                mark(state)
                line(f"{counts[state]:,}", "strong")
                line(state, "span")
                line(MEANINGS[state], "span", "soft")


def title_of(fragment: Fragment, most: int = 120) -> str:
    """What a fragment is called in a list."""
    return shortened(fragment.text, most) or f"({fragment.state}: {fragment.kind} {fragment.id[:8]})"


def fragment_text(fragment: Fragment, most: int = 4_000) -> None:
    """A fragment's text as it is, or that it is lost."""
    if fragment.state == "blank":
        reason = fragment.blank.reason if fragment.blank is not None else "unknown"
        line(f"The text is lost for now ({reason}).", "p", "text lost")
        return
    cut = len(fragment.text) > most
    line(fragment.text[:most] + ("…" if cut else ""), "p", "text", dir="auto")
    if cut:
        hint(f"{len(fragment.text) - most:,} more characters.")


def nothing(text: str, more: str = "") -> None:
    """A list that is empty, and why that is well."""
    with box("nothing"):
        line(text, "p")
        if more:
            line(more, "p", "soft")


def problem(detail: str, advice: str) -> None:
    """What went wrong."""
    with box("problem", role="alert"):
        line(detail, "p")
        line(advice, "p", "soft")


async def asked(title: str, what: str, yes: str, *, harsh: bool = False) -> bool:
    """Whether somebody says yes to a question; Escape says no. harsh: yes cannot be taken back."""
    with ui.dialog() as dialog, box("dialog", role="alertdialog", **{"aria-label": title}):
        line(title, "h2")
        line(what, "p")
        with row():
            button(yes, lambda: dialog.submit(True), "yes harsh-yes" if harsh else "yes")
            button("Cancel", lambda: dialog.submit(False), "plain")
    answer = await dialog
    dialog.delete()
    return answer is True
