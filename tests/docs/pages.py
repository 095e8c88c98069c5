"""The project's Markdown files, and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]

_FENCE = re.compile(r"^(?P<indent> {0,3})(?P<fence>```+)(?P<info>[^`\n]*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind its fence, where its text begins (lines from 1), and the text."""

    info: str
    line: int
    text: str

    @property
    def language(self) -> str:
        return self.info.split(" ")[0]

    @property
    def runs(self) -> bool:
        return "no-run" not in self.info.split(" ")[1:]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order. Raises AssertionError if one is not closed."""
    info, fence, begun, lines = "", "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if not fence and match:
            info, fence, begun, lines = match["info"].strip(), match["fence"], number + 1, []
        elif fence and line.strip() == fence:
            yield Block(info, begun, "\n".join(lines))
            fence = ""
        elif fence:
            lines.append(line)
    assert not fence, f"{page.name}: the block at line {begun - 1} is not closed"


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside fenced blocks with their numbers from 1, without what stands in backticks."""
    fence = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if match and (not fence or line.strip() == fence):
            fence = "" if fence else match["fence"]
        elif not fence:
            yield number, re.sub(r"`[^`]*`", "", line)
