"""No secret in reprs, errors, logs, tracebacks, pickles or files that are not meant for it."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import traceback
from collections.abc import Callable

import grimp
import pytest

from carma.access.keys.authority import Authority
from carma.access.keys.key_events import KeyEvents
from carma.access.keys.making import make_root_keys
from carma.access.keys.signer import Signer
from carma.access.keys.store import KeyStore
from carma.access.keys.text import SECRET, RootKey, StaticKey, parse_key
from carma.access.keys.wire import Tagger, tag_key
from carma.access.vault.kek import KeyEncryptionKey
from carma.errors import CarmaError
from carma.testing import SeededEntropy, SimulatedDisk

from .asking import KEK, NOW, Asking, head_of, key_store, root_key


def assert_no_secret(text: str, *keys: RootKey | StaticKey) -> None:
    """By the published expression, and by the secrets themselves."""
    assert not re.search(SECRET, text)
    for key in keys:
        assert key.text[-49:-6] not in text
        assert key.text[-49:-29] not in text
        if isinstance(key, RootKey):
            assert tag_key(key.secret).hex() not in text


def test_reprs_show_fingerprints(store: KeyStore, authority: Authority, client: Asking, key: RootKey) -> None:
    """Of everything that holds a key, also where it stands in a list or a dataclass."""
    static, stored = store.create("ada", "r", kind="static")
    assert isinstance(static, StaticKey)
    head = client.attempt()
    things = [
        key, static, stored, store, authority, client.signer, head, Tagger(tag_key(key.secret)),
        authority.admit(head, NOW), store.keys(), parse_key(head.authorization.split()[1]), KEK,
        KeyEvents(store, lambda owner: None), make_root_keys(SeededEntropy(1), b"n", "r"),
        vars(store), vars(client.signer), vars(authority), authority._known,
    ]  # fmt: skip
    text = "\n".join(f"{thing!r} {thing!s} {[thing]}" for thing in things)
    assert_no_secret(text, key, static)
    assert head.authorization[-32:] not in text
    assert key.fingerprint in text


def test_security_rests_on_vetted_primitives_alone() -> None:
    """`access.keys` imports neither `random` nor `pickle`, and does its own sums nowhere."""
    graph = grimp.build_graph("carma", cache_dir=None, include_external_packages=True)
    ours = [name for name in graph.modules if name.startswith("carma.access.keys")]
    imported = {each for name in ours for each in graph.find_modules_directly_imported_by(name)}
    assert {"cryptography", "hashlib", "hmac"} <= imported
    assert not {"numpy", "pickle", "random", "uuid"} & imported


@pytest.mark.parametrize("kind", [pickle.dumps, copy.copy, copy.deepcopy])
def test_keys_are_neither_pickled_nor_copied_by_accident(
    kind: Callable[[object], object], key: RootKey
) -> None:
    """They would travel to other processes, caches and crash reports."""
    with pytest.raises(TypeError):
        kind(key)


def _wrong_requests(store: KeyStore, key: RootKey) -> list[Callable[[], object]]:
    authority = Authority(store)
    static, _ = store.create("ada", "r", kind="static")
    other = root_key(key_store(SimulatedDisk()))
    broken = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    admit = lambda text: authority.admit(head_of({"Authorization": text}, secure=True), NOW)  # noqa: E731
    return [
        lambda: parse_key(broken),
        lambda: parse_key(key.text.upper()),
        lambda: parse_key(key.text + " "),
        lambda: parse_key(key.text * 2),
        lambda: Signer(broken),
        lambda: Signer(static.text),
        lambda: store.get(key.text),
        lambda: store.revoke(static.text),
        lambda: store.create(key.text * 3, "r"),
        lambda: store.create("ada", key.text),
        lambda: admit(f"Bearer {key.text}"),
        lambda: admit(f"Carma {key.text}"),
        lambda: admit(f"Bearer {broken}"),
        lambda: admit(f"Bearer {static.text}x"),
        lambda: admit(f"Bearer {other.text}"),
        lambda: admit(key.text),
        lambda: key_store(SimulatedDisk(), kek=KeyEncryptionKey(bytes(32))).get(key.text),
    ]


@pytest.mark.parametrize("number", range(17))
def test_no_error_repeats_a_secret(
    store: KeyStore,
    key: RootKey,
    number: int,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither its message, its problem details, its hint nor its traceback, and nothing is logged."""
    caplog.set_level(logging.DEBUG)
    wrong = _wrong_requests(store, key)
    assert len(wrong) == 17
    with pytest.raises(CarmaError) as caught:
        wrong[number]()
    error = caught.value
    said = [str(error), repr(error), str(error.problem()), error.hint, caplog.text, *capsys.readouterr()]
    said += traceback.format_exception(error)[-1:]
    assert_no_secret("\n".join(said), key)
