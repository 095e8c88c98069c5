"""The verbs by which people judge a reconstruction: keep it as the fragment's text, or throw it away.

A reconstruction stands in the place of a lost text and says so. Accepted, it becomes the next version, intact
from then on; the lost version stays in the history as what it is. Rejected, the fragment is a blank again,
and no dream guesses at it any more; the true text, if it ever comes back, is welcome. Not chosen: a mark
"accepted" on the reconstruction, because every reader would have to know two kinds of intact.
"""

from __future__ import annotations

from collections.abc import Sequence

from carma.errors import InvalidInput
from carma.healing.ledger import rejection
from carma.memory.ids import id_bytes
from carma.memory.write_verbs import WriteVerbs
from carma.models import Fragment
from carma.store.commit import View
from carma.store.entry import Draft, Entry
from carma.store.record import NO_DIGEST, NO_ID, RecordKind

__all__ = ["ChoiceVerbs"]


class ChoiceVerbs(WriteVerbs):
    """Verbs that decide about a reconstruction."""

    def accept(self, id: str) -> Fragment:
        """Make the reconstruction the fragment's own text, as its next version.

        Metadata are those that the registry still knows. Raises FragmentNotFound, InvalidInput (there is no
        reconstruction), VersionConflict (it changed meanwhile), ReadOnlyMemory, MemoryBusy, StorageError.
        """
        fragment = self._reconstructed(id)
        return self.update(id, fragment.text, metadata=fragment.metadata, if_version=fragment.version)

    def reject(self, id: str) -> Fragment:
        """Throw the reconstruction away: the fragment is a blank again, and no dream guesses at it any more.

        Returns the blank. Raises FragmentNotFound, InvalidInput (there is no reconstruction), ReadOnlyMemory,
        MemoryBusy, StorageError.
        """
        fragment = self._reconstructed(id)
        key = id_bytes(id)

        def prepare(view: View) -> Sequence[Draft]:
            head = view.head(key)
            if not isinstance(head, Entry) or head.seq != fragment.seq:
                raise InvalidInput(f"Fragment {fragment.id} was written meanwhile; nothing was rejected.")
            return [Draft(RecordKind.LEDGER, NO_ID, 0, rejection(self._store, head.seq), NO_DIGEST, None)]

        self._actor.commit(prepare, lambda drafts: [(key, fragment.version)])
        self._ready()
        return self._reader.current(key)

    def _reconstructed(self, id: str) -> Fragment:
        self._ready()
        fragment = self._reader.current(id_bytes(id))
        if fragment.state != "reconstructed":
            raise InvalidInput(
                f"Fragment {fragment.id} is {fragment.state}: there is no reconstruction to judge.",
                hint="Only what a dream has rebuilt can be accepted or rejected; see `carma blanks`.",
            )
        return fragment
