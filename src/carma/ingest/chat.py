"""Chat exports: conversations of turns, in the layouts that are in use.

- a list of messages; an object with such a list (`messages`, `turns`, `conversation`, `chat_messages` …); a
  list of such objects;
- JSON Lines, a message or a conversation per line;
- LoCoMo: `session_1`, `session_1_date_time`, `session_2` … in an object, or under its `conversation`;
- ChatGPT's export: a `mapping` of nodes, of which the branch that ends in `current_node` is taken.

A turn's text is "Speaker: words [image: caption]", because who speaks is what people search for. The text is
derived, so a turn's span is the JSON value it was made from. Questions, summaries and observations beside a
conversation are left out: they are not something that was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from carma.ingest.document import Document, clean
from carma.ingest.located import Located, decode, fields, items
from carma.ingest.node import Note, ParsedNode
from carma.ingest.split import pieces
from carma.ingest.turn import flat, is_message, said, seconds, speaker_of, turn_metadata

__all__ = ["parse_chat", "parse_chat_lines"]

_LISTS = (
    "messages",
    "chat_messages",
    "conversation",
    "conversations",
    "turns",
    "chat",
    "history",
    "dialogue",
    "dialog",
)
_TITLES = ("title", "name", "sample_id", "conversation_id", "id")
_SESSION = re.compile(r"session_(\d{1,9})")
_GROUPS = ("session", "session_id", "thread", "thread_id", "conversation_id")
_SPEAKERS_NAMED = 5
_BROKEN_NAMED = 20

Chat = tuple[tuple[ParsedNode, ...], tuple[Note, ...]]


def parse_chat(document: Document) -> Chat | None:
    """The conversations of a JSON file, and notes; None where it is no chat export (or not JSON)."""
    whole = decode(document.text)
    if whole is None:
        return None
    reader = _Reader(document)
    if isinstance(whole.value, list) and _mostly(is_message, whole.value):
        found = [reader.conversation(items(document.text, whole), {}, whole)]
    elif isinstance(whole.value, list) and _mostly(_is_conversation, whole.value):
        found = [reader.layout(part) for part in items(document.text, whole) if _is_conversation(part.value)]
        reader.left_out += len(whole.value) - len(found)
    elif _is_conversation(whole.value):
        found = [reader.layout(whole)]
    else:
        return None
    return reader.finish(found)


def parse_chat_lines(document: Document) -> Chat | None:
    """The conversations of a JSON Lines file; None where no line is a message or a conversation."""
    reader = _Reader(document)
    messages: list[Located] = []
    found: list[ParsedNode | None] = []
    for number, (start, end) in enumerate(document.lines, 1):
        if not document.text[start:end].strip():
            continue
        line = decode(document.text, start, end)
        if line is None:
            reader.broken(number)
        elif is_message(line.value):
            messages.append(line)
        elif _is_conversation(line.value):
            found.append(reader.layout(line))
        else:
            reader.left_out += 1
    if messages:
        around = Located(None, messages[0].start, messages[-1].end)
        found.insert(0, reader.conversation(messages, {}, around))
    return reader.finish(found) if found else None


def _mostly(test: Any, values: list[Any]) -> bool:
    """Whether at least half of the first values pass."""
    head = values[:200]
    return bool(head) and sum(map(test, head)) * 2 >= len(head)


def _is_conversation(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if _is_sessions(value) or _is_sessions(value.get("conversation")):
        return True
    if isinstance(value.get("mapping"), dict):
        return any(isinstance(node, dict) and "message" in node for node in value["mapping"].values())
    return _list_of(value) is not None


def _is_sessions(value: object) -> bool:
    return isinstance(value, dict) and any(
        _SESSION.fullmatch(key) and isinstance(turns, list) for key, turns in value.items()
    )


def _list_of(value: Mapping[str, Any]) -> str | None:
    """The member that holds the messages."""
    for key in _LISTS:
        if isinstance(value.get(key), list) and _mostly(is_message, value[key]):
            return key
    return None


class _Reader:
    """Turns located JSON into nodes, counting what it leaves out."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.notes: list[Note] = []
        self.left_out = 0
        self._broken = 0

    def broken(self, line: int) -> None:
        """Note a line that is not JSON; the first ones one by one, the rest by their number."""
        self._broken += 1
        if self._broken <= _BROKEN_NAMED:
            self.notes.append(Note("broken-line", f"line {line} is not JSON and was left out"))

    def finish(self, found: Iterable[ParsedNode | None]) -> Chat:
        if self._broken > _BROKEN_NAMED:
            more = self._broken - _BROKEN_NAMED
            self.notes.append(Note("broken-line", f"{more} more lines are not JSON and were left out"))
        if self.left_out:
            self.notes.append(
                Note("not-a-message", f"{self.left_out} items hold no message text and were left out")
            )
        return tuple(node for node in found if node is not None), tuple(self.notes)

    def layout(self, whole: Located) -> ParsedNode | None:
        """A conversation from an object of any layout."""
        value = whole.value
        if _is_sessions(value):
            return self._sessions(whole, value)
        members = fields(self.document.text, whole)
        if _is_sessions(value.get("conversation")):
            return self._sessions(members["conversation"], value)
        if isinstance(value.get("mapping"), dict):
            return self.conversation(
                self._branch(members["mapping"], value.get("current_node")), value, whole
            )
        key = _list_of(value)
        return self.conversation(items(self.document.text, members[key]), value, whole) if key else None

    def conversation(
        self, messages: Iterable[Located], about: Mapping[str, Any], around: Located
    ) -> ParsedNode | None:
        """A conversation of messages; sessions inside it where the messages name theirs."""
        children: list[ParsedNode] = []
        for name, group in groupby(messages, key=_session_of):
            turns = tuple(self._turns(group, None))
            if name is None or not turns:
                children += turns
                continue
            metadata = {"name": name}
            span = around.start, around.end
            session = self.document.node("session", *span, text=f"Session {name}", metadata=metadata)
            children.append(replace(session, children=turns, created=turns[0].created))
        return self._conversation(around, about, tuple(children))

    def _sessions(self, conversation: Located, about: Mapping[str, Any]) -> ParsedNode | None:
        """LoCoMo: numbered sessions, each with its date."""
        members = fields(self.document.text, conversation)
        numbered = sorted(
            (int(match.group(1)), key)
            for key, member in members.items()
            if (match := _SESSION.fullmatch(key)) and isinstance(member.value, list)
        )
        found = []
        for number, key in numbered:
            date = members.get(f"{key}_date_time")
            time = date.value if date and isinstance(date.value, str) else None
            turns = tuple(self._turns(items(self.document.text, members[key]), time))
            if not turns:
                continue
            metadata = {"number": number} | ({"time": clean(time)[:1000]} if time else {})
            text = f"Session {number}" + (f", {metadata['time']}" if time else "")
            span = members[key].start, members[key].end
            session = self.document.node(
                "session", *span, text=text, metadata=metadata, created=seconds(time)
            )
            found.append(replace(session, children=turns))
        return self._conversation(conversation, about, tuple(found))

    def _conversation(
        self, around: Located, about: Mapping[str, Any], children: tuple[ParsedNode, ...]
    ) -> ParsedNode | None:
        if not children:
            return None
        given = next(
            (about[key] for key in _TITLES if isinstance(about.get(key), str) and about[key].strip()), None
        )
        title = clean(given.strip())[:500] if given else None
        first = children[0].children if children[0].kind == "session" else children
        speakers = dict.fromkeys(turn.metadata["speaker"] for turn in first if turn.kind == "turn")
        text = title or "Conversation of " + ", ".join(list(speakers)[:_SPEAKERS_NAMED])
        metadata = {"title": title} if title else {}
        node = self.document.node("conversation", around.start, around.end, text=text, metadata=metadata)
        return replace(node, children=children, created=children[0].created)

    def _turns(self, messages: Iterable[Located], time: str | None) -> Iterator[ParsedNode]:
        for message in messages:
            turn = self._turn(message, time)
            if turn is None:
                self.left_out += 1
            else:
                yield turn

    def _turn(self, message: Located, time: str | None) -> ParsedNode | None:
        """A turn; what is longer than a fragment goes on in paragraphs below it."""
        if not isinstance(message.value, dict):
            return None
        value = flat(message.value)
        words = said(value)
        if not words:
            return None
        speaker = speaker_of(value)
        metadata = turn_metadata(value, speaker)
        if time and "time" not in metadata:
            metadata["time"] = clean(time)[:1000]
        text = f"{speaker}: {words}"
        (start, end), *rest = pieces(text, 0, len(text), self.document.limit)
        span = message.start, message.end
        turn = self.document.node("turn", *span, text=text[start:end], metadata=metadata)
        more = tuple(replace(turn, kind="paragraph", text=text[a:b], metadata={}) for a, b in rest)
        return replace(turn, children=more, created=seconds(metadata.get("time")))

    def _branch(self, mapping: Located, leaf: object) -> list[Located]:
        """The messages of a ChatGPT export from the root to the node `leaf`; all where that is unknown."""
        nodes = fields(self.document.text, mapping)
        names: list[str] = []
        seen: set[str] = set()
        while isinstance(leaf, str) and leaf in nodes and leaf not in seen:
            seen.add(leaf)
            names.append(leaf)
            node = nodes[leaf].value
            leaf = node.get("parent") if isinstance(node, dict) else None
        chosen = [nodes[name] for name in reversed(names)] or list(nodes.values())
        members = [fields(self.document.text, node) for node in chosen if isinstance(node.value, dict)]
        return [
            each["message"] for each in members if "message" in each and is_message(each["message"].value)
        ]


def _session_of(message: Located) -> str | None:
    if isinstance(message.value, dict):
        for key in _GROUPS:
            name = message.value.get(key)
            if isinstance(name, str | int) and not isinstance(name, bool) and str(name).strip():
                return clean(str(name).strip())[:200]
    return None
