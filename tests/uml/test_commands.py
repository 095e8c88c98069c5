"""`carma uml …`: what each command prints, its JSON, and how it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from carma.cli.app import app
from carma.uml.pi import position
from carma.uml.seed_keys import audit_report


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command of the group."""
    result = CliRunner().invoke(app, ["uml", *arguments])
    return result.exit_code, result.stdout, result.stderr


def told(*arguments: str) -> Any:
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_without_a_command_it_shows_its_help() -> None:
    """And says what the mathematics is not."""
    code, out, _ = run()
    assert code == 0
    assert "It bears no security." in out


def test_f_and_its_inverse() -> None:
    """Each prints one number; one undoes the other."""
    assert run("f", "10") == (0, "4.898616553642111\n", "")
    assert run("inverse", "4.898616553642111") == (0, "10.0\n", "")
    assert told("f", "29") == {"a": 29.0, "f": 14.427373422130145}
    assert told("inverse", "14.427373422130145").keys() == {"f", "a", "steps"}


def test_squares() -> None:
    """From a seed, from a tag, and as the first texts make them; three rows, and what is not magic."""
    assert run("square", "7")[1] == "232\t212\t240\n236\t228\t220\n216\t244\t224\n"
    assert told("square", "--tag", "00ff") == {
        "square": [[195, 186, 231], [240, 204, 168], [177, 222, 213]],
        "text": "(195 186 231), (240 204 168), (177 222 213)",
        "magic": True,
        "sum": 612,
        "fault": None,
    }
    broken = told("square", "995", "--variant", "seeds")
    assert (broken["magic"], broken["sum"]) == (False, None)
    assert "Row" in broken["fault"]
    assert told("square", "-5")["magic"]


def test_digits_of_pi() -> None:
    """Decimals from their place, hexadecimal digits, and how many."""
    assert run("pi", "762", "--digits", "6")[:2] == (0, "999999\n")
    assert run("pi", "0")[1] == "3141592653\n"
    assert told("pi", "1", "--hex") == {"position": 1, "base": 16, "digits": "243F6A8885A308"}
    assert told("pi", "1", "--hex", "--digits", "2")["digits"] == "24"


def test_a_position() -> None:
    """That of the first texts."""
    assert told("position", "alice") == {"user": "alice", "position": position("alice")}


def test_layers_of_a_number_and_of_many() -> None:
    """Nine values, or ten counts."""
    lines = run("layers", "4e9")[1].splitlines()
    assert len(lines) == 9
    assert lines[-1] == "compress again\tf(a)\t3.403926793179433"
    assert told("layers", "4e9")["meta"] == 403926
    assert set(told("layers", "4e9")["layers"][0]) == {"layer", "formula", "domain", "folds", "value"}
    counted = told("layers", "10", "--count", "50")
    assert [counted[name] for name in ("from", "count", "step")] == [10.0, 50, None]
    assert counted["layers"][0] == {"layer": "input", "floats": 50, "metas": 1}
    assert told("layers", "10", "--count", "5", "--step", "0.1")["layers"][1]["floats"] == 5


def test_a_key_of_the_first_texts_can_be_made_and_falls() -> None:
    """What the command prints is what the attack takes."""
    key = run("seed-key", "alice", "--second", "1700000000")[1].strip()
    assert audit_report(key, now=1_700_000_001).second == 1_700_000_000
    unmended = told("seed-key", "alice", "--second", "1700000000", "--unmended")
    assert unmended == {"key": "carma_alice_read_1700000000", "user": "alice", "second": 1_700_000_000}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("f", "0"), 55),
        (("f", "-3"), 55),
        (("f", "nan"), 55),
        (("f", "ten"), 2),
        (("f",), 2),
        (("inverse", "-1"), 55),
        (("inverse", "inf"), 55),
        (("square",), 2),
        (("square", "7", "--tag", "00"), 2),
        (("square", "--tag", "xyz"), 2),
        (("square", "--tag", "00", "--variant", "seeds"), 2),
        (("pi", "1000001"), 55),
        (("pi", "5", "--digits", "0"), 55),
        (("pi", "0", "--hex"), 55),
        (("pi", "5", "--hex", "--digits", "17"), 55),
        (("position", ""), 2),
        (("layers", "1"), 55),
        (("layers", "4", "--step", "1"), 2),
        (("layers", "4", "--count", "0"), 2),
        (("layers", "4", "--count", "5", "--step", "nan"), 55),
        (("seed-key", ""), 2),
        (("no-such-command",), 2),
    ],
)
def test_how_it_fails(arguments: tuple[str, ...], code: int) -> None:
    """A documented exit code, one message on standard error, nothing elsewhere, no stack trace."""
    found, out, err = run(*arguments)
    assert found == code, err
    assert out == ""
    assert err.startswith("carma: ")
    assert "Traceback" not in err


def test_json_may_stand_before_the_group() -> None:
    """As before every other verb."""
    result = CliRunner().invoke(app, ["--json", "uml", "f", "10"])
    assert json.loads(result.stdout)["a"] == 10.0
