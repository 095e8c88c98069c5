"""`carma keys`: made once, shown never again, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carma.access.keys.text import SECRET, attempt_header, parse_secret
from carma.cli.app import app
from carma.uml.seed_scheme import make_key

Keys = Callable[..., Result]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Run `carma keys …` with a data directory and a home of its own."""
    for name in [name for name in os.environ if name.startswith(("CARMA_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments], input=stdin)

    return run


def made(keys: Keys, *options: str) -> dict[str, object]:
    result = keys("create", "--user", "ada", *options, "--json")
    assert result.exit_code == 0, result.stderr
    value: dict[str, object] = json.loads(result.stdout)
    return value


def error_of(result: Result) -> str:
    return str(json.loads(result.stderr.splitlines()[-1])["type"]).rpartition(":")[2]


def test_create_prints_the_key_once_and_the_first_one_a_recovery_code(keys: Keys, tmp_path: Path) -> None:
    """On standard error, where results do not go; the key-encryption key lies outside the data directory."""
    first = keys("create", "--user", "ada", "--permissions", "rw")
    assert re.fullmatch(SECRET, first.stdout.strip())
    assert "recovery code" in first.stderr and "only now" in first.stderr
    second = keys("create", "--user", "ada", "--json")
    assert "recovery code" not in second.stderr
    assert (tmp_path / ".config" / "carma" / "key-encryption-key").stat().st_mode & 0o777 == 0o600
    data = tmp_path / ".local" / "share" / "carma"
    assert {path.name for path in data.rglob("*") if path.is_file()} == {
        "0.log", "1.log", "2.log", "3.log", "newest",
    }  # fmt: skip
    value = json.loads(second.stdout)
    assert set(value) == {
        "key", "name", "fingerprint", "kind", "user", "permissions", "state", "created", "expires",
        "grace_until", "successor",
    }  # fmt: skip
    assert parse_secret(value["key"]).fingerprint == value["fingerprint"]


def test_list_and_show_give_no_key_away(keys: Keys) -> None:
    """Names and fingerprints, filtered by user; an empty list where there is nothing."""
    assert json.loads(keys("list", "--json").stdout) == {"keys": []}
    key = made(keys)
    made(keys, "--static", "--permissions", "r", "--expires", "90d")
    keys("create", "--user", "bob")
    listed = json.loads(keys("list", "--user", "ada", "--json").stdout)["keys"]
    assert [each["kind"] for each in listed] == ["static", "root"]
    assert listed[0]["expires"] > listed[0]["created"] + 89 * 86_400
    assert len(keys("list").stdout.splitlines()) == 3
    shown = json.loads(keys("show", str(key["fingerprint"]), "--json").stdout)
    assert [each["operation"] for each in shown["history"]] == ["keys.create"]
    for out in (keys("list"), keys("list", "--json"), keys("show", str(key["name"]))):
        assert not re.search(SECRET, out.output)


def test_rotate_and_revoke(keys: Keys) -> None:
    """The old key is in grace for as long as asked; the whole key may be given in place of its name."""
    key = made(keys, "--permissions", "rwa")
    new = json.loads(keys("rotate", str(key["key"]), "--grace", "1", "--json").stdout)
    assert new["permissions"] == "rwa" and new["key"] != key["key"]
    old = json.loads(keys("show", str(key["name"]), "--json").stdout)
    assert (old["state"], old["successor"]) == ("grace", new["name"])
    assert 0.9 < (old["grace_until"] - new["created"]) / 86_400 < 1.1
    assert json.loads(keys("revoke", str(key["name"]), "--json").stdout)["state"] == "revoked"
    refused = keys("rotate", str(key["name"]), "--json")
    assert (refused.exit_code, error_of(refused)) == (24, "rotation-refused")


def test_check_says_what_a_key_is(keys: Keys) -> None:
    """Known and valid, revoked, unknown, and what is no key; by argument or pipe; never its secret."""
    key = made(keys)
    good = keys("check", "-", "--json", stdin=f"{key['key']}\n")
    assert good.exit_code == 0
    told = json.loads(good.stdout)
    assert (told["kind"], told["known"], told["valid"], told["user"]) == ("root", True, True, "ada")
    keys("revoke", str(key["name"]))
    revoked = keys("check", str(key["key"]), "--json")
    assert revoked.exit_code == 22
    assert json.loads(revoked.stdout)["state"] == "revoked"
    for text in (str(key["key"])[:-1], str(key["key"]).upper(), "nonsense"):
        result = keys("check", text, "--json")
        assert (result.exit_code, error_of(result)) == (20, "key-malformed")
        assert not re.search(SECRET, result.output)
    assert not re.search(SECRET, good.output + revoked.output)


def test_a_strangers_key_is_not_known_and_an_attempt_is_only_named(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another store; and an attempt key, of which only its server knows whether it is true."""
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "other"))
    stranger = made(keys)
    monkeypatch.setenv("CARMA_DATA", str(tmp_path / "ours"))
    empty = keys("check", str(stranger["key"]), "--json")
    assert (empty.exit_code, json.loads(empty.stdout)["known"]) == (22, False)
    ours = made(keys)
    foreign = keys("check", str(stranger["key"]), "--json")
    assert (foreign.exit_code, json.loads(foreign.stdout)["known"]) == (22, False)
    attempt = attempt_header(str(ours["name"]), "rw", (3 << 32) + 7) + "0" * 32
    told = json.loads(keys("check", attempt, "--json").stdout)
    assert (told["kind"], told["session"], told["attempt"]) == ("attempt", 3, 7)
    assert (told["known"], told["valid"], told["user"]) == (True, None, "ada")


def test_check_without_a_key_looks_at_the_store(keys: Keys, tmp_path: Path) -> None:
    """A damaged copy is found, mended and said."""
    made(keys)
    assert keys("check").exit_code == 0
    log = tmp_path / ".local" / "share" / "carma" / "keys" / "1.log"
    log.write_bytes(log.read_bytes()[:-9])
    result = keys("check", "--json")
    assert result.exit_code == 12
    assert "1.log" in json.loads(result.stdout)["findings"][0]
    assert json.loads(keys("check", "--json").stdout) == {"keys": 1, "findings": []}
    assert keys("check", "x", "--accept-loss").exit_code == 2


def test_a_missing_key_encryption_key_is_refused_and_not_replaced(keys: Keys, tmp_path: Path) -> None:
    """Everything that needs it fails the same way; putting it back is enough. Another one is refused too."""
    key = made(keys)
    place = tmp_path / ".config" / "carma" / "key-encryption-key"
    away = place.rename(tmp_path / "away")
    for arguments in (("create", "--user", "eve"), ("list",), ("revoke", str(key["name"]))):
        result = keys(*arguments, "--json")
        assert error_of(result) == "kek-missing"
        assert not place.exists()
    away.rename(place)
    assert len(json.loads(keys("list", "--json").stdout)["keys"]) == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("create", "--user", "ada", "--permissions", "rx"), "invalid-input"),
        (("create", "--user", " "), "invalid-input"),
        (("create", "--user", "ada", "--expires", "2001-01-01"), "invalid-input"),
        (("create",), "usage"),
        (("show", "aaaaaaaa"), "key-not-found"),
        (("revoke", "aaaaaaaa"), "key-not-found"),
        (("rotate", "aaaaaaaa", "--grace", "400"), "usage"),
        (("audit", "nonsense"), "invalid-input"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_shape(keys: Keys, arguments: tuple[str, ...], error: str) -> None:
    """Problem details on standard error, and no trace."""
    result = keys(*arguments, "--json")
    assert result.exit_code != 0 and error_of(result) == error
    assert "Traceback" not in result.output


def test_audit_forges_a_key_of_the_first_texts_and_none_of_ours(keys: Keys) -> None:
    """No bits there, 128 here; a long name has to be given, because the key shows eight letters of it."""
    ours = json.loads(keys("audit", str(made(keys)["key"]), "--json").stdout)
    assert (ours["forged"], ours["bits_any_second"]) == (None, 128.0)
    theirs = json.loads(keys("audit", make_key("ada", 1_700_000_000, "read"), "--json").stdout)
    assert theirs["forged"] is not None and theirs["bits_known_second"] == 0.0
    assert not re.search(SECRET, json.dumps(ours))
    long = make_key("ada-lovelace-1815", 1_700_000_000, "read")
    named = json.loads(keys("audit", long, "--user", "ada-lovelace-1815", "--json").stdout)
    assert named["forged"] is not None and named["second"] % 1_000_000 == 1_700_000_000 % 1_000_000
