"""What doctor, stats and the command line say of damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from carma.cli.app import app

from .damaging import lose_a_segment, open_at, rot_a_stripe, rot_a_text, segment_path


def run(folder: Path, *arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*arguments, "--store", str(folder), "--json"])
    assert not result.stderr, result.stderr
    return result.exit_code, json.loads(result.stdout)


def levels(folder: Path) -> dict[str, list[str]]:
    with open_at(folder, read_only=True) as memory:
        out: dict[str, list[str]] = {}
        for each in memory.doctor():
            out.setdefault(each["level"], []).append(each["subject"])
        return out


def test_doctor_has_no_complaint_about_a_memory_at_rest(rested: Path) -> None:
    """One copy of a rewritten segment is how it should be."""
    assert "error" not in levels(rested)
    assert not [each for each in levels(rested).get("warning", ()) if "segments" in each or "parity" in each]


def test_doctor_warns_of_what_can_be_repaired(rested: Path) -> None:
    """Damage within the parity is a warning with the file's path, and no error."""
    rot_a_text(rested)
    lose_a_segment(rested)
    found = levels(rested)
    assert {f"{rested}/{segment_path(5)}", f"{rested}/{segment_path(3)}"} <= set(found["warning"])
    assert "error" not in found


def test_doctor_calls_a_loss_an_error(rested: Path) -> None:
    """Each lost record is an error; mass damage is told once."""
    rot_a_stripe(rested)
    with open_at(rested, read_only=True) as memory:
        found = memory.doctor()
    assert sum(each["level"] == "error" for each in found) == 9
    assert sum("Mass damage" in each["what"] for each in found) == 1


def test_stats_count_parity(rested: Path) -> None:
    """Bytes of the parity folder, and the spreads."""
    with open_at(rested, read_only=True) as memory:
        counted = memory.stats()
    files = (rested / "parity").iterdir()
    assert counted["bytes"]["parity"] == sum(path.stat().st_size for path in files) > 0
    assert (counted["spreads"], counted["blanks"], counted["reconstructed"]) == (1, 0, 0)


@pytest.mark.parametrize("options", [(), ("--deep",)])
def test_the_command_scan_tells_counts(rested: Path, options: tuple[str, ...]) -> None:
    """Zero and no finding for a whole memory, 12 and the findings for a damaged one."""
    code, whole = run(rested, "scan", *options)
    assert code == 0 and whole["healthy"] and whole["findings"] == []
    lose_a_segment(rested)
    code, damaged = run(rested, "scan", *options)
    assert code == 12 and not damaged["healthy"]
    assert damaged["damaged"] > 0 and damaged["lost"] == 0
    assert [each["path"] for each in damaged["findings"]] == [segment_path(3)]


def test_the_command_blanks_lists_them(rested: Path) -> None:
    """The count, and each with its reason; the breaker can be cleared from there."""
    assert run(rested, "blanks") == (0, {"count": 0, "items": []})
    rot_a_stripe(rested)
    assert run(rested, "scan", "--deep")[0] == 12
    code, listed = run(rested, "blanks", "--limit", "3")
    assert code == 0 and listed["count"] == 3
    assert all(each["blank"]["reason"] == "bad digest" for each in listed["items"])
    assert run(rested, "stats")[1]["breaker"] is True
    run(rested, "scan", "--clear-breaker")
    assert run(rested, "stats")[1]["breaker"] is False


def test_the_command_repair_index_tells_what_it_did(rested: Path) -> None:
    """All of it, or what is named, or only what is damaged; an unknown name is refused in plain words."""
    code, done = run(rested, "repair-index")
    assert (code, done["rebuilt"]) == (0, ["registry", "vectors"])
    assert run(rested, "repair-index", "registry")[1]["rebuilt"] == ["registry"]
    assert run(rested, "repair-index", "--if-damaged")[1]["rebuilt"] == []
    result = CliRunner().invoke(app, ["repair-index", "all", "--store", str(rested)])
    assert result.exit_code == 2
    assert "There is no index all; there are registry, vectors." in result.stderr


def test_plain_lines_have_tabs_between_their_fields(rested: Path) -> None:
    """In a pipe each finding and each blank is one line."""
    rot_a_stripe(rested)
    scanned = CliRunner().invoke(app, ["scan", "--deep", "--store", str(rested)]).stdout.splitlines()
    assert scanned[0].startswith("files\t")
    assert len([line for line in scanned if line.startswith("bad digest\t")]) == 9
    listed = CliRunner().invoke(app, ["blanks", "--store", str(rested)]).stdout.splitlines()
    assert len(listed) == 9 and all(line.split("\t")[1] == "blank" for line in listed)
