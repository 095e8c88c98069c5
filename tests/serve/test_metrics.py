"""Metrics: named by the vocabulary, true, and shown to whom they should be shown."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from carma.client.operations import OPERATIONS
from carma.models import State
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, running

NAMES = {
    "carma_bodies_bytes", "carma_calls", "carma_connections", "carma_connections_evicted",
    "carma_dream_seconds", "carma_dream_steps", "carma_dreams", "carma_dreams_waiting", "carma_findings",
    "carma_fragments", "carma_key_outcomes", "carma_oldest_look_seconds", "carma_request_seconds",
    "carma_requests", "carma_rungs", "carma_scan_bytes", "carma_scans", "carma_searches_degraded",
    "carma_seats", "carma_streams", "carma_vectors",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = ServeSettings(port=0, dashboard=False, health_s=0.0)
    with running(tmp_path_factory.mktemp("metrics") / "data", settings) as found:
        yield found


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every value of a page, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(server: Running, name: str, **labels: str) -> float:
    return samples(httpx.get(f"{server.url}/metrics").text).get((name, tuple(sorted(labels.items()))), 0.0)


def eventually(server: Running, name: str, wanted: float, **labels: str) -> None:
    end = time.monotonic() + 15
    while value(server, name, **labels) != wanted:
        assert time.monotonic() < end, (name, labels, value(server, name, **labels))
        time.sleep(0.05)


def test_the_names_are_the_vocabularys(server: Running) -> None:
    """This table is the interface of whoever makes graphs; Prometheus's own parser reads it."""
    families = list(text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text))
    ours = {family.name for family in families if family.name.startswith("carma_")}
    ours = {name for name in ours if not name.endswith("_created")}
    assert ours == NAMES
    assert all(family.documentation for family in families if family.name in NAMES)


def test_requests_and_their_time_are_counted_by_operation_and_status(server: Running) -> None:
    """Each answered request once, in the histogram too; whatever is asked, no new name comes in."""
    client = server.user("counted")
    before = value(server, "carma_requests_total", operation="get", status="404")
    for _ in range(3):
        assert client.get("/v1/fragments/" + "0" * 32).status_code == 404
    eventually(server, "carma_requests_total", before + 3, operation="get", status="404")
    client.get("/v1/no/such/place")
    client.get("/robots.txt")
    page = samples(httpx.get(f"{server.url}/metrics").text)
    operations = {dict(labels)["operation"] for name, labels in page if name == "carma_requests_total"}
    assert operations <= {*OPERATIONS, "other"}
    counted = sum(
        number for (name, labels), number in page.items()
        if name == "carma_requests_total" and dict(labels)["operation"] == "get"
    )  # fmt: skip
    assert page["carma_request_seconds_count", (("operation", "get"),)] == counted
    assert page["carma_request_seconds_bucket", (("le", "+Inf"), ("operation", "get"))] == counted


def test_what_became_of_keys_is_counted_by_its_name(server: Running) -> None:
    """Accepted, malformed, unknown, without permission."""
    client = server.user("reader", "r")
    names = ("accepted", "forbidden", "key-malformed", "unauthorized")
    before = {name: value(server, "carma_key_outcomes_total", outcome=name) for name in names}
    client.get("/v1/usage")
    client.post("/v1/fragments", json={"text": "x"})
    with server.client() as stranger:
        stranger.get("/v1/usage")
        stranger.get("/v1/usage", headers={"authorization": "Bearer nonsense"})
    assert value(server, "carma_key_outcomes_total", outcome="accepted") > before["accepted"]
    for name in names[1:]:
        assert value(server, "carma_key_outcomes_total", outcome=name) == before[name] + 1


def test_fragments_are_counted_by_state_and_healing_by_rung(tmp_path: Path) -> None:
    """Write, damage, scan, dream: each leaves its mark where it belongs."""
    with running(tmp_path / "data", ServeSettings(port=0, dashboard=False, health_s=0.0)) as server:
        account, key = server.join("ada")
        client = server.client(key)
        items = [{"text": f"The text with the number {number}."} for number in range(40)]
        client.post("/v1/fragments", json={"items": items})
        seat = server.server.services.block.seat(account.id)
        with seat.use() as memory:
            memory.flush()
            memory.rest()
        eventually(server, "carma_fragments", 40, state="intact")
        eventually(server, "carma_vectors", 40, state="indexed")
        victim = sorted((seat.folder / "segments").iterdir())[2]
        victim.write_bytes(b"\0" * victim.stat().st_size)
        assert client.post("/v1/scan", json={"deep": True}).json()["findings"]
        assert value(server, "carma_scans_total", depth="deep") == 1
        found = samples(httpx.get(f"{server.url}/metrics").text)
        assert sum(number for (name, _), number in found.items() if name == "carma_findings_total") >= 1
        end = time.monotonic() + 15
        while ("carma_oldest_look_seconds", (("depth", "deep"),)) not in found:
            assert time.monotonic() < end
            found = samples(httpx.get(f"{server.url}/metrics").text)
        assert value(server, "carma_oldest_look_seconds", depth="deep") < 60
        cycle = client.post("/v1/dreams", json={}).json()["cycle"]
        end = time.monotonic() + 30
        while (report := client.get(f"/v1/dreams/{cycle}").json())["status"] in ("pending", "running"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert report["status"] == "completed"
        assert value(server, "carma_dreams_total", status="completed") == 1
        assert value(server, "carma_dream_seconds_count") == 1
        for rung, count in report["rungs"].items():
            assert value(server, "carma_rungs_total", rung=rung) == count
        assert sum(report["rungs"].values()) >= 1
        eventually(server, "carma_fragments", 40, state="intact")
        page = samples(httpx.get(f"{server.url}/metrics").text)
        by_state = {
            dict(labels)["state"]: count
            for (name, labels), count in page.items()
            if name == "carma_fragments"
        }
        assert by_state.keys() == set(get_args(State)) and sum(by_state.values()) == 40
        assert value(server, "carma_seats", state="taken") == 1
        assert value(server, "carma_seats", state="free") == 59


def test_a_key_of_their_own_opens_the_metrics(tmp_path: Path) -> None:
    """With `metrics_key` set, only whoever shows it sees them; a user's key is not it."""
    with running(
        tmp_path / "data", ServeSettings(port=0, dashboard=False, metrics_key="scrape me")
    ) as server:
        _, key = server.join("ada")
        url = f"{server.url}/metrics"
        assert httpx.get(url).status_code == 401
        for wrong in (key, "scrape", "scrape me too", "SCRAPE ME", ""):
            assert httpx.get(url, headers={"authorization": f"Bearer {wrong}".strip()}).status_code == 401
        refused = httpx.get(url, headers={"authorization": "Basic scrape me"})
        assert refused.status_code == 401
        assert "scrape" not in refused.text
        right = httpx.get(url, headers={"authorization": "Bearer scrape me"})
        assert right.status_code == 200
        assert "carma_fragments" in right.text


def test_a_port_of_their_own_shows_metrics_and_nothing_else(tmp_path: Path) -> None:
    """With `metrics_port` set they are there and only there, by the same key; a flood leaves it standing."""
    settings = ServeSettings(port=0, dashboard=False, metrics_port=0, metrics_key="scrape me")
    with running(tmp_path / "data", settings) as server:
        own = f"http://127.0.0.1:{server.server.metrics_port}"
        shown = {"authorization": "Bearer scrape me"}
        assert httpx.get(f"{server.url}/metrics", headers=shown).status_code == 404
        assert httpx.get(f"{own}/metrics").status_code == 401
        assert "carma_fragments" in httpx.get(f"{own}/metrics", headers=shown).text
        for path in ("/", "/v1/usage", "/healthz", "/metricsx"):
            assert httpx.get(own + path, headers=shown).status_code == 404
        assert httpx.post(f"{own}/metrics", headers=shown).status_code == 405
        port = server.server.metrics_port
        wires = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(100)]
        try:
            for wire in wires[:40]:
                try:
                    wire.sendall(b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 65_536)
                except ConnectionError:
                    continue
        finally:
            for wire in wires:
                wire.close()
        end = time.monotonic() + 5
        while httpx.get(f"{own}/metrics", headers=shown).status_code != 200:
            assert time.monotonic() < end


def test_a_scrape_costs_little(server: Running) -> None:
    """It opens no memory and asks none: a page is ready in a few milliseconds."""
    for number in range(20):
        server.join(f"scraped {number}")
    httpx.get(f"{server.url}/metrics")
    with httpx.Client() as client:
        took = []
        for _ in range(10):
            began = time.perf_counter()
            client.get(f"{server.url}/metrics")
            took.append(time.perf_counter() - began)
    assert min(took) < 0.1
