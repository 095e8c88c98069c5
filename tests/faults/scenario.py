"""A workload that knows what it was promised: the dictionary of acknowledged texts that every test compares
with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from carma.config import Settings
from carma.errors import CarmaError
from carma.healing.exact import Exact
from carma.ports.clock import Clock
from carma.ports.disk import Disk
from carma.store.commit import View
from carma.store.entry import Draft, entry_of
from carma.store.payload import Content, encode_content
from carma.store.record import NO_DIGEST, RecordDamaged, RecordKind, text_digest
from carma.store.registry import RegistryDamaged
from carma.store.rest import respread
from carma.store.store import Store, open_store
from carma.store.sweep import sweep_files
from carma.testing import SeededEntropy, SimulatedClock

FOLDER = "/memory"
SETTINGS = Settings(segment_bytes=6_000, turn_wait_ms=50, keep_versions=1)
LINGER_S = 600.0

Said = tuple[int, str | None]
"""A version and its text; None for a deletion."""


def text_of(number: int, version: int) -> str:
    """The text of one version: its length differs, and now and then it spans several sectors."""
    words = 73 if number % 3 == 0 else 3
    return f"fragment {number} version {version} " + f"word{number * 31 + version} " * words


def id_of(number: int) -> bytes:
    """The id of the fragment with a number."""
    return number.to_bytes(16, "big")


@dataclass
class Promised:
    """What was acknowledged, and what was asked for and not answered."""

    said: dict[bytes, Said] = field(default_factory=dict)
    asked: dict[bytes, set[Said]] = field(default_factory=dict)

    def allowed(self, id: bytes) -> set[Said | None]:
        """What a reader may see of a fragment."""
        return {self.said.get(id)} | self.asked.get(id, set())


class Writer:
    """Writes through a store and keeps the promises."""

    def __init__(self, store: Store, promised: Promised) -> None:
        self.store = store
        self.promised = promised

    def say(self, *changes: tuple[int, str | None]) -> None:
        """Commit texts (or deletions) of fragments by number, all in one append."""
        asked: dict[bytes, Said] = {}

        def prepare(view: View) -> list[Draft]:
            drafts = []
            for number, text in changes:
                id = id_of(number)
                head = view.head(id)
                version = head.version + 1 if head is not None else 1
                asked[id] = (version, text)
                self.promised.asked.setdefault(id, set()).add(asked[id])
                drafts.append(_draft(id, version, text))
            return drafts

        self.store.commit(prepare)
        self.promised.said.update(asked)
        for id in asked:
            del self.promised.asked[id]


def _draft(id: bytes, version: int, text: str | None) -> Draft:
    if text is None:
        return Draft(RecordKind.TOMBSTONE, id, version, b"", NO_DIGEST, None)
    content = Content(text, metadata={"text": text[:20]})
    return Draft(
        RecordKind.FRAGMENT, id, version, encode_content(content), text_digest(text), content, version == 1
    )


def open_on(disk: Disk, clock: Clock | None = None, folder: str = FOLDER, **options: bool) -> Store:
    """Open the store of a scenario."""
    return open_store(disk, folder, SETTINGS, clock or SimulatedClock(), SeededEntropy(1), **options)


def steps(writer: Writer, clock: SimulatedClock) -> Iterator[Callable[[], object]]:
    """Write, update, delete, seal, compact, sweep and write again; each step may be the last."""
    say = writer.say
    for number in (1, 2, 3):
        yield lambda n=number: say((n, text_of(n, 1)))
    yield lambda: say(*((n, text_of(n, 1)) for n in (4, 5, 6, 7)))
    yield lambda: say((2, text_of(2, 2)), (5, text_of(5, 2)), (8, text_of(8, 1)))
    yield lambda: say((4, None))
    yield lambda: seal(writer.store)
    yield lambda: say((2, text_of(2, 3)), (3, text_of(3, 2)), (6, None))
    yield lambda: say(*((n, text_of(n, 1)) for n in (9, 10, 12, 15)))
    yield lambda: say((9, text_of(9, 2)), (12, text_of(12, 2)), (1, None))
    yield lambda: respread(writer.store, None, dead_share=0.01)
    yield lambda: say((11, text_of(11, 1)), (2, text_of(2, 4)))
    yield lambda: clock.advance(LINGER_S + 1)
    yield lambda: sweep_files(writer.store, LINGER_S)
    yield lambda: say((10, text_of(10, 2)), (7, None))
    yield lambda: respread(writer.store, None, dead_share=0.01)
    yield lambda: say((13, text_of(13, 1)))


def seal(store: Store) -> None:
    """Seal the tail."""
    with store.alone():
        store.seal_alone()


def run(disk: Disk, promised: Promised, clock: SimulatedClock | None = None) -> Store:
    """Open a store and take all steps."""
    clock = clock or SimulatedClock()
    store = open_on(disk, clock)
    for step in steps(Writer(store, promised), clock):
        step()
    return store


def run_through(
    disk: Disk, promised: Promised, clock: SimulatedClock | None = None, look: bool = True
) -> list[CarmaError]:
    """Take all steps, each as far as it gets; the errors, which are CARMA's own.

    look: read everything back after each error.
    """
    clock = clock or SimulatedClock()
    errors: list[CarmaError] = []
    store = None
    for _ in range(50):
        try:
            store = open_on(disk, clock)
            break
        except CarmaError as error:
            errors.append(error)
    if store is None:
        return errors
    for step in steps(Writer(store, promised), clock):
        try:
            step()
        except CarmaError as error:
            errors.append(error)
            if look:
                check_all(store, promised)
    if look:
        check_all(store, promised)
    store.close()
    return errors


def seen(store: Store, id: bytes) -> Said | None:
    """What a reader gets for one fragment, which repairs what it can: version and text; the text is "" for a
    blank, None if it was deleted.
    """
    head = store.head(id)
    if head is None:
        return None
    if head.kind == RecordKind.TOMBSTONE:
        return head.version, None
    if head.content is None:
        try:
            head = store.read_entry(head.seq, head.segment, head.offset, head.length)
        except RecordDamaged:
            repaired = Exact(store).record(head.seq, head.segment, head.offset)
            if repaired is None:
                return head.version, ""
            head = entry_of(repaired[0])
    assert head.content is not None
    assert text_digest(head.content.text) == head.text_digest
    return head.version, head.content.text


def everything(store: Store) -> dict[bytes, Said | None]:
    """What a reader gets for every fragment that the registry lists, and what the list says is alive."""
    try:
        return _listed(store)
    except RegistryDamaged:
        store.mend_registry()
        return _listed(store)


def _listed(store: Store) -> dict[bytes, Said | None]:
    store.settle()
    rows = store.registry.rows("SELECT DISTINCT id FROM fragments")
    state = {id: seen(store, id) for (id,) in rows}
    live = {id for (id,) in store.registry.rows("SELECT id FROM fragments WHERE live")}
    assert live == {id for id, what in state.items() if what is not None and what[1] is not None}
    words = {seq for (seq,) in store.registry.rows("SELECT rowid FROM words")}
    listed = {seq for (seq,) in store.registry.rows("SELECT seq FROM fragments WHERE live")}
    assert words <= listed
    return state


def check_all(
    store: Store, promised: Promised, blanks: frozenset[bytes] = frozenset()
) -> dict[bytes, Said | None]:
    """Everything acknowledged is there, deleted ones are gone, and nothing that nobody wrote is; what there
    is, as `everything` gives it.
    """
    state = everything(store)
    for id in promised.said | promised.asked:
        found = state.get(id)
        if id in blanks and found is not None and found[1] == "":
            continue
        assert found in promised.allowed(id), (id.hex(), found, promised.allowed(id))
    assert state.keys() <= promised.said.keys() | promised.asked.keys()
    seqs = [seq for (seq,) in store.registry.rows("SELECT seq FROM fragments")]
    assert len(seqs) == len(set(seqs))
    return state


def check_reopening(disk: Disk, promised: Promised, blanks: frozenset[bytes] = frozenset()) -> None:
    """A memory opens with all that was promised, a second time with the same, and takes writes."""
    store = open_on(disk)
    first = check_all(store, promised, blanks)
    store.close()
    store = open_on(disk)
    assert everything(store) == first
    promised = Promised({id: what for id, what in first.items() if what is not None})
    writer = Writer(store, promised)
    writer.say((90, text_of(90, 1)), (91, text_of(91, 1)))
    writer.say((90, text_of(90, 2)))
    writer.say((91, None))
    check_all(store, promised, blanks)
    store.close()
    store = open_on(disk)
    check_all(store, promised, blanks)
    store.close()
