"""What may stand in a budget, a limit, a request or a plan.

Each check adds what is wrong to a list, so that all of it is said at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from budgets import rules
from budgets.models import DIMENSIONS, Action, Unit
from budgets.selectors import names
from core import periods
from core.errors import Invalid

MOST_THRESHOLDS = 20
MOST_VALUES = 200  # in one dimension of a scope
MOST_TAGS = 32  # in a scope, as many as an event has
MOST_IN_NAME, MOST_IN_VALUE = 64, 256  # characters of a tag
_TOO_LARGE = Decimal(10) ** 20

# Dimensions that tell one candidate of a rule from another. A budget on none of them is exceeded for every candidate
# alike, and then there is nothing to go down to.
_OF_CANDIDATES = ("model", "offering", "provider", "tier")

# Field and sentence. Fields inside another are written as a JSON pointer has them: `scope/tier`.
Problems = list[tuple[str, str]]


def refuse(problems: Problems) -> None:
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


def checked_text(field: str, text: str, longest: int, problems: Problems) -> str:
    """Return the text without blanks around it; empty, or longer than `longest` characters, it is a problem."""
    kept = text.strip()
    if not kept:
        problems.append((field, "This is needed."))
    elif len(kept) > longest:
        problems.append((field, f"At most {longest} characters."))
    return kept


def check_choice(field: str, value: str, choices: Iterable[str], problems: Problems) -> None:
    if value not in choices:
        problems.append((field, f"{value!r} is not one of {', '.join(choices)}."))


def check_zone(zone: str, problems: Problems) -> None:
    if zone not in periods.zones():
        problems.append(("zone", f"{zone!r} is not a time zone of the IANA database, such as Europe/Berlin."))


def check_action(action: str, unit: str, scope: Mapping[str, Any], problems: Problems) -> None:
    check_choice("action", action, Action.values, problems)
    narrows = unit == Unit.FRONTIER_TOKENS or any(dimension in scope for dimension in _OF_CANDIDATES)
    if action == Action.DOWNGRADE and not narrows:
        problems.append(
            (
                "action",
                (
                    "Downgrade needs something to go down to: count frontier tokens, or name a tier, model, offering "
                    "or provider in the scope. A budget on everything its use cases do can alert or block."
                ),
            )
        )


def checked_thresholds(field: str, thresholds: Sequence[int], problems: Problems) -> list[int]:
    """Return the per cents sorted, each once. Whether there must be any is the caller's matter."""
    if not all(is_whole(one) and 1 <= one <= 1000 for one in thresholds):
        problems.append((field, "Thresholds are whole per cents from 1 to 1000."))
        return []
    kept = sorted(set(thresholds))
    if len(kept) > MOST_THRESHOLDS:
        problems.append((field, f"At most {MOST_THRESHOLDS} thresholds."))
    return kept


def check_owner(owner: str, problems: Problems) -> None:
    if len(owner) > 254:
        problems.append(("owner", "An owner has at most 254 characters."))


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_amount(amount: Decimal, unit: str, problems: Problems, *, field: str = "amount") -> None:
    """Check a limit, in its budget's unit; NaN stands for what could not be read."""
    if amount.is_nan():
        problems.append((field, "Write the limit out as a number, such as 2,000,000 or 1250.50."))
    elif not amount.is_finite() or amount <= 0:
        problems.append((field, "A limit is more than 0."))
    elif amount >= _TOO_LARGE:
        problems.append((field, "A limit is less than 10 to the power of 20."))
    elif unit != Unit.USD and amount != amount.to_integral_value():
        problems.append((field, "A limit in tokens or requests is a whole number."))
    elif amount.normalize().as_tuple().exponent < -18:  # type: ignore[operator]  # finite, so a number
        problems.append((field, "A limit has at most 18 decimal places."))


def check_times(starts_at: datetime | None, ends_at: datetime | None, at: datetime, problems: Problems) -> None:
    if starts_at is not None and starts_at < at:
        problems.append(("starts_at", "A limit cannot start in the past; leave the start out to begin now."))
    if ends_at is not None and ends_at <= (starts_at or at):
        problems.append(("ends_at", "A limit ends after it starts, and not in the past."))


def checked_scope(scope: Mapping[str, Sequence[str]], problems: Problems) -> dict[str, list[str]]:
    """Return the scope with names as the catalogue has them, sorted."""
    kept: dict[str, list[str]] = {}
    tags = sum(dimension.startswith(rules.TAG) for dimension in scope)
    if len(scope) - tags > len(DIMENSIONS) or tags > MOST_TAGS:
        problems.append(("scope", f"A scope has at most {MOST_TAGS} tags, and each dimension once."))
        return kept
    for dimension, values in sorted(scope.items()):
        if isinstance(values, str) or not values or not all(isinstance(one, str) and one.strip() for one in values):
            problems.append((_place(dimension), f"{dimension}: give a list of names that are not empty."))
        elif len(values) > MOST_VALUES:
            problems.append((_place(dimension), f"{dimension}: at most {MOST_VALUES} names."))
        elif dimension in DIMENSIONS:
            kept[dimension] = _known_names(dimension, values, problems)
        elif dimension.startswith(rules.TAG) and _is_text(dimension.removeprefix(rules.TAG), MOST_IN_NAME):
            kept[dimension] = sorted(set(values))
            if not all(_is_text(one, MOST_IN_VALUE) for one in values):
                problems.append((_place(dimension), f"{dimension}: a value has at most {MOST_IN_VALUE} characters."))
        else:
            allowed = ", ".join((*DIMENSIONS, "tag:NAME"))
            problems.append(("scope", f"{dimension!r} is not a dimension of a scope; those are {allowed}."))
    return kept


def _is_text(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and "\0" not in text


def _place(dimension: str) -> str:
    """Return where in the scope something is wrong, as a JSON pointer goes on."""
    return "scope/" + dimension.replace("~", "~0").replace("/", "~1")


def _known_names(dimension: str, values: Sequence[str], problems: Problems) -> list[str]:
    known = names.resolved(dimension, values)
    problems.extend(
        (_place(dimension), f"{dimension}: {value!r} is not in the catalogue.")
        for value in values
        if value not in known
    )
    return sorted(set(known.values()))
