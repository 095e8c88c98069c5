"""Pictures of every page, light and dark, on a desk and on a phone: `python -m tests.dashboard.pictures DIR`.

The memory is the one of `seeded`, filled with the project's own documentation, with the packaged embedder.
The README's own is taken by `test_readme_picture`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carma.embed import Embedder, MiniLM
from tests.dashboard.browsing import DESK, PHONE, Visitor, chromium
from tests.dashboard.harm import SETTINGS
from tests.dashboard.scenes import EMPTY, FULL, LAST, Scene
from tests.dashboard.seeded import fill
from tests.serve.running import Running, running

__all__ = ["readme_picture", "seeded_server"]

DOCS = Path(__file__).resolve().parents[2] / "docs"
_SETTLES_MS = 350


@contextmanager
def seeded_server(
    folder: Path, docs: Path, embedder: Embedder | None = None
) -> Iterator[tuple[Running, Any, str]]:
    """A server with one full account; the server, the account, its key."""
    with running(folder / "data", memory=SETTINGS, embedder=embedder) as run:
        account, key = run.join("ada")
        fill(run, account, docs)
        yield run, account, key


def readme_picture(visitor: Visitor, file: Path) -> tuple[Any, Any]:
    """Take the picture that the README shows; the page and the frame that are in it."""
    visitor.enter()
    page = visitor.open("/topology")
    page.frame_locator("#picture").locator("#legend").wait_for()
    page.wait_for_timeout(500)
    page.screenshot(path=file)
    frame = page.locator("#picture").element_handle().content_frame()
    return page, frame


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", metavar="WORDS", help="only names that hold one of these words")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="carma-pictures-") as place,
        chromium() as windows,
        seeded_server(Path(place), DOCS, MiniLM(2)) as (run, account, key),
    ):
        given.folder.mkdir(parents=True, exist_ok=True)
        for scenes, (whose, secret) in (
            (FULL, (account, key)), (EMPTY, run.join("bob")), (LAST, (account, key)),
        ):  # fmt: skip
            for size, viewport in (("desk", DESK), ("phone", PHONE)):
                visitor = Visitor(windows, run, whose, secret, viewport=viewport)
                _take(visitor, scenes, size, given.folder, given.only.split())
                visitor.leave()


def _take(visitor: Visitor, scenes: Sequence[Scene], size: str, folder: Path, only: Sequence[str]) -> None:
    """The scenes in both schemes; what the browser complained about is printed beside the name."""
    for scene in scenes:
        for scheme in ("light", "dark"):
            name = f"{scene.name}-{size}-{scheme}"
            if only and not any(word in name for word in only):
                continue
            visitor.page.emulate_media(color_scheme=scheme)
            if scene.path == "/sign-in":
                visitor.page.goto(f"{visitor.run.url}/sign-in")
            else:
                if not visitor.cookies():
                    visitor.enter()
                visitor.open(scene.path if isinstance(scene.path, str) else scene.path(visitor))
            scene.act(visitor)
            visitor.page.wait_for_timeout(_SETTLES_MS)
            visitor.page.screenshot(path=folder / f"{name}.png")
            print(name, *visitor.errors)
            visitor.errors.clear()


if __name__ == "__main__":
    main()
