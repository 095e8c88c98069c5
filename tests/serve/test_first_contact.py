"""The first minute with a server: it prints a line that works, and the dashboard's address."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
_READY_S = 60.0


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARMA_", "XDG_"))}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def _started(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`carma serve` on a free port with its standard output; ended by SIGTERM, and with status 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "carma", "serve", "--port", "0", "--embedder", "hash", *options],
        env=_environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def _greeting(process: subprocess.Popen[str], last: str) -> str:
    """What is printed when it is ready, up to the line with `last`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if last in line:
            break
    return "".join(lines)


def _as_make_starts_it(docs: Path) -> list[str]:
    """The options that `make serve` gives to `carma serve`."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make here")
    done = subprocess.run([make, "-n", "serve", f"DOCS={docs}"], cwd=ROOT, capture_output=True, check=True)
    (line,) = [line for line in done.stdout.decode().splitlines() if "carma serve" in line]
    return shlex.split(line.partition("carma serve")[2])


@pytest.fixture(scope="module")
def greeted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """What a server prints that was started as `make serve` starts it, and the home it was started in."""
    home = tmp_path_factory.mktemp("home")
    docs = home / "notes"
    docs.mkdir()
    rooms = "\n\n".join(f"The key of room {number} hangs behind its blue door." for number in range(40))
    (docs / "keys.md").write_text(f"# Keys\n\n{rooms}\n")
    with _started(home, *_as_make_starts_it(docs)) as process:
        yield _greeting(process, "just destroyed"), home


def test_a_newcomer_sees_what_is_lost_and_has_it_healed(greeted: tuple[str, Path]) -> None:
    """The blanks that the last line speaks of are there until a dream is asked for, and then they are not."""
    words, _ = greeted
    (number,) = re.findall(r"^(\d+) of its fragments were just destroyed", words, re.MULTILINE)
    (key,) = re.findall(r"Bearer (carma_static_\w+)", words)
    (address,) = re.findall(r"^The dashboard: (\S+)/", words, re.MULTILINE)
    with httpx.Client(base_url=f"{address}/v1", headers={"authorization": f"Bearer {key}"}) as client:
        lost = client.get("/blanks").json()["items"]
        assert len(lost) == int(number) == 5
        assert all(each["state"] == "blank" and each["text"] == "" for each in lost)
        cycle = client.post("/dreams", json={}).json()["cycle"]
        until = time.monotonic() + _READY_S
        while (report := client.get(f"/dreams/{cycle}").json())["status"] in ("pending", "running"):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert (cycle, report["status"], report["exact"], report["still_blank"]) == (1, "completed", 5, 0)
        assert client.get("/blanks").json()["items"] == []
        assert all(client.get(f"/fragments/{each['id']}").json()["text"] for each in lost)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_printed_line_works(greeted: tuple[str, Path]) -> None:
    """Pasted into a shell as it is, it searches, and finds what the memory took in."""
    words, home = greeted
    (line,) = re.findall(r"^  (curl (?:.*\\\n)*.*)", words, re.MULTILINE)
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        done = subprocess.run(["sh", "-c", line], env=_environment(home), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        if found["hits"]:
            break
        time.sleep(0.1)
    assert "blue door" in json.dumps(found["hits"])


def test_the_dashboard_answers_where_it_says(greeted: tuple[str, Path]) -> None:
    """The address that is printed shows a page to sign in."""
    (address,) = re.findall(r"^The dashboard: (\S+)", greeted[0], re.MULTILINE)
    answer = httpx.get(address, follow_redirects=True)
    assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]


def test_the_key_is_for_a_day(greeted: tuple[str, Path]) -> None:
    """What was pasted somewhere is worth nothing tomorrow; the key-encryption key lies outside the data."""
    words, home = greeted
    (key,) = re.findall(r"Bearer (carma_static_\w+)", words)
    (address,) = re.findall(r"http://127\.0\.0\.1:\d+", words.partition("/v1")[0][-30:])
    listed = subprocess.run(
        [sys.executable, "-m", "carma", "keys", "list", "--json"],
        env=_environment(home), capture_output=True, check=True,
    )  # fmt: skip
    mine = next(each for each in json.loads(listed.stdout)["keys"] if each["name"] in key)
    assert 86_000 < mine["expires"] - time.time() <= 86_400
    assert httpx.get(f"{address}/v1/usage", headers={"authorization": f"Bearer {key}"}).status_code == 200
    kek = home / ".config" / "carma" / "key-encryption-key"
    assert kek.stat().st_mode & 0o077 == 0
    assert key[-49:].encode() not in b"".join(
        path.read_bytes() for path in (home / ".local").rglob("*") if path.is_file()
    )


def test_a_program_is_told_the_address_in_one_line(tmp_path: Path) -> None:
    """Without --first-contact the only line on standard output is JSON, and no account is made."""
    with _started(tmp_path, "--no-dashboard") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["ready"]
        assert httpx.get(f"{url}/readyz").json()["seats"]["taken"] == 0
        assert httpx.get(f"{url}/").status_code == 404


def test_make_serve_says_what_it_does(tmp_path: Path) -> None:
    """`make serve` is a target, listed by `make`, that starts a server for first contact."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make here")
    shown = subprocess.run([make, "-n", "serve"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    assert "carma serve --first-contact" in shown
    listed = subprocess.run([make, "help"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    assert "make serve" in listed
