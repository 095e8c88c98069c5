"""TLS by certificate files; plain HTTP only where nobody can listen, unless it was forced by name."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carma import Client
from carma.errors import CannotListen, InvalidInput
from carma.serve.server import check_address
from carma.serve.settings import ServeSettings
from tests.serve.running import Running, running

HEAD_S = 1.0


def certificate(folder: Path) -> tuple[str, str]:
    """Files of a certificate for 127.0.0.1 and its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(chain), str(secret)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: tuple[str, str]) -> Iterator[Running]:
    settings = ServeSettings(
        port=0, metrics_port=0, head_s=HEAD_S, tls_certificate=files[0], tls_key=files[1]
    )
    with running(tmp_path_factory.mktemp("served") / "data", settings) as found:
        yield found


def https(server: Running) -> str:
    return f"https://127.0.0.1:{server.server.port}"


def trusting(files: tuple[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files[0])


def test_the_certificate_is_the_one_of_the_files(server: Running, files: tuple[str, str]) -> None:
    """Whoever trusts it is served, by signed attempts and by static keys, and told to come back by TLS."""
    joined = server.household.churn().join("ada", "rwha")
    static = server.key(joined.account)
    with Client(https(server), joined.key.text, ca_file=files[0]) as memory:
        assert memory.add("Over TLS.").text == "Over TLS."
    answer = httpx.get(
        f"{https(server)}/v1/usage", headers={"authorization": f"Bearer {static}"}, verify=trusting(files)
    )
    assert answer.status_code == 200
    assert "max-age=" in answer.headers["strict-transport-security"]


def test_whoever_does_not_trust_it_is_not_served(server: Running) -> None:
    """The certificate is of nobody known."""
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{https(server)}/healthz")


def test_plain_http_is_not_answered_on_a_port_of_tls(server: Running) -> None:
    """Not even with a redirect, which would teach clients to send keys in the clear."""
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{server.server.port}/healthz")


def test_old_protocols_are_refused(server: Running, files: tuple[str, str]) -> None:
    """TLS 1.2 is the oldest."""
    context = trusting(files)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", server.server.port), timeout=5) as wire,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(wire, server_hostname="127.0.0.1")


def test_the_metrics_port_speaks_tls_too(server: Running, files: tuple[str, str]) -> None:
    """Its key is as secret as any."""
    port = server.server.metrics_port
    page = httpx.get(f"https://127.0.0.1:{port}/metrics", verify=trusting(files))
    assert "carma_fragments" in page.text
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_a_handshake_that_is_never_made_ends(server: Running, files: tuple[str, str]) -> None:
    """200 connections that say nothing are gone when the time for a head is over; others are served."""
    wires = [socket.create_connection(("127.0.0.1", server.server.port), timeout=10) for _ in range(200)]
    began = time.monotonic()
    try:
        assert httpx.get(f"{https(server)}/healthz", verify=trusting(files)).status_code == 200
        for wire in wires:
            assert wire.recv(1) == b""
        assert time.monotonic() - began < HEAD_S + 4
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "memory.example"])
def test_plain_http_beyond_this_machine_is_refused_unless_forced_by_name(host: str) -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidInput, match="Plain HTTP") as refused:
        check_address(ServeSettings(host=host))
    assert "--insecure-http" in refused.value.hint
    check_address(ServeSettings(host=host, insecure_http=True))
    check_address(ServeSettings(host=host, tls_certificate="chain.pem", tls_key="key.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_plain_http_on_this_machine_is_allowed(host: str) -> None:
    """Nobody can listen there."""
    check_address(ServeSettings(host=host))


def test_one_file_without_the_other_is_refused(files: tuple[str, str]) -> None:
    """A server that seems to speak TLS and does not would be the worst of both."""
    for settings in (ServeSettings(tls_certificate=files[0]), ServeSettings(tls_key=files[1])):
        with pytest.raises(InvalidInput, match="both files"):
            check_address(settings)


def test_files_that_are_no_certificate_are_an_error_in_words(tmp_path: Path) -> None:
    """No stack trace, and nothing of the key."""
    for content in (None, b"not a certificate"):
        chain = tmp_path / "chain.pem"
        if content is not None:
            chain.write_bytes(content)
        settings = ServeSettings(port=0, dashboard=False, tls_certificate=str(chain), tls_key=str(chain))
        with pytest.raises(InvalidInput, match="cannot be read"), running(tmp_path / "data", settings):
            pass


def test_a_port_that_is_taken_is_an_error_in_words(tmp_path: Path) -> None:
    """And everything that was opened is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(CannotListen, match=str(port)),
            running(tmp_path / "data", ServeSettings(port=port)),
        ):
            pass
        with (
            pytest.raises(CannotListen, match=str(port)),
            running(tmp_path / "data", ServeSettings(port=0, dashboard=False, metrics_port=port)),
        ):
            pass
