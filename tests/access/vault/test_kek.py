"""The key-encryption key: where it comes from, what it refuses, and how it is recovered."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carma.access.vault.kek import (
    KekGiven,
    KekPlace,
    KeyEncryptionKey,
    create_kek,
    kek_source,
    load_kek,
    load_or_create_kek,
    recover_kek,
)
from carma.access.vault.keyfile import Protection
from carma.access.vault.recovery import from_recovery_code, to_recovery_code
from carma.errors import InvalidInput, KekMissing, KekUnsafe, KekWrong, VaultKeyWrong
from carma.testing.keyservice import LocalKeyService

SECRET = bytes(range(32))


@pytest.fixture
def place(tmp_path: Path) -> KekPlace:
    return KekPlace(path=tmp_path / "config" / "kek")


@given(st.binary(max_size=100), st.binary(max_size=40))
def test_what_is_wrapped_unwraps_in_its_context(secret: bytes, context: bytes) -> None:
    """A round trip, 48 bytes longer in between."""
    kek = KeyEncryptionKey(SECRET)
    wrapped = kek.wrap(secret, context)
    assert len(wrapped) == len(secret) + kek.overhead
    assert kek.unwrap(wrapped, context) == secret


def test_a_wrong_key_is_told_from_damage_and_a_wrong_context() -> None:
    """Another key is KekWrong; another context or a flipped bit is VaultKeyWrong; none gives bytes back."""
    kek = KeyEncryptionKey(SECRET)
    wrapped = kek.wrap(b"secret", b"here")
    with pytest.raises(KekWrong):
        KeyEncryptionKey(bytes(32)).unwrap(wrapped, b"here")
    with pytest.raises(VaultKeyWrong):
        kek.unwrap(wrapped, b"there")
    for bit in range(len(wrapped) * 8):
        wrong = bytearray(wrapped)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VaultKeyWrong):
            kek.unwrap(bytes(wrong), b"here")
    for length in range(len(wrapped)):
        with pytest.raises(VaultKeyWrong):
            kek.unwrap(wrapped[:length], b"here")


def test_a_key_beside_another_unwraps_what_both_wrapped() -> None:
    """While keys are rotated the successor wraps, and both unwrap."""
    old, new = KeyEncryptionKey(SECRET), KeyEncryptionKey(bytes(32))
    both = new.beside(old)
    assert both.unwrap(old.wrap(b"a", b""), b"") == b"a"
    assert new.unwrap(both.wrap(b"b", b""), b"") == b"b"
    with pytest.raises(KekWrong):
        new.unwrap(old.wrap(b"a", b""), b"")


def test_a_key_does_not_show_itself() -> None:
    """Neither repr nor a pickle holds the key, nor do those of what it is loaded from."""
    kek = KeyEncryptionKey(SECRET)
    given = KekGiven(text=base64.b64encode(SECRET).decode())
    for shown in (repr(kek), repr(given), repr(Protection(passphrase="open sesame"))):
        assert SECRET.hex() not in shown
        assert given.text not in shown
        assert "sesame" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(kek)


def test_a_new_file_is_its_owners_alone_and_gives_the_key_back(place: KekPlace) -> None:
    """The file has mode 0600, its folder 0700, and loading gives the key that was made."""
    kek, _ = create_kek(place)
    assert place.path.stat().st_mode & 0o777 == 0o600
    assert place.path.parent.stat().st_mode & 0o777 == 0o700
    assert load_kek(place).unwrap(kek.wrap(b"s", b""), b"") == b"s"
    assert os.listdir(place.path.parent) == ["kek"]


def test_a_file_that_is_there_is_never_replaced(place: KekPlace) -> None:
    """Making or recovering a key where one is raises, and leaves it as it was."""
    _, code = create_kek(place)
    before = place.path.read_bytes()
    for make in (lambda: create_kek(place), lambda: recover_kek(place, code)):
        with pytest.raises(FileExistsError):
            make()
    assert place.path.read_bytes() == before
    assert os.listdir(place.path.parent) == ["kek"]


def test_threads_that_start_at_once_make_one_key(place: KekPlace) -> None:
    """Of eight that find no key, one makes it, and all have the same."""
    made: list[tuple[KeyEncryptionKey, str | None]] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        made.append(load_or_create_kek(place, something_is_wrapped=False))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({kek.key_id for kek, _ in made}) == 1
    assert sum(code is not None for _, code in made) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620, 0o610, 0o601])
def test_a_file_that_others_may_use_is_refused(place: KekPlace, mode: int) -> None:
    """Any right of the group or of everybody makes it KekUnsafe."""
    create_kek(place)
    place.path.chmod(mode)
    with pytest.raises(KekUnsafe, match=f"{mode:o}"):
        load_kek(place)


def test_a_file_inside_the_data_directory_is_refused(tmp_path: Path) -> None:
    """The key does not lie among what it protects, also not behind a link, neither new nor found there."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    for path in (data / "kek", data / "deep" / "kek", tmp_path / "link" / "kek"):
        with pytest.raises(KekUnsafe):
            create_kek(KekPlace(path=path, outside=(data,)))
    assert os.listdir(data) == []
    create_kek(KekPlace(path=other / "kek", outside=(data,)))
    (data / "kek").write_bytes((other / "kek").read_bytes())
    (data / "kek").chmod(0o600)
    with pytest.raises(KekUnsafe):
        load_kek(KekPlace(path=data / "kek", outside=(data,)))


def test_a_key_is_never_made_where_something_is_wrapped(place: KekPlace) -> None:
    """If wrapped secrets exist and the key does not, that is KekMissing, and no file appears."""
    with pytest.raises(KekMissing):
        load_or_create_kek(place, something_is_wrapped=True)
    assert not place.path.exists()


def test_every_damaged_file_is_refused(place: KekPlace) -> None:
    """A flipped bit anywhere in the file is KekWrong or KekMissing, or the file still holds the very key."""
    kek, _ = create_kek(place)
    whole = place.path.read_bytes()
    refused = 0
    bits = range(0, len(whole) * 8, 3)  # Some bits of every byte.
    for bit in bits:
        wrong = bytearray(whole)
        wrong[bit // 8] ^= 1 << bit % 8
        place.path.write_bytes(wrong)
        try:
            assert load_kek(place).key_id == kek.key_id  # White space of the JSON, for instance.
        except (KekWrong, KekMissing):
            refused += 1
    assert refused > 0.9 * len(bits)
    for length in range(len(whole) - 2):
        place.path.write_bytes(whole[:length])
        with pytest.raises(KekWrong):
            load_kek(place)


def test_a_passphrase_protects_the_key_in_its_file(place: KekPlace) -> None:
    """The file holds no key without the passphrase; a wrong one is KekWrong, none at all KekMissing."""
    right, wrong = (
        KekPlace(path=place.path, protection=Protection(passphrase=typed)) for typed in ("héllo", "hello")
    )
    kek, code = create_kek(right)
    assert from_recovery_code(code).hex() not in place.path.read_text()
    assert base64.b64encode(from_recovery_code(code)).decode() not in place.path.read_text()
    with pytest.raises(KekWrong):
        load_kek(wrong)
    with pytest.raises(KekMissing, match="passphrase"):
        load_kek(place)
    typed_apart = Protection(passphrase="he\N{COMBINING ACUTE ACCENT}llo")
    assert load_kek(KekPlace(path=place.path, protection=typed_apart)).key_id == kek.key_id


def test_a_key_service_protects_the_key_in_its_file(place: KekPlace) -> None:
    """The file holds what the service sealed; without the service, or with another, there is no key."""
    service = LocalKeyService(b"s" * 32)
    with_service = KekPlace(path=place.path, protection=Protection(service=service))
    kek, _ = create_kek(with_service)
    assert load_kek(with_service).key_id == kek.key_id
    with pytest.raises(KekMissing, match="service"):
        load_kek(place)
    with pytest.raises(KekWrong):
        load_kek(KekPlace(path=place.path, protection=Protection(service=LocalKeyService(b"t" * 32))))
    service.reachable = False
    with pytest.raises(KekMissing):
        load_kek(with_service)


def test_the_environment_gives_the_key_before_any_file(tmp_path: Path) -> None:
    """CARMA_KEK holds it in base64, of either alphabet, padded or not; else CARMA_KEK_FILE or the default."""
    secret = b"\xfb\xff\xfe" * 10 + b"\x00\x01"
    forms = [base64.b64encode(secret), base64.urlsafe_b64encode(secret)]
    for form in [*forms, *(each.rstrip(b"=") for each in forms), forms[0] + b"\n"]:
        source = kek_source({"CARMA_KEK": form.decode(), "CARMA_KEK_FILE": "/nowhere"})
        assert load_kek(source).key_id == KeyEncryptionKey(secret).key_id
    named = kek_source({"CARMA_KEK_FILE": str(tmp_path / "k"), "CARMA_KEK_PASSPHRASE": "p"})
    assert isinstance(named, KekPlace)
    assert (named.path, named.protection.kind) == (tmp_path / "k", "passphrase")
    default = kek_source({"XDG_CONFIG_HOME": str(tmp_path)})
    assert isinstance(default, KekPlace)
    assert default.path == tmp_path / "carma" / "key-encryption-key"


@pytest.mark.parametrize("text", ["XYZ", "AAAA", "!" * 44, base64.b64encode(bytes(33)).decode(), "é"])
def test_an_environment_without_a_key_is_refused_and_not_repeated(text: str) -> None:
    """What is not 32 bytes in base64 is KekMissing; the message does not hold it."""
    with pytest.raises(KekMissing) as caught:
        load_kek(KekGiven(text=text))
    assert text not in str(caught.value.problem())


@given(st.binary(min_size=32, max_size=32))
def test_the_recovery_code_is_the_very_key(secret: bytes) -> None:
    """A code goes back to the same 32 bytes, however it was typed."""
    code = to_recovery_code(secret)
    assert re.fullmatch(r"CARMA(-[0-9A-HJKMNP-TV-Z]{4}){14}", code)
    typed = [code, code.lower(), code.replace("-", " "), code.removeprefix("CARMA-"), f"  {code}\n",
             code.replace("0", "O").replace("1", "l")]  # fmt: skip
    for each in typed:
        assert from_recovery_code(each) == secret


def test_a_slip_in_a_recovery_code_is_noticed() -> None:
    """Each wrong character, each exchange of neighbours, and each missing one is refused without echo."""
    code = to_recovery_code(SECRET)
    letters = code.removeprefix("CARMA-").replace("-", "")
    slips = [letters[:at] + ("7" if letters[at] != "7" else "8") + letters[at + 1 :] for at in range(56)]
    slips += [letters[:at] + letters[at + 1] + letters[at] + letters[at + 2 :]
              for at in range(55) if letters[at] != letters[at + 1]]  # fmt: skip
    slips += [letters[:-1], letters + "0", letters[:10] + "U" + letters[11:], "", "CARMA"]
    for slip in slips:
        with pytest.raises(InvalidInput) as caught:
            from_recovery_code(slip)
        assert len(slip) < 10 or slip[:8] not in str(caught.value.problem())


def test_a_lost_file_is_recovered_from_the_code(place: KekPlace) -> None:
    """The code alone makes a file whose key opens what the lost one wrapped, here under a passphrase."""
    kek, code = create_kek(place)
    wrapped = kek.wrap(b"secret", b"")
    place.path.unlink()
    guarded = KekPlace(path=place.path, protection=Protection(passphrase="p"))
    recover_kek(guarded, code)
    assert load_kek(guarded).unwrap(wrapped, b"") == b"secret"
    assert json.loads(place.path.read_text())["kind"] == "passphrase"
