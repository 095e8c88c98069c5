"""The report in words and rows: the verdict in one sentence, the table of numbers, the summary for a
terminal.

Each row is made from members of the report and left out where they are missing; nothing is computed that is
not there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

from carma.prove.charts import said
from carma.prove.differences import printable
from carma.prove.plots import number, part

__all__ = ["Row", "asked", "rows", "summary_lines", "told", "verdict"]


class Row(NamedTuple):
    """One line of the table. meaning: what the figure is, for who reads it for the first time."""

    section: str
    name: str
    value: str
    meaning: str = ""


_NAMES = {
    "evidence_recall_at_10": "Evidence found among the best 10",
    "evidence_recall_at_10_of_lost": "Evidence found, of lost fragments only",
    "found_again": "Questions that still find their fragment",
    "good": "Reconstructions judged good",
    "good_means": "Judged good means",
    "judged": "Reconstructions judged",
    "questions": "Questions with known evidence",
}
_REDUNDANCY = {
    "full": "with all redundancy in place",
    "none": "with every exact copy of them destroyed too",
    "sketch": "with every exact copy and every index entry of them destroyed too, so that only sketches and "
    "neighbours were left",
}
_SHARES = {"good", "found_again", "evidence_recall_at_10", "evidence_recall_at_10_of_lost"}
_LONGEST_ITEM = 300


def verdict(report: Mapping[str, Any]) -> tuple[str, bool]:
    """One sentence or two in plain words; and whether all went well: nothing failed, wrong or left blank."""
    lost, exact = number(report, "lost"), number(report, "exact")
    rebuilt, blank = number(report, "reconstructed"), number(report, "blank")
    failed, wrong = number(report, "failed_queries"), number(report, "wrong_answers")
    parts = []
    if lost is not None and exact is not None and not rebuilt and not blank and exact == lost:
        parts.append(f"All {said(lost)} lost fragments came back bit for bit.")
    elif lost is not None:
        named = (
            (exact, "bit for bit"),
            (rebuilt, "reconstructed from what was left"),
            (blank, "still blank"),
        )
        what = ", ".join(f"{said(count)} {name}" for count, name in named if count)
        parts.append(
            f"Of {said(lost)} lost fragments: {what}." if what else f"{said(lost)} fragments were lost."
        )
    if failed is not None and wrong is not None:
        parts.append(
            f"{_no(failed, 'query', 'queries')} failed, "
            f"{_no(wrong, 'answer was', 'answers were').lower()} wrong."
        )
    errors = part(report, "dream").get("errors")
    if errors:
        parts.append("A dream broke off.")
    return " ".join(parts) or "The report holds no figures.", not (failed or wrong or blank or errors)


def asked(report: Mapping[str, Any]) -> str:
    """What was done, in one or two sentences, as far as the report says it."""
    fragments, lost, queries = number(report, "fragments"), number(report, "lost"), number(report, "queries")
    words = []
    if fragments is not None:
        source = told(report, "input")
        words.append(
            f"A memory of {said(fragments)} fragments was made" + (f" from {source}" if source else "")
        )
    if queries is not None:
        words.append(f"{said(queries)} queries were put to it")
    if lost is not None:
        share = f" ({lost / fragments:.1%})" if fragments else ""
        damage, redundancy = told(report, "damage"), told(report, "redundancy")
        kind = f" by damage of the kind “{damage}”" if damage else ""
        left = f", {_REDUNDANCY[redundancy]}" if redundancy in _REDUNDANCY else ""
        words.append(f"{said(lost)} of its fragments{share} were then lost{kind}{left}")
    if not words:
        return ""
    again = " The same queries were asked while it was damaged, while it dreamt, and after."
    return "; ".join(words) + "." + (again if queries is not None and lost is not None else "")


def told(report: Mapping[str, Any], name: str) -> str:
    """A member that is a text, a finite number or a list of texts, to be shown; empty if it is anything
    else.
    """
    value = report.get(name)
    if isinstance(value, list | tuple):
        names = [printable(each) for each in value if isinstance(each, str)]
        return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
    if isinstance(value, str):
        return printable(value)
    return "" if number(report, name) is None else f"{value}"


def rows(report: Mapping[str, Any]) -> list[Row]:
    """The table of numbers, in reading order."""
    out = [*_service(report), *_recovery(report), *_quality(report), *_judged(part(report, "judge"))]
    return [row for row in out if row.value]


def summary_lines(report: Mapping[str, Any], width: int = 80) -> list[str]:
    """The report for a terminal: the verdict, then names and values. No line is longer than `width` (at
    least 20).
    """
    width = max(20, width)
    out = textwrap.wrap(printable(verdict(report)[0]), width)
    section = ""
    wide = min(34, width // 2)
    for row in rows(report):
        if row.section != section:
            section = row.section
            out += ["", section[:width]]
        name = textwrap.wrap(row.name, wide - 3)
        value = textwrap.wrap(printable(row.value), width - wide) or [""]
        for at in range(max(len(name), len(value))):
            left = name[at] if at < len(name) else ""
            out.append(
                f"  {left:<{wide - 2}}{value[at] if at < len(value) else ''}".rstrip().replace("\u00a0", " ")
            )
    return out


def _service(report: Mapping[str, Any]) -> list[Row]:
    phases = part(report, "asked")
    each = ", ".join(
        f"{printable(str(name))} {said(value)}"
        for name in phases
        if (value := number(phases, name)) is not None
    )
    section = "Answers"
    return [
        Row(
            section,
            "Queries",
            _count(report, "queries") + (f" ({each})" if each else ""),
            "different ones; how often asked in each phase",
        ),
        Row(
            section,
            "Failed queries",
            _count(report, "failed_queries"),
            "after the loss: errors, or nothing in place of an answer",
        ),
        Row(
            section,
            "Wrong answers",
            _count(report, "wrong_answers"),
            "a text given out as the original that is not it",
        ),
        Row(section, "Downtime", _with(report, "downtime_ms", "ms"), "longest wait beyond what is normal"),
        Row(
            section,
            "Same best 10 answers",
            _named(part(report, "answer_overlap_at_10"), share=True),
            "share that is as before the loss",
        ),
        *(
            Row(
                section,
                f"Latency {printable(str(phase))}",
                _named(part(part(report, "latency_ms"), phase), unit="\u00a0ms"),
            )
            for phase in part(report, "latency_ms")
        ),
    ]


def _recovery(report: Mapping[str, Any]) -> list[Row]:
    lost, section = number(report, "lost"), "Recovery"

    def of_lost(name: str) -> str:
        value = number(report, name)
        if value is None:
            return ""
        return f"{said(value)} ({value / lost:.1%} of the lost)" if lost else said(value)

    planned, actual = number(report, "dream", "planned_s"), number(report, "dream", "actual_s")
    dream = f"{said(actual)} s" if actual is not None else ""
    if dream and planned is not None:
        dream += f" of {said(planned)} s planned"
    files = part(report, "files")
    return [
        Row(section, "Fragments", _count(report, "fragments")),
        Row(section, "Lost", _count(report, "lost")),
        Row(section, "Recovered", of_lost("recovered"), "exact and reconstructed"),
        Row(section, "Exact", of_lost("exact"), "the very bytes, proven by digest"),
        Row(section, "Reconstructed", of_lost("reconstructed"), "rebuilt from what was left, and flagged"),
        Row(section, "Blank", of_lost("blank"), "known to be lost, and flagged"),
        Row(section, "Dream cycles", _count(report, "cycles")),
        Row(section, "Time dreaming", dream, "all cycles together"),
        Row(section, "Files hit", _named({name.replace("_", " "): files[name] for name in files})),
    ]


def _quality(report: Mapping[str, Any]) -> list[Row]:
    section = "Quality of what was reconstructed"
    return [
        Row(
            section,
            "Cosine to the original",
            _named(part(report, "similarity")),
            "under the embedder that guided it",
        ),
        Row(section, "Token F1", _figure(report, "token_f1"), "words shared with the original"),
        Row(section, "ROUGE-L", _figure(report, "rouge_l"), "words in the original's order"),
        Row(
            section,
            "Names, numbers, dates",
            _figure(report, "entity_recall"),
            "share of the original's that are there",
        ),
        Row(
            section,
            "Calibration error",
            _figure(part(report, "confidence_calibration"), "ece"),
            "confidence against the share judged good",
        ),
    ]


def _judged(judge: Mapping[str, Any]) -> list[Row]:
    """Whatever the judge says: it may have other members one day."""
    out = []
    for key, value in judge.items():
        share = key in _SHARES
        name = _NAMES.get(str(key), printable(str(key)).replace("_", " ").capitalize())
        text = _named(value, share=share) if isinstance(value, Mapping) else _one(value, share)
        out.append(Row("The judge", name, text[:_LONGEST_ITEM]))
    return out


def _one(value: Any, share: bool = False, unit: str = "") -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else ("yes" if value else "no")
    if isinstance(value, int | float):
        return f"{value:.1%}" if share else said(value) + unit
    return printable(str(value)) if isinstance(value, str) else ""


def _named(values: Mapping[str, Any], *, share: bool = False, unit: str = "") -> str:
    texts = ((printable(str(name)), _one(value, share, unit)) for name, value in values.items())
    return ", ".join(f"{name} {text}" for name, text in texts if text)


def _figure(report: Mapping[str, Any], name: str) -> str:
    found = report.get(name)
    return (
        _named(found)
        if isinstance(found, Mapping)
        else said(value)
        if (value := number(report, name)) is not None
        else ""
    )


def _count(report: Mapping[str, Any], name: str) -> str:
    value = number(report, name)
    return "" if value is None else said(value)


def _with(report: Mapping[str, Any], name: str, unit: str) -> str:
    text = _count(report, name)
    return f"{text} {unit}" if text else ""


def _no(count: float, one: str, many: str) -> str:
    return f"{'No' if count == 0 else said(count)} {one if count in (0, 1) else many}"
