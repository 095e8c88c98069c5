"""The JSON of every verb keeps its shape: names may be added on purpose, here, and never go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main

from carma.cli.app import app

from .conftest import FIRST_ID, FOLDER_ID, SECOND_ID, Carma

FRAGMENT = {
    "id", "text", "version", "state", "parent", "position", "kind", "metadata", "user", "agent", "session",
    "created", "updated", "expires", "source", "digest", "seq", "blank", "deleted",
    "repair",
}  # fmt: skip
HIT = {"id", "text", "score", "state", "parent", "source", "metadata"}
REPORT = {
    "added", "updated", "deleted", "kept", "restated", "files", "unchanged", "empty", "bytes", "problems",
    "interrupted", "took_s", "root",
}  # fmt: skip


def items(value: Any, count: int) -> None:
    assert set(value) == {"items"}
    assert len(value["items"]) == count
    assert all(set(each) == FRAGMENT for each in value["items"])


def test_add_update_get_and_history_give_items(filled: Carma) -> None:
    """One shape for fragments, whether one was asked for or several."""
    items(filled("add", "new", "--json").json(), 1)
    items(filled("update", FIRST_ID, "The slow fox.", "--json").json(), 1)
    items(filled("get", FIRST_ID, "--json").json(), 1)
    items(filled("get", FIRST_ID, SECOND_ID, "--json").json(), 2)
    items(filled("history", FIRST_ID, "--json").json(), 2)


def test_add_many_takes_lines_and_gives_items(filled: Carma) -> None:
    """Texts and objects with `add`'s names, with the options as defaults."""
    lines = '"one"\n\n{"text": "two", "metadata": {"n": 2}, "user": "eve", "source": {"path": "a.md"}}\n'
    value = filled("add", "--many", "-", "--user", "ada", "--json", stdin=lines).json()
    items(value, 2)
    assert [each["user"] for each in value["items"]] == ["ada", "eve"]
    assert value["items"][1]["source"]["path"] == "a.md"


def test_search_has_the_documented_shape(filled: Carma) -> None:
    """Hits, whether the answer is degraded and why, and how long it took."""
    value = filled("search", "fox", "--mode", "words", "--json").json()
    assert set(value) == {"hits", "degraded", "reasons", "took_ms"}
    assert [each["id"] for each in value["hits"]] == [FIRST_ID]
    assert set(value["hits"][0]) == HIT
    assert isinstance(value["degraded"], bool)
    explained = filled("search", "fox", "--mode", "words", "--explain", "--json").json()
    assert set(explained["hits"][0]) == HIT | {"parts"}
    assert set(explained["hits"][0]["parts"]) == {"vector", "words", "neighbours", "context"}


def test_list_pages_with_a_cursor(filled: Carma) -> None:
    """The cursor of one page opens the next; the last has none."""
    page = filled("list", "--parent", FOLDER_ID, "--limit", "1", "--json").json()
    assert set(page) == {"items", "cursor"}
    assert [each["id"] for each in page["items"]] == [FIRST_ID]
    rest = filled("list", "--parent", FOLDER_ID, "--cursor", page["cursor"], "--json").json()
    assert [each["id"] for each in rest["items"]] == [SECOND_ID]
    assert rest["cursor"] is None


def test_list_filters_by_scope_metadata_and_top(filled: Carma) -> None:
    """`--user`, `--where` and `--parent none` each narrow the list."""
    for options, expected in (
        (("--user", "bob"), [SECOND_ID]),
        (("--where", '{"legs": 4}'), [FIRST_ID]),
        (("--where", "legs=0"), [SECOND_ID]),
        (("--parent", "none"), [FOLDER_ID]),
    ):
        assert [each["id"] for each in filled("list", *options, "--json").json()["items"]] == expected


def test_tree_nests(filled: Carma) -> None:
    """A node is a fragment, its children, and how many were left out."""
    value = filled("tree", "--json").json()
    assert set(value) == {"fragment", "children", "more"}
    assert value["fragment"] is None
    top = value["children"][0]
    assert set(top["fragment"]) == FRAGMENT
    assert [each["fragment"]["id"] for each in top["children"]] == [FIRST_ID, SECOND_ID]
    assert filled("tree", "--depth", "1", "--json").json()["children"][0]["more"] == 2


def test_delete_counts(filled: Carma) -> None:
    """With `--children` everything below goes too."""
    assert filled("delete", FOLDER_ID, "--children", "--json").json() == {"deleted": 3}


def test_ingest_reports(carma: Carma, tmp_path: Path) -> None:
    """What was added, and what could not be taken."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Title\n\nA paragraph.\n")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    value = carma("ingest", str(folder), "--json").json()
    assert set(value) == REPORT
    assert value["files"] == 2
    assert all(set(each) == {"path", "code", "message", "skipped"} for each in value["problems"])
    again = carma("ingest", str(folder), "--json").json()
    assert (again["added"], again["updated"], again["deleted"]) == (0, 0, 0)


def test_export_import_and_snapshot_count(filled: Carma, tmp_path: Path) -> None:
    """What goes out comes in again, elsewhere."""
    lines = tmp_path / "out.jsonl"
    exported = filled("export", str(lines), "--json").json()
    assert {"path", "format", "fragments"} <= set(exported)
    other = str(tmp_path / "other")
    imported = filled("import", str(lines), "--store", other, "--json").json()
    assert set(imported) == {"path", "imported", "kept", "unreadable"}
    assert imported["imported"] == 3
    assert filled("get", FIRST_ID, "--store", other).out == "The quick brown fox jumps.\n"
    copied = filled("snapshot", str(tmp_path / "copy"), "--json").json()
    assert {"segments", "bytes", "damaged"} <= set(copied)


def test_flush_stats_and_doctor(filled: Carma) -> None:
    """How the memory is, in three shapes."""
    assert filled("flush", "--json").json() == {"flushed": True}
    stats = filled("stats", "--json").json()
    assert {"path", "id", "fragments", "versions", "bytes", "embedder", "vectors"} <= set(stats)
    assert stats["fragments"] == 3
    doctor = filled("doctor", "--json").json()
    assert set(doctor) == {"healthy", "findings"}
    assert doctor["healthy"] is True
    assert all(set(each) == {"level", "subject", "what", "advice"} for each in doctor["findings"])


def test_json_may_stand_before_the_verb(filled: Carma, store: Path) -> None:
    """`carma --json --store PATH VERB` is the same as the options behind the verb."""
    before = filled("--json", "--store", str(store), "get", FIRST_ID)
    assert before.json() == filled("get", FIRST_ID, "--json", "--store", str(store)).json()


@pytest.mark.parametrize(
    ("arguments", "error", "title"),
    [
        (("get", "f" * 32), "fragment-not-found", "FragmentNotFound"),
        (("get", "nonsense"), "invalid-input", "InvalidInput"),
        (("list", "--where", '{"a": {"no-such-operator": 1}}'), "invalid-filter", "InvalidFilter"),
        (("search", "a", "b"), "usage", "UsageError"),
        (("no-such-verb",), "usage", "UsageError"),
        (("list", "--limit", "many"), "usage", "UsageError"),
    ],
)
def test_errors_are_problem_details_on_standard_error(
    filled: Carma, arguments: tuple[str, ...], error: str, title: str
) -> None:
    """With `--json` an error is one line on standard error, and standard output stays empty."""
    ran = filled(*arguments, "--json")
    assert ran.code != 0
    assert ran.out == ""
    problem = json.loads(ran.err)
    assert set(problem) == {"type", "title", "status", "detail", "hint"}
    assert (problem["type"], problem["title"]) == (f"urn:carma:error:{error}", title)


def test_every_verb_takes_json() -> None:
    """`--json` is everywhere but where JSON comes anyway: `curl` prints what the server answered, `openapi` a
    description, and `serve` one line for programs.
    """
    without = {"carma curl", "carma openapi", "carma serve"}
    waiting: list[tuple[str, Any]] = [("carma", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {below}", each) for below, each in command.commands.items()]
        else:
            assert any("--json" in each.opts for each in command.params) != (name in without), name
