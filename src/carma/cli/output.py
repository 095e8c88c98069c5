"""The one place that decides what a command prints: JSON, a picture for a terminal, or plain lines.

A command hands over all three: the JSON value, the plain lines (made only when asked for), and the picture.
Plain lines hold tab-separated fields, one fragment a line, and never an escape sequence, whatever the
environment says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Output", "clean", "one_line", "progress_bar"]

Update = Callable[[int, int, str], None]
"""Tells progress: how much is done, of how much, and what is being done."""


class Output:
    """Where a command's results go.

    as_json: one JSON value and nothing else. Otherwise a picture if standard output is a terminal, else plain
    lines.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.terminal = not as_json and sys.stdout.isatty()

    def show(
        self,
        value: Any,
        lines: Callable[[], Iterable[str]],
        picture: Callable[[], RenderableType] | None = None,
    ) -> None:
        """Print a result: `value` as JSON, `picture` on a terminal if there is one, else `lines`."""
        if self.as_json:
            self._write(_json(value, sys.stdout))
        elif self.terminal and picture is not None:
            self.console().print(picture())
        else:
            for line in lines():
                self._write(line)

    def note(self, text: str) -> None:
        """A remark for people, on standard error; JSON carries it in its value."""
        if not self.as_json:
            _write(f"carma: {clean(text)}", sys.stderr)

    def console(self) -> Console:
        """A Rich console on standard output; it reads neither markup nor emoji out of stored text."""
        from rich.console import Console

        return Console(markup=False, highlight=False, emoji=False)

    @contextmanager
    def progress(self, title: str, unit: str) -> Iterator[Update]:
        """A progress bar on standard error, if that is a terminal; `title` stands before it."""
        if self.as_json:
            yield lambda done, total, what: None
            return
        with progress_bar(title, unit) as update:
            yield update

    def _write(self, line: str) -> None:
        _write(line, sys.stdout)


@contextmanager
def progress_bar(title: str, unit: str, least: int = 0) -> Iterator[Update]:
    """A progress bar on standard error, if that is a terminal, from the first telling of `least` or more."""
    shown: Update | None = None

    def update(done: int, total: int, what: str) -> None:
        nonlocal shown
        if shown is None and total >= least and sys.stderr.isatty():
            shown = stack.enter_context(_bar(title, unit))
        if shown is not None:
            shown(done, total, what)

    with ExitStack() as stack:
        yield update


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} " + unit), TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=0, what="")

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=max(total, 1), what=_end_of(clean(what), 24))

        yield update


def clean(text: str) -> str:
    """Text as it can be shown: control characters, which could steer a terminal, become U+FFFD."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" or not _steers(c) else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """Text on one line: every run of white space is one space, and no control characters."""
    return clean(" ".join(text.split()))


def _steers(character: str) -> bool:
    """C0 and C1 controls, and the marks that turn the direction of writing around (Trojan Source, 2021)."""
    return (
        ord(character) < 0x20
        or 0x7F <= ord(character) <= 0x9F
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _end_of(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[1 - width :]


def _json(value: Any, stream: TextIO) -> str:
    """One line in a pipe, indented on a terminal; ASCII where the stream cannot hold everything."""
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not unicode, indent=2 if stream.isatty() else None)


def _write(line: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
