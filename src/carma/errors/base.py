"""The root of the errors, what is rendered of each, and the errors of arguments."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "CarmaError",
    "DomainError",
    "InvalidFilter",
    "InvalidInput",
    "MissingExtra",
    "TooLarge",
]


class CarmaError(Exception):
    """Base of every error CARMA raises on purpose."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = "Run `carma doctor` to see what is wrong."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint

    def problem(self) -> dict[str, Any]:
        """The error as problem details: `type`, `title`, `status`, `detail`, `hint` (RFC 9457)."""
        return {
            "type": f"urn:carma:error:{self.code}",
            "title": type(self).__name__,
            "status": self.status,
            "detail": self.message,
            "hint": self.hint,
        }


class InvalidInput(CarmaError):
    """The caller's argument cannot be used as given; nothing was changed."""

    code = "invalid-input"
    status = 422
    exit_code = 2
    default_hint = "Nothing was changed. Correct the argument and call again."


class DomainError(InvalidInput):
    """A number lies outside the domain of a function of the mathematics."""

    code = "domain"
    exit_code = 55
    default_hint = "See docs/MATHEMATICS.md for the domain of each function."


class InvalidFilter(InvalidInput):
    """A `where` filter does not parse."""

    code = "invalid-filter"
    default_hint = "See docs/guides/search.md for the filter language."


class TooLarge(InvalidInput):
    """Something is over a named bound."""

    code = "too-large"
    status = 413
    default_hint = "Split it, or raise the named setting."


class MissingExtra(CarmaError):
    """An optional package is not installed."""

    code = "missing-extra"
    status = 501
    exit_code = 10
    default_hint = "Install the extra that the message names."
