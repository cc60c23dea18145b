"""What tools are made of: what they take and give, what they demand, and how a failure is told to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core import access, money
from core.access import Caller
from core.api import refusal
from core.errors import Invalid, TollkeeperError

Tier = Literal["frontier", "middle", "economy", "self-hosted"]


class Takes(BaseModel):
    """The arguments of a tool; one that nobody knows is refused, or a slip would answer for everything."""

    model_config = ConfigDict(extra="forbid", str_max_length=256)


class Gives(BaseModel):
    """What a tool answers. Money and other exact figures are decimal strings, instants RFC 3339 in UTC."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A question that may be asked. `action` is what the same question demands over REST."""

    name: str
    title: str
    description: str
    action: str
    takes: type[Takes]
    gives: type[Gives]
    answer: Callable[[Any, Caller, datetime], Gives]


class Forbidden(TollkeeperError):
    """The key holds nothing that allows it."""


def demand(caller: Caller, action: str) -> None:
    """Refuse whoever may not do this.

    Raises:
        Forbidden: with the scopes that would do.
    """
    if not access.may(caller, action):
        raise Forbidden(refusal(caller, action))


def read(tool: Tool, arguments: Mapping[str, Any]) -> Takes:
    """Return the arguments as the tool takes them.

    Raises:
        Invalid: with everything that is wrong.
    """
    try:
        asked = tool.takes.model_validate(dict(arguments))
    except ValidationError as error:
        known = [field.alias or name for name, field in tool.takes.model_fields.items()]
        problems = [(".".join(map(str, one["loc"])), _sentence(one, known)) for one in error.errors()]
        raise Invalid(f"{tool.name} cannot read these arguments.", problems) from error
    if _holds_nul(arguments):
        raise Invalid("A NUL character is no text.")
    return asked


def told(error: TollkeeperError) -> str:
    """Return an expected failure in sentences, each of its problems on a line of its own."""
    problems = error.problems if isinstance(error, Invalid) else []
    lines = [str(error), *(f"- {name or 'arguments'}: {text}" for name, text in problems if text != str(error))]
    return "\n".join(lines)


def _sentence(error: Any, known: list[str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"Unknown; known are {', '.join(known)}."
    if error["type"] == "missing":
        return "This is needed."
    text = str(error["msg"]).removeprefix("Value error, ")
    return text[0].upper() + text[1:].rstrip(".") + "."


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(map(_holds_nul, value))


def as_rules_read(value: Any) -> Any:
    """Return a request's context with fractions as decimal strings: rules know no other, and models write 0.8."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, Mapping):
        return {name: as_rules_read(one) for name, one in value.items()}
    return [as_rules_read(one) for one in value] if isinstance(value, list) else value


def written(value: Decimal | None) -> str | None:
    """Return an exact figure as a decimal string."""
    return None if value is None else money.plain(value)


def instant(value: datetime | None) -> str | None:
    """Return an instant as RFC 3339 in UTC with Z."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
