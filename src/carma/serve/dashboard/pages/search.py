"""Search: find fragments by meaning and words, and see what made each score."""

from __future__ import annotations

from collections.abc import Mapping

from carma.memory.memory import Memory
from carma.models import Hit, SearchResult
from carma.serve.dashboard.forms import Choice, Field
from carma.serve.dashboard.pieces import (
    box,
    button,
    card,
    chip,
    fragment_text,
    line,
    link,
    meter,
    named,
    nothing,
    row,
)
from carma.serve.dashboard.say import percent, plural
from carma.serve.dashboard.view import View, page

__all__ = ["search"]

_LIMIT = 20
_TEXT = 600
_MODES = (("hybrid", "meaning and words"), ("vector", "meaning"), ("words", "words"))
_PARTS = {
    "score": "what decides the order",
    "vector": "cosine of query and text",
    "words": "words that both have (BM25)",
    "neighbours": "share of the fragments beside it",
    "context": "share of the fragment above it",
}


@page("/search", "Search")
async def search(view: View) -> None:
    """The page."""

    async def find() -> None:
        query, mode = field.value.strip(), choice.value
        if not query:
            return

        def work(memory: Memory) -> SearchResult:
            return memory.search(query, mode=mode, limit=_LIMIT, explain=True)

        result = await view.asking.ask("search", work)
        view.asking.services.metrics.searched(result)
        said.text = _sentence(result)
        found.clear()
        with found:
            _show(result)

    with card(), row():
        with box("grow"):
            field = Field(
                "Search for", id="query", on_enter=view.does(find), hidden_name=True, type="search",
                placeholder="What do you want to know?", enterkeyhint="search",
            )  # fmt: skip
        with box():
            choice = Choice("Search by", _MODES, id="mode")
        button("Search", view.does(find), id="search")
    said = line(
        "Every hit is proven when it is read. What is lost for now is found by what is still known of it.",
        "p", "soft", id="said", role="status",
    )  # fmt: skip
    found = box("stack", id="found")


def _sentence(result: SearchResult) -> str:
    return f"{plural(len(result.hits), 'hit')} in {result.took_ms:.0f} ms"


def _show(result: SearchResult) -> None:
    if result.degraded:
        with card("Something was missing"), box("list", "ul"):
            for reason in result.reasons:
                line(reason, "li")
    if not result.hits:
        nothing("Nothing was found.", "Try other words, or search by meaning alone.")
        return
    best = {name: max((_value(hit, name) or 0.0) for hit in result.hits) for name in _PARTS}
    for number, hit in enumerate(result.hits, 1):
        _hit(number, hit, best)


def _value(hit: Hit, name: str) -> float | None:
    """A part of what made a hit's score, or the score."""
    if name == "score" or hit.parts is None:
        return hit.score if name == "score" else None
    value: float | None = getattr(hit.parts, name)
    return value


def _hit(number: int, hit: Hit, best: Mapping[str, float]) -> None:
    fragment = hit.fragment
    with card(classes="hit"):
        with row("between"):
            with row():
                line(f"{number}.", "span", "soft")
                named(fragment.state)
                chip(fragment.kind)
                if fragment.repair is not None and fragment.repair.confidence is not None:
                    chip(f"confidence {percent(fragment.repair.confidence)}")
            link("open", f"/tree/{fragment.id}")
        fragment_text(fragment, _TEXT)
        with box("parts"):
            for name, what in _PARTS.items():
                _part(name, what, _value(hit, name), best[name])


def _part(name: str, what: str, value: float | None, best: float) -> None:
    """A number, and how it compares with the best of this answer."""
    with box(title=what):
        line(name, "span", "soft")
        line("–" if value is None else f"{value:.3f}", "span", "number")
        meter(value / best if value is not None and best > 0 else 0.0, f"{name}, of the best")
