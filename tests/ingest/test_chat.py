"""Chat exports become conversations of turns that name their speaker and keep their own ids."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from carma.ingest.node import Parsed, ParsedNode
from carma.ingest.parse import parse
from carma.ingest.turn import seconds

from .dict_sink import as_tree

LOCOMO: dict[str, Any] = {
    "speaker_a": "Ada",
    "speaker_b": "Ben",
    "session_2_date_time": "12:05 am on 3 March, 2024",
    "session_2": [{"speaker": "Ben", "dia_id": "D2:1", "text": "Back from the lake."}],
    "session_1_date_time": "1:56 pm on 28 February, 2024",
    "session_1": [
        {
            "speaker": "Ada",
            "dia_id": "D1:1",
            "text": "Look what I baked!",
            "blip_caption": "a photo of a plum cake",
        },
        {"speaker": "Ben", "dia_id": "D1:2", "text": ""},
        {"speaker": "Ben", "dia_id": "D1:3", "text": "Is there a piece left?"},
    ],
    "session_3": [],
    "session_1_summary": "They talk about cake.",
    "qa": [{"question": "What did Ada bake?", "answer": "a cake", "evidence": ["D1:1"]}],
}
LOCOMO_TREE = [
    "conversation",
    "Conversation of Ada, Ben",
    [
        [
            "session",
            "Session 1, 1:56 pm on 28 February, 2024",
            [
                ["turn", "Ada: Look what I baked! [image: a photo of a plum cake]", []],
                ["turn", "Ben: Is there a piece left?", []],
            ],
        ],
        ["session", "Session 2, 12:05 am on 3 March, 2024", [["turn", "Ben: Back from the lake.", []]]],
    ],
]


def parsed(value: object, name: str = "chat.json") -> Parsed:
    return parse(name, json.dumps(value, ensure_ascii=False, indent=1).encode())


def turns(result: Parsed) -> list[ParsedNode]:
    return [node for top in result.nodes for node in top.walk() if node.kind == "turn"]


@pytest.mark.parametrize("value", [LOCOMO, {"conversation": LOCOMO, "qa": []}], ids=["bare", "nested"])
def test_locomo_becomes_sessions_of_turns(value: dict[str, Any]) -> None:
    """Sessions by number, turns in order; questions and summaries are left out."""
    result = parsed(value)
    assert result.format == "chat"
    assert as_tree(result.nodes) == [LOCOMO_TREE]
    first = turns(result)[0]
    assert first.metadata == {
        "speaker": "Ada",
        "dia_id": "D1:1",
        "blip_caption": "a photo of a plum cake",
        "time": "1:56 pm on 28 February, 2024",
    }
    assert first.created == datetime(2024, 2, 28, 13, 56, tzinfo=UTC).timestamp()
    assert [note.code for note in result.notes] == ["not-a-message"]


def test_a_list_of_locomo_samples_becomes_several_conversations() -> None:
    """One conversation per sample, named by it."""
    result = parsed(
        [{"sample_id": "s1", "conversation": LOCOMO}, {"sample_id": "s2", "conversation": LOCOMO}]
    )
    assert [node.text for node in result.nodes] == ["s1", "s2"]


def test_a_turn_points_at_its_json() -> None:
    """The span of a turn holds the very object it was made from, in any encoding of its neighbours."""
    value = [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "漢字"}]
    raw = json.dumps(value, ensure_ascii=False, indent=2).encode()
    for node, message in zip(turns(parse("chat.json", raw)), value, strict=True):
        assert node.span is not None and json.loads(raw[slice(*node.span)]) == message


MESSAGES = [
    (
        {"role": "user", "content": "Hello", "id": 7},
        "user: Hello",
        {"speaker": "user", "role": "user", "id": 7},
    ),
    (
        {"speaker": "Ada", "text": "Hello", "time": "2024-05-01"},
        "Ada: Hello",
        {"speaker": "Ada", "time": "2024-05-01"},
    ),
    ({"author": {"role": "tool", "name": "sql"}, "text": "3"}, "sql: 3", {"speaker": "sql", "role": "tool"}),
    ({"from": "human", "value": "Hello"}, "human: Hello", {"speaker": "human"}),
    (
        {"user": "Ada", "message": "Hello", "ts": "1714557600.5"},
        "Ada: Hello",
        {"speaker": "Ada", "time": "1714557600.5"},
    ),
    (
        {
            "role": "user",
            "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {}}],
        },
        "user: See",
        {"speaker": "user", "role": "user"},
    ),
    (
        {"uuid": "u", "message": {"role": "user", "content": [{"type": "text", "text": "Deep"}]}},
        "user: Deep",
        {"speaker": "user", "role": "user"},
    ),
]


@pytest.mark.parametrize(("message", "text", "metadata"), MESSAGES)
def test_messages_of_many_layouts_are_read(
    message: dict[str, Any], text: str, metadata: dict[str, Any]
) -> None:
    """Who, what and when under the names that exports use, as a list, in an object, and line by line."""
    lines = "\n".join(json.dumps(message) for _ in range(2)).encode()
    for result in (parsed([message] * 2), parsed({"messages": [message] * 2}), parse("chat.jsonl", lines)):
        assert result.format == "chat"
        assert [(turn.text, dict(turn.metadata)) for turn in turns(result)] == [(text, metadata)] * 2


def test_lines_may_each_hold_a_conversation() -> None:
    """The layout of fine-tuning files."""
    line = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
    assert len(parse("train.jsonl", f"{line}\n{line}\n".encode()).nodes) == 2


def test_messages_that_name_their_session_are_grouped() -> None:
    """Runs of one session become a session."""
    value = [{"role": "user", "content": str(n), "session_id": f"s{n // 2}"} for n in range(4)]
    (conversation,) = parsed(value).nodes
    assert [(node.kind, node.text, len(node.children)) for node in conversation.children] == [
        ("session", "Session s0", 2),
        ("session", "Session s1", 2),
    ]


def test_a_branched_export_gives_the_branch_that_was_shown() -> None:
    """Of an answer that was made twice, the one that leads to the current node."""

    def node(parent: str | None, role: str, text: str) -> dict[str, Any]:
        content = {"content_type": "text", "parts": [text]}
        return {
            "parent": parent,
            "message": {"author": {"role": role}, "content": content, "create_time": 1714557600},
        }

    mapping = {
        "root": {"parent": None, "message": None},
        "q": node("root", "user", "Why?"),
        "no": node("q", "assistant", "Rejected."),
        "yes": node("q", "assistant", "Because."),
    }
    result = parsed([{"title": "Reasons", "mapping": mapping, "current_node": "yes"}])
    assert [node.text for node in result.nodes] == ["Reasons"]
    assert [turn.text for turn in turns(result)] == ["user: Why?", "assistant: Because."]


def test_a_long_turn_goes_on_below_itself() -> None:
    """Nothing of a long answer is lost; the turn is its beginning."""
    text = "Word after word. " * 400
    (turn,) = turns(parsed([{"role": "assistant", "content": text, "id": "x"}]))
    assert len(turn.text) <= 1_200 and turn.metadata["id"] == "x"
    assert {child.kind for child in turn.children} == {"paragraph"}
    assert " ".join([turn.text, *(child.text for child in turn.children)]) == f"assistant: {text.strip()}"


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        3,
        {"a": [1, 2]},
        [{"name": "x", "value": "y"}],
        [{"name": "x", "text": "y"}],
        {"messages": [1]},
    ],
)
def test_other_json_is_no_chat(value: object) -> None:
    """Data that merely looks like it stays data."""
    assert parsed(value).format == "source"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-05-01T10:00:00Z", 1714557600.0),
        ("2024-05-01 12:00:00+02:00", 1714557600.0),
        ("2024-05-01T10:00:00", 1714557600.0),
        (1714557600, 1714557600.0),
        (1714557600000, 1714557600.0),
        ("1714557600", 1714557600.0),
        ("10:00 am on 1 May, 2024", 1714557600.0),
        ("12:00 am on 1 May, 2024", 1714521600.0),
        ("25:00 pm on 1 May, 2024", None),
        ("soon", None),
        (True, None),
        (float("nan"), None),
        (10**400, None),
        (None, None),
    ],
)
def test_times_are_read_or_left_alone(written: object, expected: float | None) -> None:
    """Numbers, ISO 8601 and the written form; anything else is no time."""
    assert seconds(written) == expected
