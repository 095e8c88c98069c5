"""Where a key comes from and where it is kept, and where it never goes."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from carma import Client
from carma.access.keys.text import SECRET_CHARS
from carma.access.sealed import PRIVATE_BYTES, SealingKey
from carma.client.credentials import address_of
from carma.client.key_file import default_key_file, key_of, pinned, replace_key
from carma.errors import CarmaError, InvalidInput, KeyMalformed, StorageError
from tests.serve.running import ALL, Running, running

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and nothing in the environment."""
    for name in ("CARMA_KEY", "CARMA_KEY_FILE", "CARMA_SERVER_KEY", "CARMA_URL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def kept(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_the_nearest_key_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, then CARMA_KEY, then CARMA_KEY_FILE, then the file of the home; none is an error."""
    with pytest.raises(InvalidInput, match="no key") as caught:
        key_of(None, None)
    assert str(home / ".config" / "carma" / "key") in caught.value.hint
    usual = kept(default_key_file(), "usual")
    assert usual == home / ".config" / "carma" / "key" and key_of(None, None) == ("usual", usual)
    named = kept(home / "named", "named")
    monkeypatch.setenv("CARMA_KEY_FILE", "~/named")
    assert key_of(None, None) == ("named", named)
    monkeypatch.setenv("CARMA_KEY", "environment")
    assert key_of(None, None) == ("environment", None)
    assert key_of(None, named) == ("named", named) and key_of("given", None) == ("given", None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    assert default_key_file() == home / "config" / "carma" / "key"


def test_the_servers_key_stands_below_the_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument, then CARMA_SERVER_KEY, then the second line; "" is none. A rotated key keeps it below."""
    given, named, below = (SealingKey(secrets.token_bytes(PRIVATE_BYTES)).public for _ in range(3))
    path = kept(home / "key", f"root\n{below.text}")
    assert key_of(None, path) == ("root", path)
    assert pinned(None, None) is None and pinned("", path) is None
    assert pinned(None, path).fingerprint == below.fingerprint
    replace_key(path, "next")
    assert key_of(None, path) == ("next", path) and pinned(None, path).fingerprint == below.fingerprint
    monkeypatch.setenv("CARMA_SERVER_KEY", named.text)
    assert pinned(None, path).fingerprint == pinned(None, None).fingerprint == named.fingerprint
    assert pinned(given.text, path).fingerprint == given.fingerprint


def test_what_is_no_servers_key_is_not_taken_for_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else bodies would travel open that somebody wanted sealed."""
    path = kept(home / "key", "root\nhalf-of-a-key")
    with pytest.raises(InvalidInput, match="second line"):
        pinned(None, path)
    with pytest.raises(InvalidInput, match="more than a key"):
        key_of(None, kept(home / "three", "root\none\ntwo"))
    monkeypatch.setenv("CARMA_SERVER_KEY", "half-of-a-key")
    with pytest.raises(InvalidInput, match="CARMA_SERVER_KEY"):
        pinned(None, None)


def test_a_client_seals_to_the_key_beside_its_own(home: Path) -> None:
    """What it sends is sealed, and an answer that comes open is refused; also after a rotation."""
    with running(home / "data") as server:
        account, _ = server.join("ada")
        public = server.household.sealing.public.text
        path = kept(home / "key", f"{server.key(account, ALL, static=False)}\n{public}")
        other = SealingKey(secrets.token_bytes(PRIVATE_BYTES)).public.text
        with Client(server.url, key_file=path) as memory:
            assert memory.get(memory.add("A secret.").id).text == "A secret."
            memory.rotate_key()
        assert path.read_text().splitlines()[1] == public
        with Client(server.url, key_file=path) as memory:
            assert memory.search("secret")[0].text == "A secret."
        with (
            Client(server.url, key_file=path, server_key=other) as memory,
            pytest.raises(CarmaError, match="seal"),
        ):
            memory.search("secret")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    """Its owner is told how to mend it; it is not mended behind their back."""
    path = kept(home / "key", "x", mode)
    with pytest.raises(InvalidInput, match="Others can read") as caught:
        key_of(None, path)
    assert f"chmod 600 {path}" in caught.value.hint and stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_is_replaced_whole(home: Path) -> None:
    """Readable by its owner only, whatever the umask; through a link; and nothing is left beside it."""
    path = kept(home / "keys" / "real", "old")
    link = home / "link"
    link.symlink_to(path)
    before = os.umask(0)
    try:
        replace_key(link, "new")
    finally:
        os.umask(before)
    assert link.is_symlink() and path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory.example", "no address"),
        ("ftp://memory.example", "no address"),
        ("https://memory.example/v1", "no address"),
        ("https://memory.example:0", "no address"),
        ("https://memory.example:x", "no address"),
        ("https://ada:secret@memory.example", "no name and password"),
        ("http://memory.example", "not encrypted"),
        ("http://192.168.0.7:8360", "not encrypted"),
        ("http://127.0.0.1.evil.example", "not encrypted"),
    ],
)
def test_an_address_is_judged_before_anything_is_sent(url: str, said: str) -> None:
    """Only a server's own, over TLS or on this machine; and what is wrong is not repeated whole."""
    with pytest.raises(InvalidInput, match=said) as caught:
        address_of(url)
    assert "secret" not in f"{caught.value} {caught.value.hint}" and caught.value.hint
    assert address_of("http://[::1]:8360/").netloc == "[::1]:8360"
    assert address_of("http://memory.example", insecure=True).hostname == "memory.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data") as found:
        yield found


def test_a_static_key_never_travels_in_clear(server: Running) -> None:
    """Not even where the network is said to be trusted."""
    key = server.join("static")[1]
    with pytest.raises(InvalidInput, match="in clear"):
        Client("http://memory.example", key, insecure=True)
    with Client(server.url, key) as client:
        assert client.list().items == ()


def test_what_is_no_key_is_not_shown() -> None:
    """A mistyped key may be nearly a key."""
    wrong = "carma_static_abcdefgh_perm_r_" + "0" * (SECRET_CHARS + 6)
    for text in (wrong, wrong[:-1], "hunter2"):
        with pytest.raises(KeyMalformed) as caught:
            Client(NOWHERE, text)
        assert text not in f"{caught.value} {caught.value.hint} {caught.value!r}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ca_file": "/no/such/file"}, "cannot be read"),
        ({"ca_file": os.devnull}, "no certificate"),
        ({"account": "ä"}, "account"),
        ({"account": "a\r\nx: y"}, "account"),
        ({"server_key": "x"}, "server"),
    ],
)
def test_an_option_that_cannot_be_is_refused(server: Running, options: dict[str, str], said: str) -> None:
    """When the client is made, as an error of the tree."""
    with pytest.raises(CarmaError, match=said):
        Client(server.url, server.join(repr(options))[1], **options)


def test_what_stays_on_this_machine_takes_no_proxy(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A static key may travel in clear to loopback; a proxy of the environment would take it elsewhere."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(server.url, server.join("proxy")[1]) as client:
        assert client.list().items == ()


def test_a_rotated_key_takes_its_file_and_others_find_it_there(server: Running, home: Path) -> None:
    """Another process with the same file goes on with the new key when the old one ends."""
    account, _ = server.join("rotating")
    path = kept(home / "key", server.key(account, ALL, static=False))
    with Client(server.url, key_file=path) as one, Client(server.url, key_file=path) as other:
        made = one.add("tea")
        assert other.get(made.id) == made
        new = one.rotate_key()
        assert path.read_text() == new.key + "\n" and stat.S_IMODE(path.stat().st_mode) == 0o600
        server.household.keys.revoke(new.old_fingerprint.split("_")[1])
        assert other.get(made.id) == made and other.fingerprint == new.fingerprint
        server.household.keys.revoke(new.fingerprint.split("_")[1])
        with pytest.raises(CarmaError) as caught:
            other.get(made.id)
        assert caught.value.status == 401


def test_a_key_that_cannot_be_kept_is_not_used(
    server: Running, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one goes on, and the next rotation replaces what was lost."""
    account, _ = server.join("full")
    path = kept(home / "key", server.key(account, ALL, static=False))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Client(server.url, key_file=path) as client:
        before = client.fingerprint
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(StorageError, match="No space"):
                client.rotate_key()
        assert client.fingerprint == before and [*home.glob(".key*")] == []
        client.add("tea")
        assert client.rotate_key().old_fingerprint == before
