"""What each call of a LangChain vector store asks of a memory, and how a document lies in it.

A document is a fragment: its text, its metadata, and for an id of the caller's own the metadata name
`langchain_id`. A document without one goes by the fragment's id, so whatever else is in the memory (an
ingested folder, say) is found as documents too. A document that is not intact says so in its metadata, under
`carma_state`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from carma.errors import FragmentNotFound, InvalidInput
from carma.integrations.steps import Steps, call, pages
from carma.models import Fragment, SearchResult

__all__ = ["DocumentSteps"]

_ID: Final = "langchain_id"
_STATE: Final = "carma_"
_FRAGMENT_ID: Final = re.compile(r"[0-9a-f]{32}")
_ASKED_CHARS: Final = 4_000
"""Ids in one question, together: over a server it is a part of the address, percent-encoded."""

Scored = list[tuple[Document, float]]


class DocumentSteps:
    """The calls as steps. embeddings: of the caller; None where the memory embeds."""

    def __init__(self, embeddings: Embeddings | None, scope: Mapping[str, str], kind: str, mode: str) -> None:
        self.embeddings = embeddings
        self._scope: dict[str, Any] = dict(scope)
        self._kind = kind
        self._mode = mode

    # Writing

    def add(
        self, texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None, ids: Sequence[Any] | None
    ) -> Steps[list[str]]:
        """Add documents, or write anew those whose id is known; their ids in order."""
        wanted = list(texts)
        of = _as_long(metadatas, len(wanted), "metadatas") or [{}] * len(wanted)
        named = _as_long(ids, len(wanted), "ids") or [None] * len(wanted)
        vectors = self.embeddings.embed_documents(wanted) if self.embeddings and wanted else None
        known = yield from self._known([str(id) for id in named if id is not None])
        out: list[str | None] = [None] * len(wanted)
        fresh: list[tuple[int, dict[str, Any]]] = []
        places: dict[str, int] = {}
        for number, (text, metadata, id) in enumerate(zip(wanted, of, named, strict=True)):
            item: dict[str, Any] = {"text": text, "metadata": dict(metadata)}
            if vectors is not None:
                item["vector"] = vectors[number]
            if id is None:
                fresh.append((number, item))
                continue
            out[number] = name = str(id)
            if name in known:
                yield from self._change(known[name][-1], name, item)
            else:
                item["metadata"][_ID] = name
                if name in places:  # Given twice: the last one stands.
                    fresh[places[name]] = (number, item)
                else:
                    places[name] = len(fresh)
                    fresh.append((number, item))
        made = yield from self._add([item for _, item in fresh])
        for (number, _), fragment in zip(fresh, made, strict=True):
            out[number] = out[number] or fragment.id
        return [id for id in out if id is not None]

    def _add(self, items: Sequence[Mapping[str, Any]]) -> Steps[list[Fragment]]:
        if not items:
            return []
        made: list[Fragment] = yield from call("add_many", items, kind=self._kind, **self._scope)
        return made

    def _change(self, known: Fragment, name: str, item: dict[str, Any]) -> Steps[None]:
        """The next version, unless nothing would change."""
        metadata = item["metadata"] | ({_ID: name} if _ID in known.metadata else {})
        same = known.text == item["text"] and dict(known.metadata) == metadata
        if not same or known.state != "intact":
            yield from call("update", known.id, **{**item, "metadata": metadata})

    def delete(self, ids: Sequence[str] | None) -> Steps[bool]:
        """Delete documents by id; those that are not there are passed over. Raises InvalidInput (no ids)."""
        if ids is None:
            raise InvalidInput(
                "No ids were given.", hint="Name what is to be deleted; everything at once is never deleted."
            )
        known = yield from self._known(list(ids))
        for fragments in known.values():
            for fragment in fragments:
                with suppress(FragmentNotFound):
                    yield from call("delete", fragment.id)
        return True

    # Reading

    def get(self, ids: Sequence[str]) -> Steps[list[Document]]:
        """Documents by id, in the order asked for; those that are not there are left out."""
        known = yield from self._known(list(ids))
        return [_document(known[id][-1]) for id in ids if id in known]

    def _known(self, ids: Sequence[str]) -> Steps[dict[str, list[Fragment]]]:
        """What is there of the ids, the newest last: by callers' own ids first, then by those of fragments.

        Two processes that add the same id at the same moment leave two fragments; the newest counts.
        """
        found: dict[str, list[Fragment]] = {}
        for several in _parts(ids):
            where = {_ID: {"in": several}}
            for fragment in (yield from pages(where=where, **self._scope)):
                found.setdefault(str(fragment.metadata.get(_ID)), []).append(fragment)
        for id in ids:
            if id not in found and _FRAGMENT_ID.fullmatch(id):
                with suppress(FragmentNotFound):
                    fragment = yield from call("get", id)
                    if all(getattr(fragment, name) == value for name, value in self._scope.items()):
                        found[id] = [fragment]
        return found

    def search(
        self,
        query: str | None,
        k: int,
        filter: Mapping[str, Any] | None = None,
        vector: Sequence[float] | None = None,
        diversity: float = 0.0,
        min_score: float | None = None,
        under: str | None = None,
    ) -> Steps[Scored]:
        """Documents and their scores, best first."""
        mode = self._mode
        if vector is None and query is not None and self.embeddings is not None and mode != "words":
            vector = self.embeddings.embed_query(query)
        if query is None:
            mode = "vector"
        result: SearchResult = yield from call(
            "search", query, vector=vector, limit=k, mode=mode, where=filter, under=under,
            diversity=diversity, min_score=min_score, **self._scope,
        )  # fmt: skip
        return [(_document(hit.fragment), hit.score) for hit in result]


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in order, as many at once as one question may name."""
    part: list[str] = []
    size = 0
    for id in ids:
        if part and size + len(id) > _ASKED_CHARS:
            yield part
            part, size = [], 0
        part.append(id)
        size += len(id) + 4
    if part:
        yield part


def _document(fragment: Fragment) -> Document:
    metadata = dict(fragment.metadata)
    id = metadata.pop(_ID, fragment.id)
    if fragment.source is not None and "source" not in metadata:
        metadata["source"] = fragment.source.path
    if fragment.state != "intact":
        metadata[f"{_STATE}state"] = fragment.state
        if fragment.blank is not None:
            metadata[f"{_STATE}reason"] = fragment.blank.reason
        if fragment.repair is not None and fragment.repair.confidence is not None:
            metadata[f"{_STATE}confidence"] = fragment.repair.confidence
    return Document(id=str(id), page_content=fragment.text, metadata=metadata)


def _as_long(values: Sequence[Any] | None, length: int, name: str) -> list[Any] | None:
    if values is None:
        return None
    if len(values) != length:
        raise InvalidInput(f"There are {len(values)} {name} for {length} texts.")
    return list(values)
