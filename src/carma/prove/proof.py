"""One call for the whole proof: conduct the experiment, compute its figures, write them down.

out/report.html  report.json  *.png              numbers, curves, samples
out/topology.html  topology.png  topology.json   before, damaged, after
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from carma.embed import Embedder, MiniLM
from carma.errors import MissingExtra
from carma.healing import topology
from carma.ports.outfile import check_folder
from carma.prove.experiment import Plan, Run, Tell, conduct
from carma.prove.figures import figures
from carma.prove.page import write_pngs, write_report

__all__ = ["passed", "prove"]


def prove(
    plan: Plan, out: Path | None, *, embedder: Embedder | None = None, tell: Tell | None = None
) -> dict[str, Any]:
    """Conduct the experiment and return its report; write it into the folder `out`, if one is given.

    Raises InvalidInput (a path, a share, a kind of damage or a folder that cannot be used) before anything is
    done.
    """
    made = out is not None and not out.exists()
    if out is not None:
        check_folder(out)
    embedder = embedder or MiniLM()
    try:
        run = conduct(plan, embedder=embedder, tell=tell)
    except BaseException:
        if out is not None and made:
            with suppress(OSError):
                out.rmdir()  # Nothing came of it, so nothing is left.
        raise
    report = figures(run, embedder)
    if out is not None:
        _write(run, report, out)
    return report


def passed(report: dict[str, Any]) -> bool:
    """Whether no query failed, no text was wrong, and no dream broke."""
    return not (report["failed_queries"] or report["wrong_answers"] or report["dream"]["errors"])


def _write(run: Run, report: dict[str, Any], out: Path) -> None:
    """Write every form, and in the report their names. Pictures are left out where the extra `report` is not
    installed.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = ["report.json"]
    with suppress(MissingExtra):
        names += [path.name for path in write_pngs(report, out)]
    for form in (".html", ".json", ".png"):
        with suppress(MissingExtra):
            topology.write(run.topologies, out / f"topology{form}")
            names.append(f"topology{form}")
    report["written"] = sorted({*names, "report.html"})
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    write_report(report, out)
