"""A subject access export has all that is held about an owner, nothing of others, and can be proven."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from carma import Memory
from carma.access.audit.leaf import parse_leaf
from carma.access.keys.text import SECRET
from carma.access.vault.recipients import create_identity
from carma.compliance.access import export_access, logged_export
from carma.compliance.bundle import INDEX, Bundle, check_bundle, read_bundle
from carma.errors import ArchiveDamaged, IdentityWrong, InvalidInput, MemoryExists, NothingHeld
from carma.models import Act
from carma.serve.accounts import Account
from carma.testing import HashEmbedder
from tests.vault.readable import telling_text

from .conftest import COUNT, House

MARKUP = "<script>alert('remembered')</script> & <img src=x onerror=alert(1)>"


def lines(files: dict[str, bytes], name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files[f"{name}.jsonl"].splitlines()]


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, list[str], House]]:
    """Alice with a full memory, a plain export of it, and a key beside the first one, rotated; a neighbour;
    what Alice wrote.
    """
    folder = tmp_path_factory.mktemp("alice")
    with ExitStack() as stack:
        house = House(folder / "data", stack)
        account, said = house.join("alice", 0)
        house.join("bob", 500)
        estate = house.estate("alice")
        assert estate.keys is not None
        key, _ = estate.keys.create(account.id, "r", kind="static")
        estate.keys.rotate(key.name)
        act = Act(account=account.id, operation="fragments.add")
        with estate.opened(house.seat(account)) as memory:
            with memory.acting(act):
                memory.add(MARKUP)
            memory.export(folder / "before.jsonl")
        yield account, said, house


def test_everything_of_the_owner_is_in_it(tmp_path: Path, alice: Any) -> None:
    """Every version with metadata, deleted ones too, dreams, acts, account, keys with their history, leaves
    with the ids behind their tags, usage, and the exports that were made.
    """
    account, said, house = alice
    estate = house.estate("alice")
    with estate.opened(house.seat(account), read_only=True) as memory:
        expected = {(each.id, each.version): each.text for each in memory.list(limit=100)}
    counts = export_access(estate, tmp_path / "out")
    files = read_bundle(tmp_path / "out")

    fragments = lines(files, "memory-1/fragments")[1:]
    stored = {(each["id"], each["version"]): each["text"] for each in fragments if not each["deleted"]}
    assert expected.items() <= stored.items() and len(fragments) == counts["fragments"]
    assert set(said) - set(stored.values()) == {each for each in said if each not in stored.values()}
    texts = set(stored.values())
    assert {telling_text(at) for at in range(2, COUNT)} <= texts and telling_text(200) in texts
    assert {each["metadata"]["said"] for each in fragments if each["metadata"]} <= set(said)
    assert lines(files, "account") == [account.to_dict()]
    assert len(lines(files, "memory-1/dreams")) == 1 and lines(files, "memory-1/dreams")[0]["cycle"] == 1
    assert {each["operation"] for each in lines(files, "memory-1/acts")} >= {"fragments.add"}
    assert lines(files, "memory-1/handed-out")[0]["form"] == "jsonl"
    assert [each["target"] for each in lines(files, "memory-1/handed-out")][-1] == str(tmp_path / "out")

    keys = {each["fingerprint"]: each for each in lines(files, "keys")}
    assert len(keys) == 3 and {each["state"] for each in keys.values()} == {"active", "grace"}
    assert all(each["history"][0]["operation"] == "keys.create" for each in keys.values())
    leaves = lines(files, "audit")
    assert counts["leaves"] == len(leaves) and {each["leaf"]["kind"] for each in leaves} >= {"change", "key"}
    named = {name for each in leaves for name in each["known"].values()}
    assert account.id in named and named & set(keys) and named & {each["id"] for each in fragments}
    used = {each.get("operation", each["what"]): each for each in lines(files, "usage")}
    assert used["memory"]["fragments"] == len(expected) and used["fragments.add"]["count"] == 2
    assert used["keys.create"]["count"] == 3


def test_nothing_of_others_and_no_secret_is_in_it(tmp_path: Path, alice: Any) -> None:
    """Not a word of the neighbour, no key, no wrapped secret."""
    import re

    estate = alice[2].estate("alice")
    export_access(estate, tmp_path / "out")
    whole = b"\n".join(read_bundle(tmp_path / "out").values()).decode()
    for number in range(500, 500 + COUNT):
        assert telling_text(number) not in whole
    assert "bob" not in whole and not re.search(SECRET, whole)
    assert estate.keys is not None
    for key in estate.stored_keys():
        assert key.secret.hex() not in whole


def test_another_memory_can_take_it_in(tmp_path: Path, alice: Any) -> None:
    """The fragments have the form of an export."""
    estate = alice[2].estate("alice")
    export_access(estate, tmp_path / "out")
    with Memory.open(tmp_path / "other", embedder=HashEmbedder()) as memory:
        done = memory.import_(tmp_path / "out" / "memory-1" / "fragments.jsonl")
        assert done["imported"] > COUNT
        assert MARKUP in {each.text for each in memory.list(limit=100)}


class _Page(HTMLParser):
    """What a browser would see: the tags, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_all_texts_as_text(tmp_path: Path, alice: Any) -> None:
    """Every text stands on it as it was written; remembered markup is no markup; nothing is fetched."""
    estate = alice[2].estate("alice")
    export_access(estate, tmp_path / "out")
    files = read_bundle(tmp_path / "out")
    page = _Page()
    page.feed(files["page.html"].decode())
    fragments = lines(files, "memory-1/fragments")[1:]
    assert all(each["text"] in page.text for each in fragments) and MARKUP in page.text
    assert not page.tags & {"script", "img", "link", "iframe", "form", "object"}
    assert not {name for name in page.attributes if name.startswith("on")} | (page.attributes & {"src"})


def test_a_bundle_is_proven_and_any_change_is_found(tmp_path: Path, alice: Any) -> None:
    """Its digest stands in the audit log; a changed, missing or added file, or index, is said to be."""
    estate = alice[2].estate("alice")
    counts = export_access(estate, tmp_path / "out")
    checked = check_bundle(tmp_path / "out")
    assert checked.digest == counts["digest"]
    assert estate.trail is not None
    number = logged_export(estate.trail.log.reader(), checked.digest)
    assert number is not None
    leaf = parse_leaf(dict(estate.trail.log.reader().entries(number, number + 1))[number])
    assert leaf.operation == "access.export" and leaf.owner is not None
    assert logged_export(estate.trail.log.reader(), "0" * 64) is None

    paths = [path for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()]
    assert len(paths) == checked.files + 1
    for path in paths:
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]) if before else b"x")
        if path.name == INDEX:
            with pytest.raises(ArchiveDamaged):
                check_bundle(tmp_path / "out")
        else:
            with pytest.raises(ArchiveDamaged, match=path.name):
                check_bundle(tmp_path / "out")
        path.unlink()
        with pytest.raises(ArchiveDamaged):
            read_bundle(tmp_path / "out")
        path.write_bytes(before)
    (tmp_path / "out" / "more.txt").write_text("x")
    with pytest.raises(ArchiveDamaged):
        check_bundle(tmp_path / "out")


def test_a_sealed_export_opens_for_its_recipient_alone(tmp_path: Path, alice: Any) -> None:
    """No text stands in the file; another identity, and a cut file, are refused; the same is in it."""
    _, said, house = alice
    estate = house.estate("alice")
    identity, other = create_identity(), create_identity()
    counts = export_access(estate, tmp_path / "out", to=identity.recipient)
    raw = (tmp_path / "out").read_bytes()
    assert not any(text.encode() in raw for text in said)
    assert check_bundle(tmp_path / "out", identity).digest == counts["digest"]
    with pytest.raises(IdentityWrong):
        check_bundle(tmp_path / "out", other)
    with pytest.raises(InvalidInput):
        check_bundle(tmp_path / "out")
    (tmp_path / "cut").write_bytes(raw[:-100])
    with pytest.raises(ArchiveDamaged):
        check_bundle(tmp_path / "cut", identity)
    export_access(estate, tmp_path / "plain.tar")
    assert read_bundle(tmp_path / "out", identity).keys() == read_bundle(tmp_path / "plain.tar").keys()


def test_what_is_long_goes_on_in_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part begins with the head, and none is much longer than the bound."""
    monkeypatch.setattr("carma.compliance.bundle.PART_BYTES", 200)
    with Bundle(tmp_path / "out") as bundle:
        assert bundle.lines("many", ({"number": number} for number in range(50)), {"head": 1}) == 50
        bundle.page("page", "<html>", (f"<p>{number}</p>" * 5 for number in range(50)), "</html>")
    files = read_bundle(tmp_path / "out")
    parts = [name for name in files if name.startswith("many")]
    assert len(parts) > 3 and all(files[name].startswith(b'{"head": 1}\n') for name in parts)
    numbers = [
        json.loads(line).get("number") for name in files if name in parts for line in files[name].splitlines()
    ]
    assert sorted(number for number in numbers if number is not None) == list(range(50))
    assert b'href="page.2.html"' in files["page.html"] and all(
        len(data) < 400 for data in files.values() if b"head" in data
    )


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    """No half of a folder, of a tar file or of a sealed one; what is there is kept."""
    for target, to in (("out", None), ("out.tar", None), ("sealed", create_identity().recipient)):
        with pytest.raises(ZeroDivisionError), Bundle(tmp_path / target, to) as bundle:
            bundle.lines("one", ({"n": 1 // n} for n in (1, 0)))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(MemoryExists):
        Bundle(tmp_path / "mine")
    with pytest.raises(InvalidInput):
        Bundle(tmp_path / "no" / "folder")


def test_an_owner_of_whom_nothing_is_held_is_said_to_be_one(house: House, tmp_path: Path) -> None:
    """No empty export is made."""
    with pytest.raises(NothingHeld):
        export_access(house.estate("nobody"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plain_memory_is_exported_as_well(house: House, tmp_path: Path) -> None:
    """Where seats are not encrypted the same things are in it."""
    account, said = house.join("carol", 0, plain=True)
    estate = house.estate("carol", plain=True)
    counts = export_access(estate, tmp_path / "out")
    files = read_bundle(tmp_path / "out")
    assert {each["text"] for each in lines(files, "memory-1/fragments")[1:]} & set(said)
    assert counts["leaves"] == len(lines(files, "audit")) > 0
    assert account.id in {name for each in lines(files, "audit") for name in each["known"].values()}
