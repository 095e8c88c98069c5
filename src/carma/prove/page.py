"""The report of the experiment as one page: report.html, which needs nothing else and works offline.

All text of the report is escaped; the page runs no script, and its policy (CSP) forbids every request.
Charts are SVG inside the page, so they print sharply and follow the reader's light or dark ground.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from carma.healing.topology.palette import DARK, LIGHT
from carma.prove.charts import Chart, spoken, svg
from carma.prove.differences import marked, printable
from carma.prove.pictures import write_pngs
from carma.prove.plots import number, part, plots
from carma.prove.verdict import asked, rows, summary_lines, told, verdict

__all__ = ["report_page", "summary_lines", "write_pngs", "write_report"]

_PARTS = {
    "Latency": ("latency", "latency_series"),
    "Recovery": ("outcome", "rungs", "cycles_left"),
    "Quality": ("similarity", "cycles"),
    "Calibration": ("calibration",),
}
_FACTS = {
    "started": "started",
    "input": "input",
    "damage": "damage",
    "redundancy": "redundancy",
    "loss": "loss",
    "seed": "seed",
    "took_s": "took, in seconds",
}
_METHOD = (
    "The memory was made for this run and thrown away afterwards. Every answer was compared with the texts "
    "as they were before the loss. The cosine is measured under the embedder that also guides "
    "reconstruction; token F1, ROUGE-L and the recall of names, numbers and dates are measured against the "
    "lost text, which the reconstruction never saw. Fragments that came back exactly do not enter the "
    "figures of quality. This is fault tolerance and lazy rebuild."
)
_LONGEST_WRONG = 400
_STATES = {"intact", "repaired", "reconstructed", "blank"}


def write_report(report: Mapping[str, Any], folder: str | Path) -> Path:
    """Writes report.html into the folder and gives its path. Raises OSError.

    Where the folder holds topology.png, the page takes it in; where it holds topology.html (or the file
    that the report names as `topologies`), the page links to it.
    """
    folder = Path(folder)
    picture = folder / "topology.png"
    named = report.get("topologies")
    linked = Path(named).name if isinstance(named, str) else "topology.html"
    text = report_page(
        report,
        topology=linked if (folder / linked).is_file() else None,
        picture=picture.read_bytes() if picture.is_file() else None,
    )
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def report_page(
    report: Mapping[str, Any], *, topology: str | None = None, picture: bytes | None = None
) -> str:
    """The page. topology: name of the interactive page beside it; picture: a PNG of the topologies."""
    colours = "".join(f"--{state}:light-dark({LIGHT[state]},{DARK[state]});" for state in LIGHT)
    style = _asset("report.css") + f":root{{{colours}}}\n"
    title = told(report, "title") or "What was lost, and what came back"
    sections = [
        _head(report, title),
        _wrong(report),
        _table(report),
        *_charts(plots(report)),
        _topologies(topology, picture),
        _samples(report),
        _how(report),
    ]
    digest = _digest(style)
    policy = f"default-src 'none'; img-src data:; style-src '{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Mapping[str, Any], title: str) -> str:
    sentence, well = verdict(report)
    tiles = []
    for name, text in (
        ("failed_queries", "failed queries"),
        ("wrong_answers", "wrong answers"),
        ("downtime_ms", "ms downtime"),
        ("exact", "back bit for bit"),
        ("reconstructed", "reconstructed"),
        ("blank", "still blank"),
    ):
        value = number(report, name)
        if value is not None:
            tiles.append(f"<li><b>{value:,.0f}</b> {text}</li>")
    done = asked(report)
    return (
        f'<header><p class="brand">CARMA: the experiment</p><h1>{escape(title)}</h1>'
        f'<p class="verdict {"well" if well else "ill"}">{escape(sentence)}</p>'
        + (f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else "")
        + "</header>"
        + (f"<section><h2>What was asked</h2><p>{escape(done)}</p></section>" if done else "")
    )


def _wrong(report: Mapping[str, Any]) -> str:
    """What failed or was wrong, in the words of whoever noticed it."""
    errors = part(report, "dream").get("errors")
    said = [
        each
        for list_ in (report.get("examples"), errors)
        if isinstance(list_, list | tuple)
        for each in list_
    ]
    items = "".join(
        f"<li>{escape(printable(each)[:_LONGEST_WRONG])}</li>" for each in said if isinstance(each, str)
    )
    return f"<section><h2>What went wrong</h2><ul>{items}</ul></section>" if items else ""


def _table(report: Mapping[str, Any]) -> str:
    out, section = [], None
    for row in rows(report):
        if row.section != section:
            section = row.section
            out.append(f'<tr class="group"><th colspan="3" scope="colgroup">{escape(section)}</th></tr>')
        out.append(
            f'<tr><th scope="row">{escape(row.name)}</th><td class="figure">{escape(row.value)}</td>'
            f'<td class="meaning">{escape(row.meaning)}</td></tr>'
        )
    return (
        f'<section><h2>The numbers</h2><table class="numbers">{"".join(out)}</table></section>' if out else ""
    )


def _charts(made: Mapping[str, Chart]) -> list[str]:
    out = []
    for heading, names in _PARTS.items():
        shown = [made[name] for name in names if name in made]
        if shown:
            figures = "".join(
                f"<figure><figcaption>{escape(chart.title)}</figcaption>{svg(chart)}"
                f'<p class="spoken">{escape(spoken(chart))}</p></figure>'
                for chart in shown
            )
            out.append(f'<section><h2>{heading}</h2><div class="figures">{figures}</div></section>')
    return out


def _topologies(topology: str | None, picture: bytes | None) -> str:
    if topology is None and picture is None:
        return ""
    image = ""
    if picture is not None:
        data = b64encode(picture).decode()
        image = (
            '<div class="wide" tabindex="0"><img class="topology" '
            'alt="The tree and threads of the memory before the damage, damaged, and after, '
            f'coloured by state" src="data:image/png;base64,{data}"></div>'
        )
    link = (
        f'<p><a href="{escape(quote(topology))}">Open the interactive topology</a>: '
        "move, zoom, search, and see each fragment.</p>"
        if topology is not None
        else ""
    )
    return f"<section><h2>The topology: before, damaged, after</h2>{image}{link}</section>"


def _samples(report: Mapping[str, Any]) -> str:
    given = report.get("samples")
    samples = [each for each in given if isinstance(each, Mapping)] if isinstance(given, list | tuple) else []
    if not samples:
        return ""
    cards = "".join(_sample(each) for each in samples)
    return (
        "<section><h2>Sample losses</h2><p>Words that only the original has are <del>struck out</del>; words "
        "that only the reconstruction has are <ins>underlined</ins>. Case and punctuation do not count.</p>"
        f"{cards}</section>"
    )


def _sample(sample: Mapping[str, Any]) -> str:
    state = str(sample.get("state", ""))
    original, rebuilt = str(sample.get("original") or ""), str(sample.get("reconstruction") or "")
    left, right = marked(original, rebuilt) if rebuilt else (escape(printable(original)), "")
    facts = [printable(str(sample[name])) for name in ("kind", "rung", "method") if sample.get(name)]
    if len(facts) > 1 and facts[-1] == facts[-2]:
        facts.pop()
    for name, shown in (
        ("confidence", "confidence"),
        ("cosine", "cosine"),
        ("similarity", "cosine"),
        ("token_f1", "token F1"),
    ):
        value = number(sample, name)
        if (
            value is not None
            and not any(fact.startswith(shown) for fact in facts)
            and state != "blank"
            and rebuilt != original
        ):
            facts.append(f"{shown} {value:.2f}")
    if sample.get("reason"):
        facts.append(printable(str(sample["reason"])))
    if rebuilt and rebuilt == original:
        right = '<span class="same">the same text, to the letter</span>'
    elif not rebuilt:
        right = (
            '<span class="same">nothing: blank</span>'
            if state == "blank"
            else '<span class="same">no text</span>'
        )
    badge = state if state in _STATES else ""
    return (
        f'<article class="sample"><h3><span class="badge {badge}">{escape(printable(state))}</span> '
        f"<small>{escape(' · '.join(facts))}</small> "
        f"<code>{escape(printable(str(sample.get('id', ''))))}</code></h3>"
        f'<div class="pair"><div><h4>lost</h4><p dir="auto">{left}</p></div>'
        f'<div><h4>in its place now</h4><p dir="auto">{right}</p></div></div></article>'
    )


def _how(report: Mapping[str, Any]) -> str:
    facts = "".join(
        f"<dt>{shown}</dt><dd>{escape(value)}</dd>"
        for name, shown in _FACTS.items()
        if (value := told(report, name))
    )
    command = told(report, "command")
    repeat = f"<p>To repeat it:</p><pre><code>{escape(command)}</code></pre>" if command else ""
    details = f"<dl>{facts}</dl>" if facts else ""
    return f"<section><h2>How it was done</h2><p>{_METHOD}</p>{details}{repeat}</section>"


def _asset(name: str) -> str:
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
