"""How fragments, hits and trees look: plain lines for a pipe, Rich pictures for a terminal.

Ids are always shown whole, because every other command takes them whole; on a terminal they stand on a line
of their own under the text, so that a table fits 80 columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from carma.cli.output import clean, one_line
from carma.models import Fragment, Hit, Node, Source

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

__all__ = [
    "facts", "facts_picture", "fragment_lines", "fragment_picture", "fragments_table", "hit_lines",
    "hits_table", "place", "text_of", "tree_lines", "tree_picture", "when",
]  # fmt: skip

_SHORT_CHARS = 300
_STATE_STYLES = {"intact": "", "repaired": "green", "reconstructed": "yellow", "blank": "red"}


def text_of(fragment: Fragment) -> str:
    """The text, or in brackets why there is none."""
    if fragment.deleted:
        return "[deleted]"
    if fragment.state == "blank":
        return f"[blank: {fragment.blank.reason if fragment.blank else 'lost'}]"
    return fragment.text


def place(source: Source | None) -> str:
    """`path:line` of a source; empty if there is none."""
    if source is None:
        return ""
    return one_line(f"{source.path}:{source.line}" if source.line else source.path)


def when(seconds: float) -> str:
    """A moment in UTC, to the second; the number itself if no calendar holds it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


# Plain


def fragment_lines(fragments: Iterable[Fragment]) -> Iterator[str]:
    """Id, version, state, kind and text, with tabs between; one fragment a line."""
    for each in fragments:
        yield f"{each.id}\t{each.version}\t{each.state}\t{one_line(each.kind)}\t{one_line(text_of(each))}"


def hit_lines(hits: Iterable[Hit]) -> Iterator[str]:
    """Score, id, state, source and text, tabs between, one hit a line. Explained hits end in their parts."""
    for hit in hits:
        score, text = _number(hit.score, 4), one_line(text_of(hit.fragment))
        line = f"{score}\t{hit.id}\t{hit.state}\t{place(hit.source)}\t{text}"
        yield f"{line}\t{_parts(hit)}" if hit.parts is not None else line


def tree_lines(node: Node) -> Iterator[str]:
    """Id, a tab, and the text, two spaces further in on every level."""
    stack: list[tuple[Node, int]] = [(node, 0 if node.fragment else -1)]
    while stack:
        each, level = stack.pop()
        if each.fragment is not None:
            yield f"{each.fragment.id}\t{'  ' * level}{one_line(text_of(each.fragment))}"
        if each.more:
            yield f"\t{'  ' * (level + 1)}({each.more} more)"
        stack.extend((child, level + 1) for child in reversed(each.children))


def facts(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as rows of dotted name and value."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from facts(value, f"{above}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{above}{name}", "; ".join(map(_value, value)) or "none"
        else:
            yield f"{above}{name}", _value(value)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_value(each)}" for name, each in value.items()) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(f"{value:.6g}" if isinstance(value, float) and abs(value) < 1e6 else str(value))


def _number(value: float, places: int) -> str:
    """A score with so many decimals, unless none of them would say anything (BM25 in a tiny memory)."""
    return f"{value:.{places}f}" if value == 0 or abs(value) >= 10**-places else f"{value:.1e}"


def _parts(hit: Hit) -> str:
    """The parts of a score that saw the fragment."""
    parts = hit.parts.to_dict() if hit.parts is not None else {}
    return " ".join(f"{name}={_number(value, 3)}" for name, value in parts.items() if value is not None)


# On a terminal


def fragments_table(fragments: Sequence[Fragment], *, times: bool = False) -> RenderableType:
    """A table of fragments; with `times`, when each version was written."""
    from rich.text import Text

    if not fragments:
        return Text("No fragments.", style="dim")
    table = _table("v", "kind", *(["written"] if times else []), "fragment")
    for each in fragments:
        cells: list[RenderableType] = [str(each.version), Text(one_line(each.kind))]
        if times:
            cells.append(when(each.updated))
        table.add_row(*cells, _block(each, [each.id, place(each.source)], lines=2))
    return table


def hits_table(hits: Sequence[Hit]) -> RenderableType:
    """A table of hits, best first: score, and the text over its source and id."""
    from rich.text import Text

    if not hits:
        return Text("Nothing found.", style="dim")
    table = _table("score", "fragment")
    table.columns[0].justify = "right"
    for hit in hits:
        below = [place(hit.source), hit.id, _parts(hit)]
        table.add_row(Text(_number(hit.score, 3), style="bold cyan"), _block(hit.fragment, below, lines=3))
    return table


def fragment_picture(fragment: Fragment) -> RenderableType:
    """All of one fragment: its text in a frame, and what is known about it."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    rows: list[tuple[str, str]] = [("state", fragment.state), ("kind", fragment.kind)]
    rows += [(name, getattr(fragment, name) or "") for name in ("parent", "user", "agent", "session")]
    rows += [("source", place(fragment.source)), ("created", when(fragment.created))]
    if fragment.version > 1:
        rows.append(("updated", when(fragment.updated)))
    if fragment.expires is not None:
        rows.append(("expires", when(fragment.expires)))
    rows += [(f"metadata.{name}", value) for name, value in facts(fragment.metadata)]
    panel = Panel(
        Text(clean(text_of(fragment)), style=_STATE_STYLES[fragment.state]),
        title=f"{fragment.id} v{fragment.version}", title_align="left", border_style="dim",
    )  # fmt: skip
    return Group(panel, facts_picture([row for row in rows if row[1]]))


def facts_picture(rows: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values beside each other."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(one_line(name)), Text(one_line(value)))
    return table


def tree_picture(node: Node, *, ids: bool = False, most: int | None = None) -> RenderableType:
    """A tree with short texts, with ids under them if `ids`, and at most `most` children of each node."""
    from rich.text import Text
    from rich.tree import Tree

    top = _label(node.fragment, ids) if node.fragment else Text("memory", style="bold")
    tree = Tree(top, guide_style="dim")
    _branch(tree, node, most, lambda fragment: _label(fragment, ids))
    if not node.children and node.fragment is None:
        tree.add(Text("nothing yet", style="dim"))
    return tree


def _branch(tree: Tree, node: Node, most: int | None, label: Callable[[Fragment], Text]) -> None:
    from rich.text import Text

    shown = node.children if most is None else node.children[:most]
    for child in shown:
        if child.fragment is not None:
            _branch(tree.add(label(child.fragment)), child, most, label)
    hidden = node.more + len(node.children) - len(shown)
    if hidden:
        tree.add(Text(f"{hidden} more", style="dim"))


def _label(fragment: Fragment, ids: bool) -> Text:
    from rich.text import Text

    label = Text(no_wrap=True, overflow="ellipsis")
    if fragment.kind in ("folder", "file"):
        label.append(_short(fragment), style="bold blue" if fragment.kind == "folder" else "blue")
    else:
        label.append(
            _short(fragment), style="bold" if fragment.kind == "section" else _STATE_STYLES[fragment.state]
        )
    if ids:
        label.append(f"\n{fragment.id}", style="dim")
    return label


def _table(*names: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(names[-1], ratio=1)
    table.expand = True
    return table


def _block(fragment: Fragment, below: Sequence[str], lines: int) -> RenderableType:
    """The beginning of a text in at most `lines` lines, and in dim under it where it is from."""
    from rich.console import Group
    from rich.text import Text

    text = Text(_short(fragment), style=_STATE_STYLES[fragment.state])
    rows: list[RenderableType] = [_Clipped(text, lines)]
    if fragment.state != "intact":
        below = [fragment.state, *below]
    rows.append(Text("  ".join(filter(None, below)), style="dim", overflow="fold"))
    return Group(*rows)


def _short(fragment: Fragment) -> str:
    text = one_line(text_of(fragment)[: 4 * _SHORT_CHARS])
    return text if len(text) <= _SHORT_CHARS else text[: _SHORT_CHARS - 1] + "…"


class _Clipped:
    """A text that is wrapped to the width there is and cut after so many lines."""

    def __init__(self, text: Text, lines: int) -> None:
        self._text, self._lines = text, lines

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        wrapped = self._text.wrap(console, options.max_width)
        shown = list(wrapped[: self._lines])
        if len(wrapped) > self._lines:
            last = shown[-1]
            last.truncate(max(options.max_width - 1, 1))
            last.append("…")
        yield from shown
