"""Names in questions about spend: what the columns hold for the values of a filter, and what values are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models.functions import Lower

from catalog.models import Gateway, Model, Offering, Provider
from catalog.selectors import labels
from core.errors import Invalid
from usage.selectors.spend_ask import DIMENSIONS_KEPT, STATUSES, TIERS, TIMES, SpendAsk, tag_name
from usage.selectors.spend_times import Calendar

Resolved = dict[tuple[str, tuple[str, ...]], tuple[list[Any], list[str]]]  # filters that were looked up already
_NUMBERS = ("rules_version", "correction_of")


def wanted(ask: SpendAsk, parameters: dict[str, Any], resolved: Resolved) -> list[str]:
    """Return the filters (tags apart) as conditions; names become ids here.

    Raises:
        Invalid: a value names nothing. To answer 0 for a slip in a name would say that nothing was spent.
    """
    conditions = []
    problems: list[tuple[str, str]] = []
    for name, values in ask.filters.items():
        if tag_name(name):
            continue
        if (name, values) not in resolved:
            resolved[name, values] = _ids(name, values)
        found, unknown = resolved[name, values]
        problems += [(name, f"There is no {name.replace('_', ' ')} {value!r}.") for value in unknown]
        parameters[f"only_{name}"] = found
        conditions.append(f"r.{DIMENSIONS_KEPT[name].column} = ANY(%(only_{name})s)")
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    return conditions


def _ids(name: str, values: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return what the columns hold for the values of a filter, and the values that name nothing."""
    if name in ("use_case", "team"):
        meant = labels.meant(name, values)
        return [one.id for one in meant.values()], [value for value in values if value not in meant]
    if name in ("tier", "status"):
        known = {text: number for number, text in (TIERS if name == "tier" else STATUSES).items()}
        return [known[value] for value in values if value in known], [each for each in values if each not in known]
    if name in _NUMBERS:
        numbers = {value: value.replace("-", "") or "0" for value in values}
        unknown = [value for value, digits in numbers.items() if not (digits.isdecimal() and len(digits) < 10)]
        return [int(digits) for value, digits in numbers.items() if value not in unknown], unknown
    if name not in _BY_NAME:
        return list(values), []
    wanted = {value.strip().lower(): value for value in values}
    found = list(_BY_NAME[name](list(wanted)))
    seen = {key for key, _ in found}
    return [pk for _, pk in found if pk is not None], [value for key, value in wanted.items() if key not in seen]


def _by_name(manager: Any, names: list[str], ids: str) -> Any:
    return manager.annotate(lower=Lower("name")).filter(lower__in=names).values_list("lower", ids)


# Of a model or provider all its offerings count; one that has none is known all the same.
_BY_NAME: dict[str, Any] = {
    "model": lambda names: _by_name(Model.objects, names, "offerings__id"),
    "provider": lambda names: _by_name(Provider.objects, names, "offerings__id"),
    "offering": lambda names: _by_name(Offering.objects, names, "id"),
    "gateway": lambda names: _by_name(Gateway.objects, names, "id"),
}


def named(name: str, value: Any, calendars: Mapping[str, Calendar]) -> str | None:
    """Return a group's key as a name; None says "none"."""
    if name in TIMES:
        label: str = calendars[name].labels[value - 1]
        return label
    if name == "tier":
        return TIERS[value]
    if name == "status":
        return STATUSES[value]
    if not value:
        return None
    if name == "correction_of":
        return f"{value // 100}-{value % 100:02}"
    return str(value)


def raw(name: str, value: str | None) -> Any:
    """Return what a group's column holds for a name that `named` gave."""
    if name in ("tier", "status"):
        return next((number for number, text in (TIERS if name == "tier" else STATUSES).items() if text == value), -1)
    if name in _NUMBERS:
        return int((value or "0").replace("-", ""))
    return value or ""
