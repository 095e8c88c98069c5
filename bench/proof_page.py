"""The page of the proof: goals, tables and words, from the figures that `bench.proof` measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "PROOF.md"
BEGIN, END = "<!-- figures: begin (written by python -m bench.proof) -->", "<!-- figures: end -->"

Goal = tuple[str, str, str, bool]
"""What, what is to be reached, what was, and whether it is enough."""


def goals_of(known: dict[str, Any]) -> Iterable[Goal]:
    for name, row in known.items():
        for label, each in row["figures"].items():
            yield from GOALS[name](f"{TITLES[name]}, {label}", each)


def _served(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    reached = (
        f"{each['asked']:,} asked, {each['asked_while_dreaming']:,} of them while dreaming: "
        f"{each['failed_queries']} failed, {each['wrong_answers']} wrong, "
        f"downtime {each['downtime_ms']:.0f} ms"
    )
    good = not (each["failed_queries"] or each["wrong_answers"] or each["downtime_ms"])
    yield f"{what}: queries", "0 failed, 0 wrong, downtime 0", reached, good


def _exact(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    yield from _served(what, each)
    reached = f"{each['exact']} of {each['lost']} bit-exact, {each['blank']} blank"
    yield f"{what}: recovered", "all, bit-exact", reached, each["exact"] == each["lost"]


def _least(what: str, value: float | None, needed: float, n: int | None = None) -> Goal:
    """n: over how many texts it was measured, told beside it."""
    reached = "none to measure" if value is None else f"{value:.3f}"
    if value is not None and n is not None:
        reached += f", n = {n}"
    return what, f"≥ {needed}", reached, value is not None and value >= needed


def _none_goals(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    yield from _served(what, each)
    yield f"{what}: not blank", "all", f"{each['recovered']} of {each['lost']}", not each["blank"]
    yield _least(f"{what}: token F1", each["all_lost"]["token_f1"], 0.95)


def _sketch_goals(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    yield from _served(what, each)
    yield f"{what}: not blank", "all", f"{each['recovered']} of {each['lost']}", not each["blank"]
    if not what.endswith(" 5 %"):
        return
    measured = each["reconstructed_only"]
    n, cosine = measured["fragments"], measured["similarity"]
    yield _least(f"{what}: cosine, mean", cosine["mean"], 0.87, n)
    yield _least(f"{what}: token F1", measured["token_f1"], 0.55, n)
    yield _least(
        f"{what}: names, numbers, dates recalled", measured["entity_recall"], 0.75, measured["with_entities"]
    )
    if each["evidence"]["before"] is not None:
        yield _least(
            f"{what}: evidence Recall@10, healed to undamaged", each["evidence"]["healed_to_before"], 0.95
        )
    never = each["score_never_falls"]
    yield f"{what}: score over cycles", "never falls", "never falls" if never else "falls", never


def _scale_goals(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    dream = each["dream"]
    whole = dream["exact"] == each["lost"] and each["clean_after"] and not each["wrong"]
    healed = f"{dream['exact']:,} of {each['lost']:,} bit-exact in {dream['took_s']} s"
    yield f"{what}: healed", "≤ 60 s", healed, whole and dream["took_s"] <= 60
    damaged, whole_before = each["p99_dreaming_to_damaged"], each["p99_dreaming_to_awake"]
    ratios = f"{damaged} over the same damage, {whole_before} over no damage"
    yield f"{what}: p99 of reads, dreaming to awake", "≤ 1.5", ratios, whole_before <= 1.5
    for name, least in (("scan_mb_s", 200), ("encode_mb_s", 80)):
        yield f"{what}: {name[:-5]}", f"≥ {least} MB/s", f"{each[name]} MB/s", each[name] >= least


def _calibration_goals(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    error, n = each["ece"], each["n"]
    shown = "none to measure" if error is None else f"{error:.3f}, n = {n}"
    met = error is not None and error <= 0.1 and n >= FEWEST_JUDGED
    yield f"{what}: calibration error", f"≤ 0.1, n ≥ {FEWEST_JUDGED}", shown, met


def _no_goals(what: str, each: dict[str, Any]) -> Iterable[Goal]:
    return ()


COLUMNS = (
    "lost", "exact", "rebuilt, n", "blank", "cosine, mean", "p10", "min", "token F1", "ROUGE-L",
    "names, numbers, dates", "good", "ECE", "dreams",
)  # fmt: skip
FEWEST_JUDGED = 100
"""A calibration error over fewer reconstructions says nothing."""
WHEN = ("awake", "damaged", "dreaming", "after")
GOALS = {
    "damage": _exact,
    "none": _none_goals,
    "sketch": _sketch_goals,
    "pages": _sketch_goals,
    "calibration": _calibration_goals,
    "curve": _no_goals,
    "scale": _scale_goals,
}
TITLES = {
    "damage": "Default redundancy, 5 % lost",
    "none": "Only the index left, LoCoMo",
    "sketch": "Only sketches and context left, LoCoMo",
    "pages": "Only sketches and context left, this documentation",
    "calibration": "Confidence against the share judged good, LoCoMo",
    "curve": "Quality by bytes of the sketch, LoCoMo, 5 % lost",
    "scale": "A large memory, 5 % lost",
}


_SIZE_COLUMNS = (
    "cosine, mean", "p10", "min", "token F1", "names, numbers, dates", "good", "mean confidence", "ECE",
)  # fmt: skip


def publish(known: dict[str, Any], goals: Sequence[Goal]) -> None:
    """Put the figures between the two marks of the page; a page that is not there is begun."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"# The proof\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    body = "\n".join(_body(known, goals))
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def _body(known: dict[str, Any], goals: Sequence[Goal]) -> Iterable[str]:
    if not known:
        yield "Nothing was measured yet."
        return
    machine = next(iter(known.values()))["machine"]
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']},"
    yield f"Python {machine['python']}. {machine['when']}."
    yield from ("", "| what | to reach | reached | |", "|---|---|---|---|")
    for what, needed, reached, met in goals:
        yield f"| {what} | {needed} | {reached} | {'yes' if met else '**no**'} |"
    for name, row in known.items():
        runs = next(iter(row["figures"].values())).get("experiments", 1)
        about = f"`{row['command']}`, {row['took_s']} s; experiments for each line: {runs}."
        yield from ("", f"### {TITLES[name]}", "", about, "")
        if name in ("scale", "calibration"):
            yield from (_reads if name == "scale" else _calibrated)(row["figures"])
            continue
        yield "| | " + " | ".join(COLUMNS) + " |"
        yield "|---" + "|---:" * len(COLUMNS) + "|"
        for label, each in row["figures"].items():
            yield _line(label, each)
        yield ""
        for label, each in row["figures"].items():
            yield from _more(label, each)


def _line(label: str, each: dict[str, Any]) -> str:
    m = each["reconstructed_only"]
    shown = (
        *(m["similarity"][name] for name in ("mean", "p10", "min")), m["token_f1"], m["rouge_l"],
        m["entity_recall"], each["good"], each["calibration"]["ece"],
    )  # fmt: skip
    cells = [label, each["lost"], each["exact"], each["reconstructed"], each["blank"]]
    cells += ["–" if value is None else f"{value:.3f}" for value in shown]
    return "| " + " | ".join(map(str, [*cells, f"{each['dream_s']:.1f} s"])) + " |"


def _more(label: str, each: dict[str, Any]) -> Iterable[str]:
    """A line or two in words: rungs, and what is found again."""
    rungs = ", ".join(f"{rung} {count}" for rung, count in each["rungs"].items()) or "none"
    yield f"- {label}: rungs {rungs}; longest wait for an answer {each['longest_wait_ms']:.0f} ms."
    evidence = each["evidence"]
    if evidence["before"] is not None:
        yield (
            f"  Evidence Recall@10 {evidence['before']:.3f} before, {evidence['damaged']:.3f} damaged, "
            f"{evidence['healed']:.3f} healed."
        )


def _calibrated(figures: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Bins of all sizes together, then each size by itself."""
    for label, each in figures.items():
        judged = f"{each['n']} reconstructions from sketches of {label} of conversations"
        yield f"{judged} {', '.join(each['conversations'])}, on which nothing was fitted."
        yield f"{each['exact']} more of {each['lost']} came back to the letter and are not judged."
        yield from ("", "| confidence | n | mean confidence | good |", "|---|---:|---:|---:|")
        for one in each["bins"]:
            share = f"{one['confidence']:.3f} | {one['good']:.3f}"
            yield f"| {one['from']:.1f} to {one['to']:.1f} | {one['n']} | {share} |"
        yield f"| all | {each['n']} | {each['confidence']:.3f} | {each['good']:.3f} |"
        yield from ("", "| bytes | n | " + " | ".join(_SIZE_COLUMNS) + " |", "|---" + "|---:" * 9 + "|")
        for size, told in each["sizes"].items():
            cosine = told["cosine"]
            values = [
                *(cosine.get(name) for name in ("mean", "p10", "min")), told["token_f1"],
                told["entity_recall"], told["good"], told["confidence"], told["ece"],
            ]  # fmt: skip
            cells = ["–" if value is None else f"{value:.3f}" for value in values]
            yield f"| {size} | {told['n']} | " + " | ".join(cells) + " |"


def _reads(figures: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Latency of reads by id, by what went on meanwhile."""
    yield "| | awake, whole | awake, damaged | dreaming | awake, healed |"
    yield "|---|---:|---:|---:|---:|"
    for label, each in figures.items():
        for share in ("p50_ms", "p99_ms"):
            cells = [f"{each['reads'][when][share]:.3f} ms" for when in WHEN]
            yield f"| {label}, {share[:3]} of reads | " + " | ".join(cells) + " |"
