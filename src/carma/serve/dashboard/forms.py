"""Fields of the browser's own kind, whose value is known here when a button is pressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui

from carma.serve.dashboard.pieces import box, line

__all__ = ["Area", "Choice", "Field", "Tick"]


class Field:
    """A line to write in, empty at first. on_enter: called at Enter.

    The browser is never told a value: each time anything of the page changes, it would put that back over
    what somebody is writing.
    """

    tag = "input"

    def __init__(
        self,
        name: str,
        *,
        id: str,
        on_enter: Callable[[], Awaitable[None]] | None = None,
        hidden_name: bool = False,
        **attributes: Any,
    ) -> None:
        self.value = ""
        if not hidden_name:
            line(name, "label", "soft", **{"for": id})
        given = {"id": id, "aria-label": name, "autocomplete": "off", **attributes}
        if self.tag == "input":
            given |= {"type": "text", **attributes}
        self.element = box("field", self.tag, **given)
        self.element.on(
            "input", self._changed, js_handler="(event) => emit(event.target.value)", throttle=0.0
        )
        if on_enter is not None:
            self.element.on("keydown.enter", on_enter, args=[])

    def _changed(self, event: Any) -> None:
        self.value = event.args if isinstance(event.args, str) else ""

    def clear(self) -> None:
        """Empty it, in the browser too."""
        self.value = ""
        ui.run_javascript(f'document.getElementById("{self.element.props["id"]}").value = ""')


class Area(Field):
    """Several lines to write in."""

    tag = "textarea"


class Choice:
    """One of several. options: value and name."""

    def __init__(self, name: str, options: Sequence[tuple[str, str]], *, id: str) -> None:
        self.value = options[0][0]
        self._known = {value for value, _ in options}
        element = box("field", "select", id=id, **{"aria-label": name})
        with element:
            for value, shown in options:
                line(shown, "option", value=value)
        element.on("change", self._changed, js_handler="(event) => emit(event.target.value)")

    def _changed(self, event: Any) -> None:
        if event.args in self._known:
            self.value = event.args


class Tick:
    """Yes or no."""

    def __init__(
        self,
        name: str,
        value: bool = False,
        *,
        id: str,
        on_change: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.value = value
        self._on_change = on_change
        with box("", "label"):
            given = {"type": "checkbox", "id": id, **({"checked": True} if value else {})}
            element = box("", "input", **given)
            line(name, "span")
        element.on("change", self._changed, js_handler="(event) => emit(event.target.checked)")

    async def _changed(self, event: Any) -> None:
        self.value = event.args is True
        if self._on_change is not None:
            await self._on_change()
