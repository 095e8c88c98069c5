"""A server keeps its seats to the rules by itself, and an owner can be erased while it runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

from carma.access.audit.trail import log_folder, published_keys
from carma.access.data import DataFolder, unlock
from carma.compliance.certificate import check_certificate
from carma.compliance.erasure import erase, settle
from carma.compliance.estate import Estate
from carma.memory.memory import Memory
from carma.ports.disk import LocalDisk
from carma.serve.household import open_household
from carma.testing import HashEmbedder
from tests.serve.running import Running, running
from tests.vault.readable import files_below, found_in, telling_text

RULES = {
    "format": "carma retention 1",
    "rules": [{"name": "old", "older_than": "30d"}],
    "holds": [{"name": "case", "where": {"case": 17}}],
}


def _waited(server: Running, event: str, seconds: float = 20.0) -> dict[str, object]:
    """The first line of the server's log about an event."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for line in server.log.splitlines():
            if json.loads(line).get("event") == event:
                found: dict[str, object] = json.loads(line)
                return found
        time.sleep(0.02)
    raise AssertionError(f"{event} was not logged:\n{server.log}")


def test_a_server_removes_what_is_due_on_its_round(tmp_path: Path) -> None:
    """What is old goes, what is held or young stays, and the audit log has a leaf for it; mistyped rules
    remove nothing and are reported.
    """
    environ = {"CARMA_KEK_FILE": str(tmp_path / "data-kek")}
    household = open_household(unlock(DataFolder(tmp_path / "data"), environ))
    account = household.churn().join("ada", "rw").account
    seat = household.seats / account.folder
    with Memory.open(seat, embedder=HashEmbedder(64), vault=household.vault, owner=account.id) as memory:
        memory.add(telling_text(1), created=1.0)
        memory.add(telling_text(2), created=1.0, metadata={"case": 17})
        memory.add(telling_text(3))
    household.close()
    rules = tmp_path / "data" / "retention.json"
    rules.write_text(json.dumps(RULES))
    with running(tmp_path / "data") as server:
        line = _waited(server, "retained")
        assert (line["deleted"], line["on_hold"], line["finished"]) == (1, 1, True)
        key = server.key(account)
        with server.client(key) as client:
            texts = {each["text"] for each in client.get("/v1/fragments").json()["items"]}
            leaves = client.get("/v1/audit").json()["entries"]
        assert texts == {telling_text(2), telling_text(3)}
        assert "retention.old" in {each["leaf"]["operation"] for each in leaves}
    rules.write_text(json.dumps({**RULES, "rules": [{"name": "all", "older_then": "1s"}]}))
    with running(tmp_path / "data") as server:
        assert "older_then" in str(_waited(server, "retention-rules")["detail"])
        with server.client(server.key(account)) as client:
            assert len(client.get("/v1/fragments").json()["items"]) == 2


def test_an_owner_is_erased_while_the_server_runs(tmp_path: Path) -> None:
    """The owner's next request is refused, nothing of theirs is left, and the others go on."""
    with running(tmp_path / "data") as server:
        ada, key = server.join("ada")
        bob = server.user("bob")
        client = server.client(key)
        assert client.post("/v1/fragments", json={"items": [{"text": telling_text(1)}]}).is_success
        assert bob.post("/v1/fragments", json={"items": [{"text": telling_text(2)}]}).is_success

        other = open_household(unlock(DataFolder(server.data), server.environ))
        folder = other.unlocked.folder
        estate = Estate(
            owner=ada.id, folder=folder, memories=(other.seats / ada.folder,), account=ada.to_dict(),
            vault=other.vault, keys=other.keys, trail=other.trail, accounts=other.accounts,
        )  # fmt: skip
        document = erase(estate)
        body, _ = check_certificate(document, published_keys(LocalDisk(), log_folder(folder.audit)))
        assert body["memories"][0]["fragments"] == 1 and body["data_key"] is not None
        settle(estate)
        other.close()

        refused = client.get("/v1/fragments")
        assert refused.status_code in (401, 404), refused.text
        assert [each["text"] for each in bob.get("/v1/fragments").json()["items"]] == [telling_text(2)]
        until = time.monotonic() + 15
        # A memory that the server had open may write once more as it closes; the next round erases that too.
        while (other.seats / ada.folder).exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        files = files_below(server.data)
        assert found_in(files, [telling_text(1)]) == []
        assert [name for name, data in files.items() if ada.id.encode() in data] == []
