"""What can be wrong with the audit log, and with an erasure that it certifies."""

from __future__ import annotations

from carma.errors.base import CarmaError

__all__ = [
    "AuditDamaged",
    "AuditUnavailable",
    "ErasureUnfinished",
    "EventNotLogged",
    "NothingHeld",
    "OnHold",
    "WitnessRefused",
]


class AuditUnavailable(CarmaError):
    """The leaves of the audit log cannot be stored, so nothing may be changed."""

    code = "audit-unavailable"
    status = 503
    exit_code = 40
    default_hint = "Nothing was changed. Check the disk of the audit log, then run `carma audit checkpoint`."


class AuditDamaged(CarmaError):
    """The audit log, a checkpoint or a proof cannot be believed."""

    code = "audit-damaged"
    status = 500
    exit_code = 41
    default_hint = "Nothing was appended. Run `carma audit verify`; it names the tile and the entries."


class WitnessRefused(CarmaError):
    """A witness did not cosign: the checkpoint does not continue what it saw before, or nobody it trusts
    signed it.
    """

    code = "witness-refused"
    status = 409
    exit_code = 42
    default_hint = "Keep both checkpoints: together they may prove that the log was rewritten."


class NothingHeld(CarmaError):
    """Nothing is held about this owner here."""

    code = "nothing-held"
    status = 404
    exit_code = 3
    default_hint = (
        "Name the data directory with `--data` and the memory with `--store`, if they lie elsewhere."
    )


class ErasureUnfinished(CarmaError):
    """An erasure was begun and cannot go on now; what was destroyed stays destroyed."""

    code = "erasure-unfinished"
    status = 409
    exit_code = 58
    default_hint = "Do what the message says, then run the same command again: it goes on where it stopped."


class OnHold(CarmaError):
    """A hold forbids to erase what this owner has: it may be needed as evidence."""

    code = "on-hold"
    status = 409
    exit_code = 59
    default_hint = "Nothing was erased. When the hold has ended, take it out of the retention rules."


class EventNotLogged(CarmaError):
    """The audit log has no leaf of this event."""

    code = "event-not-logged"
    status = 404
    exit_code = 44
    default_hint = "It may still wait: run `carma audit checkpoint`, then ask again."
