"""The server put together: the one place that makes its parts and knows in which order they begin and end."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import uvicorn

from carma.access.blocks import Blocks
from carma.access.gate import Gate as Limits
from carma.access.keys.authority import Alert, Authority
from carma.access.limits import PROFILES, Limiter, Profile
from carma.access.sources import networks
from carma.config import Settings
from carma.embed import Embedder
from carma.errors import CarmaError, InvalidInput
from carma.models import Act
from carma.ports.clock import Clock, Entropy, SystemClock, SystemEntropy
from carma.serve.accounts import Account
from carma.serve.app import make_app, mount_dashboard
from carma.serve.audit import AuditBook
from carma.serve.block import Block
from carma.serve.body import BodyReader
from carma.serve.connections import Crowd, connection_maker
from carma.serve.descriptors import connections_for, raise_limit
from carma.serve.drain import DrainingServer
from carma.serve.dreams import Dreams
from carma.serve.gate import Gate
from carma.serve.guard import Guard
from carma.serve.health import Health
from carma.serve.household import Household
from carma.serve.log import Log, failure
from carma.serve.meter import Meter
from carma.serve.metrics import Metrics
from carma.serve.metrics_port import serve_metrics
from carma.serve.opening import SEAT, seat_opener
from carma.serve.requests import DreamOrder
from carma.serve.retention import Retention
from carma.serve.seat import Seat
from carma.serve.services import Services
from carma.serve.settings import ServeSettings
from carma.serve.tracing import NoTracer, Tracer
from carma.serve.workers import Workers

__all__ = ["Server", "check_address", "check_settings"]

_CLOSING_SPARE_S = 0.5
_SOCKET_BYTES = 4 * 2**20
"""The longest message of a page of the dashboard, ..."""
_SOCKET_MESSAGES = 8
"""... and how many wait until one was read."""


class Server:
    """A server of one block. Made on the event loop that runs it.

    household: the data directory, open; the server closes it. embedder: one for all seats, the packaged one
    if None. memory_settings: of the seats' memories.
    """

    def __init__(
        self,
        household: Household,
        settings: ServeSettings,
        log: Log,
        *,
        embedder: Embedder | None = None,
        memory_settings: Settings | None = None,
        tracer: Tracer | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        check_address(settings)
        profiles = _profiles(settings)
        self.settings = settings
        self.household = household
        self._log = log
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        descriptors = raise_limit()
        self.crowd = Crowd(connections_for(settings.connections_most, descriptors, settings.seats))
        if self.crowd.most < settings.connections_most:
            log.warning("few-descriptors", descriptors=descriptors, connections=self.crowd.most)
        metrics = Metrics()
        block = Block(
            household.accounts,
            household.seats,
            seat_opener(
                household.vault,
                embedder,
                replace(memory_settings or SEAT, answer_bytes=settings.answer_bytes),
            ),
            settings,
            clock=clock,
        )
        dreams = Dreams(settings, clock, metrics.dreamt)
        self.services = Services(
            settings=settings,
            block=block,
            workers=Workers(settings),
            dreams=dreams,
            keys=household.keys,
            meter=Meter(clock.now()),
            profile=profiles[settings.profile],
            metrics=metrics,
            audit=AuditBook(household.trail, household.keys, self._audit_failed),
            clock=clock,
            entropy=entropy,
        )
        self._authority = Authority(
            household.keys,
            audience=settings.audience,
            static_keys=settings.static_keys,
            alert=self._alerted,
            later=_beside,
            entropy=entropy,
        )
        self.limits = Limits(
            Blocks(allow=networks(settings.never_blocked)),
            keys=Limiter(profiles),
            clock=clock,
        )
        guard = Guard(self._authority, self.limits, self.services.audit, settings, clock, metrics.key)
        self._bodies = BodyReader(settings, household.sealing)
        health = Health(block, household.keys, self.services.draining, clock)
        self.app = make_app(self.services)
        self.has_dashboard = settings.dashboard and self._mount_dashboard(guard)
        self.gate = Gate(
            self.app, guard, self._bodies, health, self.services, log, tracer or NoTracer(),
            dashboard=self.has_dashboard,
        )  # fmt: skip
        self._wire(block, metrics, dreams)
        self.port = settings.port
        self.metrics_port = settings.metrics_port
        self._ends_by: float | None = None

    def _wire(self, block: Block, metrics: Metrics, dreams: Dreams) -> None:
        block.opened = self.services.audit.written
        block.scanned = metrics.scanned
        block.heal = self._heal
        block.retired = self._retired
        services = self.services
        block.keep_to_rules = Retention(
            self.household.unlocked.folder.root, self._log, services.clock, services.audit.written,
            lambda: not services.draining.is_set(),
        ).apply  # fmt: skip
        block.failed = lambda error: self._log.error("round-failed", **failure(error))
        metrics.show(block, dreams, self.services.clock, self._gauges)

    # Running

    async def run(self, ready: Callable[[Server], None] = lambda server: None) -> None:
        """Serve until a signal, or until `stop`. ready: called when requests are answered.

        Raises InvalidInput (the certificate), CannotListen.
        """
        config = self._configured()
        self._uvicorn = DrainingServer(
            config, lambda: self._is_ready(ready), self._begin_end, self.settings, self._log
        )
        metrics_server = None
        try:
            self._start()
            metrics_server = await serve_metrics(self.services, config.ssl)
            if metrics_server is not None:
                self.metrics_port = metrics_server.sockets[0].getsockname()[1]
            await self._uvicorn.serve()
        finally:
            if metrics_server is not None:
                metrics_server.close()
            await asyncio.to_thread(self._close)
            self._uvicorn.ended()

    def _configured(self) -> uvicorn.Config:
        config = uvicorn.Config(
            self.gate,
            host=self.settings.host,
            port=self.settings.port,
            http=connection_maker(self.crowd, self.settings),  # type: ignore[arg-type]
            ws="auto" if self.has_dashboard else "none",
            ws_max_size=_SOCKET_BYTES,
            ws_max_queue=_SOCKET_MESSAGES,
            loop="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=self.settings.backlog,
            timeout_keep_alive=round(self.settings.keep_alive_s),
            timeout_graceful_shutdown=DrainingServer.answering_s(self.settings.drain_s),
            ssl_certfile=self.settings.tls_certificate,
            ssl_keyfile=self.settings.tls_key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput("The TLS certificate and its key cannot be read.") from error
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        return config

    def stop(self) -> None:
        """Begin to end, as on SIGTERM. From any thread."""
        self._uvicorn.end()

    def _is_ready(self, ready: Callable[[Server], None]) -> None:
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self._log.info("ready", host=self.settings.host, port=self.port)
        ready(self)

    def _start(self) -> None:
        try:
            self.household.churn().finish()
        except (CarmaError, OSError) as error:
            # Nobody is admitted to what was to be removed; the next start goes on with it.
            self._log.error("removal-unfinished", **failure(error))
        self.services.block.start()
        self.services.audit.start()

    def _begin_end(self) -> None:
        self._ends_by = time.monotonic() + self.settings.drain_s
        self.services.draining.set()
        self.services.dreams.close()
        self.services.block.stop_dreams()

    def _close(self) -> None:
        now = time.monotonic()
        left = (self._ends_by or now + self.settings.drain_s) - now
        self.services.audit.close()
        self.services.block.close(max(left - _CLOSING_SPARE_S, 0.1))
        self.services.workers.close()
        with suppress(CarmaError):
            self.household.close()
        self._log.info("ended")

    def _mount_dashboard(self, guard: Guard) -> bool:
        try:
            return mount_dashboard(self.app, self.services, guard, self._log)
        except Exception as error:
            # Pages that cannot be shown are no reason to answer nobody.
            self._log.error("no-dashboard", **failure(error))
            return False

    # What parts tell

    def _audit_failed(self, error: Exception) -> None:
        said = {"error": error.code} if isinstance(error, CarmaError) else failure(error)
        self._log.error("audit-not-copied", **said)

    def _alerted(self, alert: Alert) -> None:
        self._log.warning("key-alert", kind=alert.kind, account=alert.account, key=alert.key)
        self.services.audit.alerted(alert)

    def _retired(self, account: Account) -> None:
        self.services.dreams.forget(account.id)
        self.services.meter.forget(account.id)

    def _heal(self, seat: Seat) -> None:
        """A round found blanks: a dream for them, if none is under way."""
        with suppress(CarmaError):
            act = Act(account=seat.account.id, operation="dream")
            self.services.dreams.start(seat, DreamOrder(), act)

    def _gauges(self) -> Any:
        services = self.services
        yield "carma_connections", "Connections held.", float(len(self.crowd))
        yield "carma_connections_evicted", "Connections that had to go.", float(self.crowd.evicted)
        yield "carma_streams", "Event streams held.", float(sum(services.streams.values()))
        yield "carma_calls", "Calls of memories that run or wait.", float(services.workers.inside)
        yield "carma_dreams_waiting", "Dreams that run or wait.", float(services.dreams.waiting)
        yield "carma_bodies_bytes", "Bytes of bodies held.", float(self._bodies.held_bytes)


def _beside(work: Callable[[], None]) -> None:
    """Run what may wait beside the event loop. Rare: it needs no pool that has to be ended."""
    threading.Thread(target=work, name="carma-first-use", daemon=True).start()


def check_settings(settings: ServeSettings) -> None:
    """Whether a server can run with them; makes nothing. Raises InvalidInput: for TLS files that cannot be
    used, a profile or a network that is none, and what `check_address` raises it for.
    """
    check_address(settings)
    _profiles(settings)
    networks((*settings.trusted_proxies, *settings.never_blocked))
    if settings.tls_certificate and settings.tls_key:
        for file in (settings.tls_certificate, settings.tls_key):
            if not os.access(file, os.R_OK):
                raise InvalidInput(f"{file} cannot be read.", hint="Give both PEM files of the certificate.")
        try:
            ssl.create_default_context().load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput("The TLS certificate and its key cannot be used.") from error


def check_address(settings: ServeSettings) -> None:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise InvalidInput("TLS needs both files: the certificate chain and its key.")
    if settings.tls_certificate or settings.insecure_http or _is_loopback(settings.host):
        return
    raise InvalidInput(
        f"Plain HTTP on {settings.host} would show every text to whoever is on the way.",
        hint="Give --tls-certificate and --tls-key, listen on 127.0.0.1, or force it with --insecure-http.",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _profiles(settings: ServeSettings) -> dict[str, Profile]:
    """What keys may be bound by. Raises InvalidInput if the settings name another profile."""
    own = Profile("server", settings.key_rate_per_s, settings.key_burst)
    known = {**PROFILES, own.name: own}
    if settings.profile not in known:
        raise InvalidInput(f"There is no profile {settings.profile!r}; known: {', '.join(sorted(known))}.")
    return known
