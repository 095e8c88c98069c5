"""What a client is made of, and what it does beside its verbs: the same for the one that blocks and the one
that is awaited.
"""

from __future__ import annotations

import os
from typing import Any

from carma.access.keys.wire import ACCOUNT, AUDIENCE
from carma.client.credentials import Credentials, address_of, credentials_of
from carma.client.dreaming import DreamVerbs, NewKey
from carma.client.exchange import Exchanger, Steps
from carma.client.key_file import key_of, pinned, replace_key
from carma.client.settings import ClientSettings
from carma.client.verbs import Verbs
from carma.errors import InvalidInput, MemoryClosed, StorageError
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy

__all__ = ["AllVerbs", "Opened"]


class AllVerbs(Verbs, DreamVerbs):
    """Every verb that the 17 operations express."""


class Opened:
    """An address, credentials and bounds; `verbs` has the verbs as steps."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        key_file: str | os.PathLike[str] | None = None,
        settings: ClientSettings | None = None,
        audience: str = AUDIENCE,
        account: str | None = None,
        server_key: str | None = None,
        insecure: bool = False,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._address = address_of(url, insecure=insecure)
        self._settings = settings or ClientSettings()
        self._clock, self._entropy = clock or SystemClock(), entropy or SystemEntropy()
        self._audience = audience
        if account is not None and not (account.isascii() and account.isprintable() and account.strip()):
            raise InvalidInput(f"{account!r:.80} is no account: a name of visible ASCII characters.")
        text, self._key_path = key_of(key, key_file)
        self._exchanger = Exchanger(
            self._address.geturl(),
            self._credentials(text),
            self._settings,
            self._clock,
            self._entropy,
            pinned(server_key, self._key_path),
            {ACCOUNT: account} if account else {},
            self._renewed,
        )
        self._verbs = AllVerbs(self._exchanger, self._settings, self._entropy)
        self._closed = False
        self._process = os.getpid()

    def _ready(self, steps: Steps[Any]) -> None:
        """Raises MemoryClosed after `close`, and in a process that was forked: connections are not shared."""
        if self._closed or self._process != os.getpid():
            steps.close()
            raise MemoryClosed(
                "The client was closed." if self._closed else "The process forked after the client was made.",
                hint="Make a new client.",
            )

    @property
    def url(self) -> str:
        """The server's address."""
        return self._exchanger.url

    @property
    def fingerprint(self) -> str:
        """The key's name, for people; not the key."""
        return self._exchanger.credentials.fingerprint

    def _renewed(self) -> Credentials | None:
        """What the key's file holds now, if another process has rotated the key meanwhile."""
        if self._key_path is None:
            return None
        try:
            credentials = self._credentials(key_of(None, self._key_path)[0])
        except InvalidInput:
            return None
        return credentials if credentials.fingerprint != self.fingerprint else None

    def _credentials(self, text: str) -> Credentials:
        return credentials_of(
            text, self._address, audience=self._audience, clock=self._clock, entropy=self._entropy
        )

    def _take(self, new: NewKey) -> NewKey:
        """Go on with a new key; in the file that the old one came from it takes the old one's place.

        Where it cannot be kept it is not used either: a successor that nobody used is replaced by the next.
        """
        credentials = self._credentials(new.key)
        if self._key_path is not None:
            try:
                replace_key(self._key_path, new.key)
            except OSError as error:
                raise StorageError(
                    f"The new key could not be kept in {self._key_path}: {error.strerror or error}.",
                    hint="The old key still works. Make room or make it writable, and rotate again.",
                ) from error
        self._exchanger.credentials = credentials
        return new

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.fingerprint})"
