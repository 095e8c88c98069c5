"""Changes: made on behalf of whoever asks, and made once, however often the request comes.

The act is committed in the record of the change itself (`Memory.acting`), so a server that dies between the
change and its answer finds the answer again when the request is repeated. What is compared is what was asked:
operation, target, If-Match and plain body; a sealed body has other bytes each time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from typing import TypeVar

from carma.access.keys.idempotency import check_idempotency_key
from carma.errors import IdempotencyConflict, RequestRepeated, StillRunning
from carma.memory.memory import Memory
from carma.models import Act, Answered
from carma.serve.call import Call
from carma.serve.services import Services

__all__ = ["act_of", "change"]

T = TypeVar("T")


def act_of(call: Call) -> Act:
    """On whose behalf a call changes something. Raises InvalidInput (the Idempotency-Key)."""
    principal = call.admission.principal
    if call.idempotency_key is not None:
        check_idempotency_key(call.idempotency_key)
    return Act(
        account=principal.account,
        operation=call.operation.name,
        key=principal.key,
        request_id=call.request_id,
        idempotency_key=call.idempotency_key,
        body_digest=_asked(call) if call.idempotency_key is not None else None,
    )


async def change(
    call: Call,
    services: Services,
    make: Callable[[Memory], T],
    again: Callable[[Memory, Answered], T],
) -> T:
    """What `make` gives, or, if this very request was carried out before, what `again` gives.

    Raises IdempotencyConflict, StillRunning, and what the two raise.
    """
    act = act_of(call)
    try:
        if act.idempotency_key is None:
            return await services.workers.ask(call.seat, lambda memory: _made(memory, act, make))
        return await services.workers.ask(call.seat, lambda memory: _once(memory, act, services, make, again))
    finally:
        services.audit.written(call.seat)


def _made(memory: Memory, act: Act, make: Callable[[Memory], T]) -> T:
    with memory.acting(act):
        return make(memory)


def _once(
    memory: Memory,
    act: Act,
    services: Services,
    make: Callable[[Memory], T],
    again: Callable[[Memory, Answered], T],
) -> T:
    assert act.idempotency_key is not None and act.body_digest is not None
    guard = services.idempotency.once(act.account, act.idempotency_key, act.body_digest, memory.answered)
    with guard as answered, nullcontext() if answered is not None else memory.acting(act):
        if answered is not None:
            return again(memory, answered)
        try:
            return make(memory)
        except RequestRepeated as repeated:
            # Another process was faster, or it was carried out between the look and the turn.
            if repeated.answered is None:
                raise StillRunning("A request with this Idempotency-Key is being carried out.") from repeated
            if repeated.answered.body_digest != act.body_digest:
                raise IdempotencyConflict("This Idempotency-Key was used for another request.") from repeated
            return again(memory, repeated.answered)


def _asked(call: Call) -> bytes:
    parameters = "&".join(f"{name}={value}" for name, value in sorted(call.parameters.items()))
    matched = call.headers.get("if-match", "")
    head = f"{call.operation.name}\n{parameters}\n{matched}\n".encode() + call.query + b"\n"
    return sha256(head + sha256(call.body).digest()).digest()
