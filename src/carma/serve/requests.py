"""What the operations take: bodies and queries, checked at the border.

The names are those of `Memory`'s arguments, so a request says what the call says. A body is read strictly (a
number is not a text, an unknown name is an error); a query holds texts only, so there numbers are read out of
them. Bounds that a memory has by itself are not repeated here; those that protect the server are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    model_validator,
)

from carma.errors import InvalidFilter
from carma.models import Source

__all__ = [
    "ADD", "UPDATE", "Added", "AuditQuery", "BlanksQuery", "Change", "DeleteQuery", "DreamOrder",
    "DreamsQuery", "FragmentId", "GetQuery", "Judgement", "ListQuery", "NewFragment", "NewFragments",
    "NoQuery", "RotateOrder", "ScanOrder", "Search", "TopologyQuery", "TreeQuery", "Updated", "where_of",
]  # fmt: skip

ID_PATTERN: Final = r"^[0-9a-fA-F]{8}(-?)([0-9a-fA-F]{4}(-?)){3}[0-9a-fA-F]{12}$"
_MOST_NUMBERS = 16_384
_MOST_CHARACTERS = 512

FragmentId = Annotated[
    str, StringConstraints(pattern=ID_PATTERN), Field(description="32 hexadecimal digits.")
]
Word = Annotated[str, StringConstraints(min_length=1, max_length=_MOST_CHARACTERS)]
Moment = Annotated[float, Field(ge=0, le=1e12, description="Seconds since the epoch, UTC.")]
Vector = Annotated[list[float], Field(min_length=1, max_length=_MOST_NUMBERS)]
Whole = Annotated[int, Field(ge=0, lt=2**63)]
Limit = Annotated[int, Field(ge=1, le=1_000)]


def _truth(value: Any) -> Any:
    """The words `true` and `false` and no other (Pydantic takes `y` and `off` too)."""
    return {"true": True, "false": False}.get(value, value if isinstance(value, bool) else "neither")


Truth = Annotated[bool, BeforeValidator(_truth)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Bodies


class SourceGiven(_Body):
    """Where a text was taken from."""

    path: str
    span: tuple[Whole, Whole] | None = None
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")] | None = None
    line: Whole | None = None

    def source(self) -> Source:
        """As `Memory` takes it."""
        return Source(path=self.path, span=self.span, digest=self.digest, line=self.line)


class NewFragment(_Body):
    """One text to remember."""

    text: Annotated[str, StringConstraints(min_length=1)]
    parent: FragmentId | None = None
    position: float | None = None
    kind: Word = "note"
    user: Word | None = None
    agent: Word | None = None
    session: Word | None = None
    metadata: dict[str, Any] | None = None
    expires: Moment | None = None
    dedupe: bool = False
    vector: Vector | None = None
    source: SourceGiven | None = None
    id: FragmentId | None = None
    created: Moment | None = None

    def arguments(self) -> dict[str, Any]:
        """As `Memory.add_many` takes it."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        given["source"] = self.source.source() if self.source else None
        return given


class NewFragments(_Body):
    """Texts to remember, in one group commit."""

    items: Annotated[list[NewFragment], Field(min_length=1, max_length=1_000)]


def _one_or_many(value: Any) -> str:
    return (
        "many" if isinstance(value, NewFragments) or (isinstance(value, dict) and "items" in value) else "one"
    )


Added = Annotated[
    Annotated[NewFragments, Tag("many")] | Annotated[NewFragment, Tag("one")], Discriminator(_one_or_many)
]
ADD: Final[TypeAdapter[NewFragments | NewFragment]] = TypeAdapter(Added)


class Judgement(_Body):
    """What is to become of a reconstruction: `accept` makes it the fragment's own text, `reject` throws it
    away.
    """

    reconstruction: Literal["accept", "reject"]


def _no_default(schema: dict[str, Any]) -> None:
    """What is not named stays as it is: no value stands for that."""
    schema.pop("default", None)


class Change(_Body):
    """What is to be different in the next version; what is not named stays, null clears a field.

    A text cannot be cleared: delete the fragment.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    text: Annotated[str, StringConstraints(min_length=1)] = Field("", json_schema_extra=_no_default)
    metadata: dict[str, Any] | None = None
    expires: Moment | None = None
    position: float | None = None
    parent: FragmentId | None = None
    source: SourceGiven | None = None
    vector: Vector | None = None

    @model_validator(mode="after")
    def _something(self) -> Change:
        if not self.model_fields_set:
            raise ValueError("nothing to change is named")
        return self

    def arguments(self) -> dict[str, Any]:
        """As `Memory.update` takes it: only what was named."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if self.source is not None:
            given["source"] = self.source.source()
        return given


def _change_or_judgement(value: Any) -> str:
    judged = isinstance(value, Judgement) or (isinstance(value, dict) and "reconstruction" in value)
    return "judgement" if judged else "change"


Updated = Annotated[
    Annotated[Judgement, Tag("judgement")] | Annotated[Change, Tag("change")],
    Discriminator(_change_or_judgement),
]
UPDATE: Final[TypeAdapter[Judgement | Change]] = TypeAdapter(Updated)


class Search(_Body):
    """A query, a vector, or both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["query"]}, {"required": ["vector"]}]}
    )

    query: Annotated[str, StringConstraints(max_length=100_000)] = Field("", json_schema_extra=_no_default)
    vector: Vector = Field([], json_schema_extra=_no_default)
    limit: Limit = 10
    mode: Literal["hybrid", "vector", "words"] = "hybrid"
    where: dict[str, Any] | None = None
    user: Word | None = None
    agent: Word | None = None
    session: Word | None = None
    under: FragmentId | None = None
    min_score: float | None = None
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    explain: bool = False

    def arguments(self) -> dict[str, Any]:
        """As `Memory.search` takes it."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class ScanOrder(_Body):
    """deep: every byte of every file, instead of names, sizes and headers."""

    deep: bool = False


class DreamOrder(_Body):
    """budget_s: stop after so many seconds. dry_run: only say what would be done. exact: false leaves out
    the rungs that give back true bytes.
    """

    budget_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    dry_run: bool = False
    exact: bool = True


class RotateOrder(_Body):
    """grace_s: how long the key that asks still works, in seconds; the usual time if it is not named."""

    grace_s: Annotated[float, Field(ge=0, le=90 * 86_400)] | None = None


# Queries


class NoQuery(_Query):
    """Nothing is taken."""


class GetQuery(_Query):
    version: Annotated[int, Field(ge=1, le=2**62)] | None = None


class ListQuery(_Query):
    """parent: only its children, in order; `none` for those without one."""

    parent: Annotated[str, StringConstraints(pattern=rf"{ID_PATTERN}|^none$")] | None = None
    user: Word | None = None
    agent: Word | None = None
    session: Word | None = None
    where: Annotated[str, StringConstraints(max_length=16_384)] | None = None
    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(max_length=512)] | None = None


class DeleteQuery(_Query):
    children: Truth = False
    purge: Truth = False


class TreeQuery(_Query):
    root: FragmentId | None = None
    depth: Annotated[int, Field(ge=0, le=64)] | None = None


class DreamsQuery(_Query):
    limit: Limit = 20
    steps: Truth = False


class BlanksQuery(_Query):
    limit: Limit = 1_000
    reconstructed: Truth = False


class TopologyQuery(_Query):
    threads: Truth = True
    limit: Annotated[int, Field(ge=1, le=50_000)] = 50_000


class AuditQuery(_Query):
    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(max_length=512)] | None = None


def where_of(text: str | None) -> Mapping[str, Any] | None:
    """The filter of a query, which is JSON there. Raises InvalidFilter."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidFilter("where is not JSON.") from error
    if not isinstance(value, dict):
        raise InvalidFilter("where is not a JSON object.")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
