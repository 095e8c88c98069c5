"""What is about the asker: the key, the usage, the audit log's own entries."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request

from carma.access.keys.rotation import GRACE_S
from carma.memory.memory import Memory
from carma.serve.call import Answer, call_of
from carma.serve.changes import act_of
from carma.serve.requests import AuditQuery, NoQuery, RotateOrder
from carma.serve.routes.describe import body_of, bounded, described
from carma.serve.services import Services
from carma.serve.shapes import AuditPage, RotatedKey, Usage, UsageLimits, encode

__all__ = ["account_routes"]

_NO_STORE = {"cache-control": "no-store"}
_NOT_SHOWN = ("path", "recovered")


def account_routes(router: APIRouter, services: Services) -> None:
    """The routes about the asker."""

    @described(router, "rotate_key", RotatedKey, body=RotateOrder, body_required=False)
    async def rotate_key(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """A new key in the place of the one that asks, shown this once; the old one goes on for a while.

        Asked again before the new one was used, it makes another in its place; a key is never shown twice,
        whatever the Idempotency-Key says.
        """
        call = call_of(request.scope)
        order = body_of(call, RotateOrder)
        act_of(call)  # It is not repeated, but a malformed Idempotency-Key is refused as everywhere.
        principal = call.admission.principal
        grace = GRACE_S if order.grace_s is None else order.grace_s
        services.may_rotate(principal.account)
        rotate = partial(services.keys.rotate, principal.name, grace_s=grace, by=principal.key)
        key, stored = await services.workers.run(call.seat, rotate)
        old = services.keys.get(principal.name)
        answer = RotatedKey(
            key=key.text,
            fingerprint=key.fingerprint,
            permissions=stored.permissions,
            old_fingerprint=principal.key,
            old_works_until=old.grace_until,
        )
        return Answer(encode(answer), headers=_NO_STORE)

    @described(router, "usage", Usage)
    async def usage(request: Request, query: Annotated[NoQuery, Query()]) -> Answer:
        """What the account uses: its memory, its requests since the server was started, its bounds."""
        call = call_of(request.scope)
        settings, use = services.settings, services.meter.of(call.seat.account.id)
        principal, account = call.admission.principal, call.seat.account

        def work(memory: Memory) -> bytes:
            stats = {name: value for name, value in memory.stats().items() if name not in _NOT_SHOWN}
            return encode(
                Usage(
                    account=account.id,
                    seat=account.seat,
                    generation=account.generation,
                    key=principal.key,
                    permissions=principal.permissions,
                    memory=stats,
                    since=services.meter.since,
                    requests=dict(use.requests),
                    received_bytes=use.received_bytes,
                    sent_bytes=use.sent_bytes,
                    limits=UsageLimits(
                        requests_per_s=services.profile.rate_per_s,
                        burst=services.profile.burst,
                        body_bytes=settings.body_bytes,
                        answer_bytes=settings.answer_bytes,
                        items=settings.items_most,
                        page=settings.page_most,
                    ),
                )
            )

        return Answer(await services.workers.ask(call.seat, work), headers=_NO_STORE)

    @described(router, "audit", AuditPage)
    async def audit(request: Request, query: Annotated[AuditQuery, Query()]) -> Answer:
        """One's own entries of the audit log, the newest first."""
        call = call_of(request.scope)
        page = await services.workers.run(
            call.seat,
            partial(
                services.audit.page,
                call.seat.account.id,
                bounded(query, "limit", services.settings.page_most),
                query.cursor,
            ),
        )
        return Answer(encode(page), headers=_NO_STORE)
