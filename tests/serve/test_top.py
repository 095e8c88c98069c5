"""`carma top`: what a server and a memory look like, in 80 columns, as lines and as JSON."""

from __future__ import annotations

import io
import json
import os
import pty
import selectors
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from typer.testing import CliRunner

from carma.cli.app import app
from carma.cli.top_picture import duration, size, top_picture
from carma.cli.top_readings import Page, parse_page, quantile, server_view
from carma.memory.memory import Memory
from carma.serve.settings import ServeSettings
from carma.testing import HashEmbedder
from tests.serve.running import Running, running

EVIL = "\x1b]0;owned\x07\x1b[31mred\u202e"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = ServeSettings(port=0, dashboard=False, metrics_key="scrape me", health_s=0.0)
    with running(tmp_path_factory.mktemp("top") / "data", settings) as found:
        account, key = found.join("ada")
        client = found.client(key)
        client.post("/v1/fragments", json={"items": [{"text": f"Text {n}."} for n in range(20)]})
        for _ in range(10):
            client.post("/v1/search", json={"query": "Text"})
        client.get("/v1/fragments/nonsense")
        found.server.services.block.seat(account.id).look()
        yield found


def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["top", *arguments], env={"CARMA_URL": "", **environ})
    return done.exit_code, done.stdout, done.stderr


def drawn(view: dict[str, Any], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(top_picture(view, 1.8e9))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def cells(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_a_server_is_shown_once_as_lines_and_as_json(server: Running) -> None:
    """Plain lines of two fields in a pipe; one JSON value of the documented shape."""
    code, out, _ = run("--url", server.url, "--once", CARMA_METRICS_KEY="scrape me")
    assert code == 0
    rows = dict(line.split("\t") for line in out.splitlines())
    assert rows["status"].startswith("ready")
    assert rows["fragments"].startswith("20 intact")
    code, out, _ = run("--url", server.url, "--json", CARMA_METRICS_KEY="scrape me")
    assert code == 0
    view = json.loads(out)
    assert set(view) == {
        "server", "status", "reasons", "up_s", "span_s", "seats", "fragments", "vectors", "requests",
        "operations", "keys", "healing", "process",
    }  # fmt: skip
    assert view["seats"]["taken"] == 1
    operations = {row["operation"]: row for row in view["operations"]}
    assert operations["search"]["per_s"] > 0
    assert 0 < operations["search"]["p50_ms"] <= operations["search"]["p99_ms"]
    assert operations["get"]["refused_per_s"] > 0
    assert view["process"]["resident_bytes"] > 10_000_000


def test_it_fits_80_columns_and_shows_no_escape(server: Running) -> None:
    """The picture of the real server, and of one with the longest and strangest values."""
    _, out, _ = run("--url", server.url, "--json", CARMA_METRICS_KEY="scrape me")
    real = json.loads(out)
    huge = json.loads(out)
    huge["server"] = "https://a-very-long-name.of.some.machine.example:65535/behind/a/proxy" + EVIL
    huge["seats"]["degraded"] = [{"seat": n, "reason": f"{n} blanks, mass damage{EVIL}"} for n in range(60)]
    huge["fragments"] = dict.fromkeys(("intact", "repaired", "reconstructed", "blank"), 123_456_789.0)
    huge["keys"] = {f"a-rather-long-outcome-{n}": 1e6 + n for n in range(20)}
    huge["operations"] = [{**real["operations"][0], "operation": "rotate_key", "per_s": 1e6}] * 30
    for view in (real, huge):
        for width in (80, 120):
            lines = drawn(view, width)
            assert len(lines) <= 45
            assert max(map(cells, lines)) <= width
            assert not any(c in line for line in lines for c in "\x1b\x07\u202e…")
    text = "\n".join(drawn(real, 80))
    for word in ("ready", "fragments", "search", "p99 ms", "connections"):
        assert word in text


def test_a_memory_is_watched_too_and_nothing_of_it_is_changed(tmp_path: Path) -> None:
    """Read only: the same numbers as its `stats`."""
    folder = tmp_path / "memory"
    with Memory.open(folder, embedder=HashEmbedder()) as memory:
        memory.add_many([f"Text {number}." for number in range(7)])
        memory.flush()
        memory.rest()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.seg")}
    code, out, err = run("--store", str(folder), "--json")
    assert code == 0, err
    view = json.loads(out)
    assert view["fragments"] == {"intact": 7, "repaired": 0, "reconstructed": 0, "blank": 0}
    assert view["status"] == "healthy"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.seg")} == before
    assert max(map(cells, drawn(view, 80))) <= 80
    code, out, _ = run("--store", str(folder), "--once")
    assert "7 intact" in out


def test_on_a_terminal_it_lives_until_ctrl_c(server: Running) -> None:
    """A real terminal of 80 columns: the screen is drawn again and again, and Ctrl-C ends it with 0."""
    mine, theirs = pty.openpty()
    environ = {
        **os.environ, "COLUMNS": "80", "LINES": "40", "TERM": "xterm", "CARMA_METRICS_KEY": "scrape me",
        "CARMA_URL": server.url,
    }  # fmt: skip
    # Where the tests themselves run in the background, SIGINT is ignored, and that is inherited.
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"import runpy, signal; {heed}; runpy.run_module('carma', run_name='__main__')"
    command = [sys.executable, "-c", start, "top", "--every", "0.2"]
    with (
        selectors.DefaultSelector() as screen,
        subprocess.Popen(
            command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process,
    ):
        os.close(theirs)
        screen.register(mine, selectors.EVENT_READ)
        seen = b""
        end = time.monotonic() + 60
        try:
            while seen.count(b"connections") < 3 and time.monotonic() < end:
                if screen.select(1.0):
                    seen += os.read(mine, 65_536)
            assert seen.count(b"connections") >= 3, seen[-500:]
            process.send_signal(2)
            end = time.monotonic() + 20
            while time.monotonic() < end and screen.select(10.0):
                try:
                    seen += os.read(mine, 65_536)
                except OSError:
                    break
            assert process.wait(20) == 0
        finally:
            process.kill()
            os.close(mine)
    assert b"Traceback" not in seen


@pytest.mark.parametrize(
    ("url", "environ", "code", "words"),
    [
        ("", {"CARMA_METRICS_KEY": "wrong"}, 22, "CARMA_METRICS_KEY"),
        ("http://127.0.0.1:1", {}, 51, "Nothing answers"),
        ("ftp://127.0.0.1", {}, 2, "not an http"),
        ("nonsense", {}, 2, "not an http"),
    ],
)
def test_what_cannot_be_watched_is_said_in_words(
    server: Running, url: str, environ: dict[str, str], code: int, words: str
) -> None:
    """No stack trace, and an exit code of its own."""
    got, out, err = run("--url", url or server.url, "--once", **environ)
    assert got == code, err
    assert words in err
    assert not out


def test_a_server_that_shows_its_metrics_elsewhere_is_watched_there(tmp_path: Path) -> None:
    """Without --metrics-url the hint names it."""
    settings = ServeSettings(port=0, dashboard=False, metrics_port=0)
    with running(tmp_path / "data", settings) as server:
        code, _, err = run("--url", server.url, "--once")
        assert code == 53
        assert "--metrics-url" in err
        there = f"http://127.0.0.1:{server.server.metrics_port}/metrics"
        assert run("--url", server.url, "--metrics-url", there, "--once")[0] == 0


def test_two_readings_say_what_happened_between_them() -> None:
    """Rates are differences over time; a server that began anew begins at nothing."""
    one = Page(100.0, {("carma_requests_total", (("operation", "get"), ("status", "200"))): 50.0})
    two = Page(110.0, {
        ("carma_requests_total", (("operation", "get"), ("status", "200"))): 150.0,
        ("carma_requests_total", (("operation", "get"), ("status", "404"))): 20.0,
        ("carma_requests_total", (("operation", "get"), ("status", "503"))): 10.0,
    })  # fmt: skip
    asked = server_view("x", {"status": "ready"}, two, one)["requests"]
    assert (asked["per_s"], asked["refused_per_s"], asked["failed_per_s"]) == (13.0, 2.0, 1.0)
    anew = Page(120.0, {("carma_requests_total", (("operation", "get"), ("status", "200"))): 5.0})
    assert server_view("x", {}, anew, two)["requests"]["per_s"] == 0.5


def test_our_reader_of_metrics_agrees_with_the_library(server: Running) -> None:
    """On a whole page of the real server, and on labels with quotes, commas and line ends."""
    page = server.server.services.metrics.page().decode()
    odd = 'odd{a="x\\"y,}z",b="line\\nend\\\\"} 1.5\nodd{a="",b=""} NaN\n'
    for text in (page, odd):
        library = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        ours = parse_page(text, 0.0).values
        assert set(ours) == set(library)
        assert all(ours[each] == value for each, value in library.items() if value == value)


def test_quantiles_come_from_buckets() -> None:
    """Linear within a bucket, as Prometheus has it; nothing of nothing."""
    registry = CollectorRegistry()
    times = Histogram("t", "t", buckets=(1.0, 2.0, 4.0), registry=registry)
    for value in [0.5] * 50 + [1.5] * 40 + [3.0] * 10:
        times.observe(value)
    page = parse_page(generate_latest(registry).decode(), 0.0)
    buckets = {float(dict(labels)["le"]): value for labels, value in page.of("t_bucket").items()}
    assert quantile(buckets, 0.5) == 1.0
    assert quantile(buckets, 0.9) == 2.0
    assert quantile(buckets, 0.95) == 3.0
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0, float("inf"): 0.0}, 0.5) is None
    assert quantile({1.0: 0.0, float("inf"): 5.0}, 0.5) == 1.0


def test_sizes_and_times_are_short() -> None:
    """Two units at most."""
    assert [duration(each) for each in (0, 59, 61, 3_600, 90_061)] == [
        "0 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h",
    ]  # fmt: skip
    assert [size(each) for each in (0, 1_023, 1_536, 5 * 2**20, 3 * 2**40)] == [
        "0 B", "1,023 B", "1.5 KiB", "5.0 MiB", "3,072.0 GiB",
    ]  # fmt: skip
