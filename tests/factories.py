"""Each function makes one valid thing and takes overrides: a test states only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from budgets.models import Budget, Counter, CounterState
from budgets.rules import Consumption
from budgets.services import budgets
from catalog.models import Team, UseCase
from catalog.rules import fold
from catalog.services import gateways
from core.models import User

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def make_use_case(name: str = "support-routing", **overrides: Any) -> UseCase:
    return UseCase.objects.get_or_create(folded=fold(name), defaults={"name": name, **overrides})[0]


def make_team(name: str = "support", **overrides: Any) -> Team:
    return Team.objects.get_or_create(folded=fold(name), defaults={"name": name, **overrides})[0]


def make_budget(
    *,
    scope: Mapping[str, Sequence[str]] | None = None,
    at: datetime = datetime(2026, 6, 1, tzinfo=UTC),
    live: bool = True,
    **overrides: Any,
) -> Budget:
    """Make a budget of 100 frontier tokens a month for support-routing; `live` spares its counters the building."""
    make_use_case()
    given: dict[str, Any] = {
        "name": "support frontier",
        "scope": {"use_case": ["support-routing"]} if scope is None else scope,
        "unit": "frontier_tokens",
        "period": "month",
        "zone": "UTC",
        "action": "alert",
        "amount": Decimal(100),
        "reason": "agreed with finance",
        "by": "finance@example.com",
        "at": at,
    }
    budget = budgets.create(**{**given, **overrides})
    if live:
        Counter.objects.filter(budget=budget).update(state=CounterState.LIVE)
    return budget


def make_consumption(**overrides: Any) -> Consumption:
    """Make the consumption of one answered request with 10 frontier tokens."""
    given: dict[str, Any] = {
        "occurred_at": NOON,
        "use_case": "support-routing",
        "team": "support",
        "model": "gpt-5.5",
        "offering": "gpt-5.5@openai",
        "provider": "openai",
        "tier": "frontier",
        "gateway": "edge",
        "status": "ok",
        "requests": 1,
        "input_tokens": 10,
        "output_tokens": 0,
        "cost_usd": Decimal("0.01"),
    }
    return Consumption(**{**given, **overrides})


def make_user(*roles: str, email: str | None = None, **overrides: Any) -> User:
    """Make a person with roles, none where none are named."""
    email = email or f"{'-'.join(roles) or 'nobody'}@example.com"
    return User.objects.create_user(email, roles=list(roles), **overrides)


def make_key(*scopes: str, gateway: str = "edge", name: str | None = None, **overrides: Any) -> str:
    """Make a key that stands for a gateway, and return its secret."""
    given: dict[str, Any] = {"name": name or f"key for {', '.join(scopes)}", "by": "tests", "at": NOON}
    return gateways.create_key(**{**given, "gateway": gateway, "scopes": list(scopes), **overrides})
