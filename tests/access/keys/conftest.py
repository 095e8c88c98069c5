"""A key store, an authority over it, and a client with a session."""

from __future__ import annotations

import pytest

from carma.access.keys.authority import Alert, Authority
from carma.access.keys.store import KeyStore
from carma.access.keys.text import RootKey
from carma.testing import SimulatedDisk

from .asking import Asking, key_store, root_key


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def store(disk: SimulatedDisk) -> KeyStore:
    return key_store(disk)


@pytest.fixture
def key(store: KeyStore) -> RootKey:
    return root_key(store)


@pytest.fixture
def alerts() -> list[Alert]:
    return []


@pytest.fixture
def authority(store: KeyStore, key: RootKey, alerts: list[Alert]) -> Authority:
    return Authority(store, alert=alerts.append)


@pytest.fixture
def client(key: RootKey, authority: Authority) -> Asking:
    """A client with an open session."""
    asking = Asking(key)
    asking.ask(authority)
    return asking
