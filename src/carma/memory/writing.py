"""From a caller's arguments to drafts: what is checked, and what a change carries over from the version
before.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from carma.config import Settings
from carma.errors import FragmentNotFound, InvalidInput, StorageError, TooLarge, VersionConflict
from carma.memory.ids import IdMaker, id_bytes
from carma.memory.reading import Reader
from carma.models import UNSET, Source, Unset
from carma.ports.clock import Clock, Entropy
from carma.store.commit import View
from carma.store.entry import Draft, Entry
from carma.store.payload import Content, encode_content, validate_metadata, validate_source
from carma.store.record import NO_DIGEST, RecordDamaged, RecordKind, text_digest

__all__ = ["ADD_NAMES", "UNSET", "Unset", "Writer", "check_version", "items_of"]


_UNIT = 1e-6
_MOST = sys.float_info.max
_LAST_S = 1e12
"""The year 33658: later moments are mistakes."""
"""A vector whose length is this near to 1 is kept as it was given."""


ADD_NAMES = frozenset(
    "text parent position kind user agent session metadata expires dedupe vector source id created".split()  # noqa: SIM905
)
"""The names that a mapping given to `add_many` may have: those of `add`'s arguments."""


class Writer:
    """Makes drafts. `dimension` and `tag` are those of the embedder that given vectors belong to.

    digest: of a text, as the memory's records hold it.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
        reader: Reader,
        digest: Callable[[str], bytes] = text_digest,
    ) -> None:
        self._digest = digest
        self._settings = settings
        self._reader = reader
        self.ids = IdMaker(clock, entropy)
        self.dimension: int | None = None
        self.tag: bytes | None = None

    # Adding

    def new(
        self,
        text: str,
        *,
        parent: str | None = None,
        position: float | None = None,
        kind: str = "note",
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires: float | None = None,
        vector: Any = None,
        source: Source | None = None,
        id: str | None = None,
        created: float | None = None,
    ) -> Draft:
        """A draft of a new fragment. Raises InvalidInput, TooLarge."""
        content = Content(
            self.text(text),
            id_bytes(parent) if parent is not None else None,
            self.number(position, "position"),
            self.word(kind, "kind") or "note",
            validate_metadata(metadata, self._settings.metadata_bytes) if metadata else {},
            self.word(user, "user"),
            self.word(agent, "agent"),
            self.word(session, "session"),
            self._milliseconds(created),
            self.number(expires, "expires"),
            validate_source(source),
            *self.vector(vector),
        )
        key = id_bytes(id) if id is not None else self.ids.next()
        return Draft(
            RecordKind.FRAGMENT,
            key,
            1,
            encode_content(content),
            self._digest(content.text),
            content,
            id is None,
        )

    def check_new(self, view: View, draft: Draft) -> None:
        """Raise unless the draft's parent is there and its id is free."""
        assert draft.content is not None
        if draft.content.parent is not None:
            self.existing(view, draft.content.parent, "parent")
        if not draft.fresh and view.head(draft.id) is not None:
            raise VersionConflict(f"The id {draft.id.hex()} is taken.", hint="Use update, or another id.")

    # Changing

    def existing(self, view: View, id: bytes, what: str = "fragment") -> Entry | Draft:
        """The newest entry of a fragment that is there. Raises FragmentNotFound."""
        head = view.head(id)
        if head is None or head.kind == RecordKind.TOMBSTONE:
            raise FragmentNotFound(f"There is no {what} {id.hex()}.")
        return head

    def change(
        self,
        view: View,
        id: bytes,
        changes: Mapping[str, Any],
        if_version: int | None,
        same_version: bool = False,
    ) -> Draft:
        """A draft of the next version: `changes` over what is there.

        same_version: restate the version with another place or source; its text and time stay.
        Raises FragmentNotFound, VersionConflict, StorageError (what is there cannot be read).
        """
        head = self.existing(view, id)
        check_version(head, if_version)
        old, time_ms = self._old(head, changes)
        if changes.get("text", old.text) != old.text and "vector" not in changes:
            old = old._replace(vector=None, embedder=None)
        content = old._replace(**changes)
        version = head.version if same_version else head.version + 1
        return Draft(
            RecordKind.FRAGMENT,
            id,
            version,
            encode_content(content),
            self._digest(content.text),
            content,
            time_ms=time_ms if same_version else None,
        )

    def _old(self, head: Entry | Draft, changes: Mapping[str, Any]) -> tuple[Content, int | None]:
        """The content to change, with the place and the time of creation that it was given; and its time."""
        if isinstance(head, Draft):
            assert head.content is not None
            return head.content, head.time_ms
        try:
            entry = self._reader.entry_with_content(head)
        except RecordDamaged as damage:
            if "text" not in changes:
                raise StorageError(
                    f"Fragment {head.id.hex()} is blank ({damage.reason}); only a new text can replace it."
                ) from damage
            return self._reader.remains(head), head.time_ms
        assert entry.content is not None
        return entry.content._replace(position=entry.position, created_ms=entry.created_ms), entry.time_ms

    def changes(
        self, text: Any, metadata: Any, expires: Any, position: Any, parent: Any, source: Any, vector: Any
    ) -> dict[str, Any]:
        """The arguments of `update` that were given, checked, as fields of the content. Raises
        InvalidInput.
        """
        out: dict[str, Any] = {}
        if not isinstance(text, Unset):
            out["text"] = self.text(text)
        if not isinstance(metadata, Unset):
            out["metadata"] = validate_metadata(metadata or {}, self._settings.metadata_bytes)
        if not isinstance(expires, Unset):
            out["expires"] = self.number(expires, "expires")
        if not isinstance(position, Unset):
            out["position"] = self.number(position, "position")
        if not isinstance(parent, Unset):
            out["parent"] = id_bytes(parent) if parent is not None else None
        if not isinstance(source, Unset):
            out["source"] = validate_source(source)
        if not isinstance(vector, Unset):
            out["vector"], out["embedder"] = self.vector(vector)
        if not out:
            raise InvalidInput("Nothing to change was given.")
        return out

    def end(self, head: Entry | Draft) -> Draft:
        """A draft of a tombstone."""
        return Draft(RecordKind.TOMBSTONE, head.id, head.version + 1, b"", NO_DIGEST, None)

    # Checking arguments

    def text(self, text: object) -> str:
        if not isinstance(text, str):
            raise InvalidInput(f"The text is a {type(text).__name__}, not a string.")
        if not text.strip():
            raise InvalidInput("The text is empty.")
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"The text has a lone surrogate at character {error.start}, which no encoding can hold.",
                hint="Nothing was stored. Replace it, for example text.encode('utf-8', 'replace').decode().",
            ) from error
        if size > self._settings.text_bytes:
            raise TooLarge(f"The text has {size} bytes; text_bytes allows {self._settings.text_bytes}.")
        return text

    def word(self, value: object, name: str) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or not value or len(value) > 512:
            raise InvalidInput(f"{name} must be a text of 1 to 512 characters.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{name} has a lone surrogate.") from error
        return value

    def number(self, value: object, name: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST <= value <= _MOST:
            raise InvalidInput(f"{name} must be a finite number.")
        return float(value)

    def _milliseconds(self, created: Any) -> int | None:
        moment = self.number(created, "created")
        if moment is not None and abs(moment) > _LAST_S:
            raise InvalidInput("created must be seconds since the epoch.")
        return int(moment * 1000) if moment is not None else None

    def vector(self, value: Any) -> tuple[bytes | None, bytes | None]:
        """A given vector as the record holds it: unit length, float32, little-endian; and the embedder's
        tag.
        """
        if value is None:
            return None, None
        try:
            with np.errstate(over="ignore"):  # What is too large for 32 bits becomes infinite.
                vector = np.asarray(value, dtype=np.float32).reshape(-1)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"The vector is not a row of numbers: {error}.") from error
        if self.dimension is not None and len(vector) != self.dimension:
            raise InvalidInput(
                f"The vector has {len(vector)} numbers; this memory's embedder has {self.dimension}."
            )
        wide = vector.astype(np.float64)
        length = math.sqrt(float(wide @ wide))
        if not math.isfinite(length) or length == 0:
            raise InvalidInput("The vector has no direction: it is zero or not finite.")
        if abs(length - 1) > _UNIT:
            vector = (wide / length).astype(np.float32)
        return vector.astype("<f4", copy=False).tobytes(), self.tag


def check_version(head: Entry | Draft, if_version: int | None) -> None:
    """Raises VersionConflict unless this version is the one that is stored; None takes any."""
    if if_version is not None and head.version != if_version:
        raise VersionConflict(f"Fragment {head.id.hex()} is at version {head.version}, not {if_version}.")


def items_of(items: Any, defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Texts or mappings with `add`'s keyword names, as keyword arguments. Raises InvalidInput."""
    out: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        if isinstance(item, str):
            out.append({**defaults, "text": item})
        elif isinstance(item, Mapping):
            unknown = set(item) - ADD_NAMES
            if unknown:
                raise InvalidInput(
                    f"Item {number} has unknown names: {', '.join(sorted(map(str, unknown)))}."
                )
            if "text" not in item:
                raise InvalidInput(f"Item {number} has no text.")
            out.append({**defaults, **cast("Mapping[str, Any]", item)})
        else:
            raise InvalidInput(f"Item {number} is a {type(item).__name__}, not a text or a mapping.")
    return out
