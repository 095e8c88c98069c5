"""What can end a dream or a choice between what was lost and what was rebuilt."""

from __future__ import annotations

from carma.errors.base import CarmaError

__all__ = [
    "DreamFailed",
    "DreamNotFound",
    "HealFirst",
    "MassDamage",
    "ModelError",
    "NotReconstructed",
]


class DreamFailed(CarmaError):
    """A repair cycle ended with an error; what it had healed stays healed."""

    code = "dream-failed"
    exit_code = 16
    default_hint = "Run `carma dream` again; it goes on where it stopped. `carma dreams` says what happened."


class MassDamage(CarmaError):
    """So much is damaged at once that nothing may be dropped until someone has looked."""

    code = "mass-damage"
    status = 409
    exit_code = 14
    default_hint = "Look at `carma scan`; when it is clear what happened, `carma scan --clear-breaker`."


class ModelError(CarmaError):
    """The language model could not be asked, or answered something that cannot be used.

    reason: "unreachable", "slow", "refused" (4xx), "failed" (5xx), "nonsense" (no such answer as the API
    promises), "empty", "not-text", "refusal", "too-long", "echo".
    """

    code = "model-error"
    status = 502
    exit_code = 15
    default_hint = "Nothing was changed; the fragment is rebuilt without the model. Check the endpoint."

    def __init__(self, message: str, *, reason: str = "failed", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class HealFirst(CarmaError):
    """Fragments are lost, and what is asked for would leave nothing by which they could be proven."""

    code = "heal-first"
    status = 409
    exit_code = 39
    default_hint = "Nothing was changed. Run `carma dream` first, or say that they may stay lost."


class NotReconstructed(CarmaError):
    """A reconstruction was to be accepted or rejected, and nothing stands in the place of this text."""

    code = "not-reconstructed"
    status = 409
    exit_code = 49
    default_hint = "Nothing was changed. Read the fragment again: its state says how its text came back."


class DreamNotFound(CarmaError):
    """No repair cycle of this memory has this number."""

    code = "dream-not-found"
    status = 404
    exit_code = 3
    default_hint = "Check the number with `carma dreams`."
