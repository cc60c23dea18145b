"""Limits of budgets for gateways that count for themselves: a backstop beside the rules.

A limit is held where the gateway can count the same requests over the same length of time, or it is told why not. The
gateway counts what passes through it alone, from when the limit was brought in and by its own prices: its count is a
second one, for when ours does not reach it, and never the one that bills or alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from routing.rules.document import Problem
from routing.rules.exports.names import Named
from routing.rules.exports.parts import Frozen, Limit

UTC_NAMES = frozenset({"UTC", "Etc/UTC"})
_OF_OFFERINGS = ("offering", "model", "provider", "tier")


class Bounded(NamedTuple):
    """What a limit is for, as the gateway names it. No providers: all; no pairs: all models of the providers."""

    limit: Limit
    window: Any  # the gateway's word for the period
    asked: tuple[tuple[str, tuple[str, ...]], ...]  # of the request: use case, team, tags
    providers: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]  # provider and model; no other of the rules has a provider and a model of these


def bounded(
    frozen: Frozen, title: str, named: Mapping[str, Named | None], windows: Mapping[str, Any]
) -> tuple[list[Bounded], list[Problem]]:
    """Return the limits that a gateway could hold by their unit, period and models, and why it cannot hold the others.

    `windows` are the periods that the gateway counts in UTC, with its words. A limit of other gateways is in neither.
    """
    held: list[Bounded] = []
    unheld: list[Problem] = []
    for limit in frozen.limits:
        gateways = dict(limit.scope).get("gateway")
        if gateways is not None and frozen.gateway is not None and frozen.gateway not in gateways:
            continue
        found = next(_against(limit, title, gateways if frozen.gateway is None else None, windows), None)
        if found is None:
            one = _bounded(frozen, limit, named, windows[limit.period])
            if isinstance(one, Bounded):
                held.append(one)
            else:
                found = one
        if found is not None:
            unheld.append(found)
    return held, unheld


def unheld(limit: Limit, code: str, text: str) -> Problem:
    return Problem("", code, f"{limit.name}: {text}")


def _against(
    limit: Limit, title: str, of_gateways: tuple[str, ...] | None, windows: Mapping[str, Any]
) -> Iterator[Problem]:
    if limit.unit != "usd":
        yield unheld(limit, "limit_unit", f"it is counted in {limit.unit.replace('_', ' ')}, and {title} counts USD")
    if limit.action != "block":
        yield unheld(limit, "limit_action", f"it downgrades, and a limit in {title} refuses; the rules do it")
    if of_gateways is not None:
        yield unheld(limit, "gateway", f"it is for {', '.join(of_gateways)} alone: name the gateway")
    if limit.period not in windows:
        text = f"a {limit.period} of the calendar is no window that {title} counts in"
        yield unheld(limit, "limit_period", text)
    if limit.period == "year" and limit.fiscal_start_month != 1:
        yield unheld(limit, "limit_period", f"its year does not begin in January, as it does in {title}")
    if limit.zone not in UTC_NAMES:
        yield unheld(
            limit, "limit_zone", f"its {limit.period} begins at midnight in {limit.zone}; there it would in UTC"
        )


def _bounded(frozen: Frozen, limit: Limit, named: Mapping[str, Named | None], window: Any) -> Bounded | Problem:
    wanted = {dimension: values for dimension, values in limit.scope if dimension in _OF_OFFERINGS}
    asked = tuple((dim, values) for dim, values in limit.scope if dim not in _OF_OFFERINGS and dim != "gateway")
    if not wanted:
        return Bounded(limit, window, asked, (), ())
    inside: set[tuple[str, str]] = set()
    outside: set[tuple[str, str]] = set()
    for offering, name in named.items():
        facts = frozen.content["offerings"].get(offering, {})
        own = {"offering": offering, **{key: facts.get(key) for key in ("model", "provider", "tier")}}
        concerned = all(own[dimension] in values for dimension, values in wanted.items())
        if name is not None:
            (inside if concerned else outside).add((name.provider or "", name.model))
    if not inside:
        return unheld(limit, "limit_scope", "the rules send to none of what it is for")
    providers = {provider for provider, _ in inside}
    if wanted.keys() == {"provider"} and providers.isdisjoint(provider for provider, _ in outside):
        return Bounded(limit, window, asked, tuple(sorted(providers)), ())
    models = {model for _, model in inside}
    if any(provider in providers and model in models for provider, model in outside):
        return unheld(limit, "limit_scope", "other models that the rules send to would count for it there")
    return Bounded(limit, window, asked, tuple(sorted(providers)), tuple(sorted(inside)))
