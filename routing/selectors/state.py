"""What gateways are held to at an instant: exceeded budgets, switches, orders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from budgets.selectors import enforced
from routing.models import Switch
from routing.selectors import orders


def instant(at: datetime) -> str:
    """Write an instant as documents have it: RFC 3339 in UTC with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def nothing() -> dict[str, Any]:
    """Return the state of a house where no budget is exceeded and nothing is switched."""
    return {"budgets": [], "switches": [], "orders": {}, "canary": None}


def of(*, environment: str, at: datetime) -> dict[str, Any]:
    """Return the `state` of an environment's document without its revision; the same facts give the same value.

    Trial and alert-only budgets are never in it. A budget's state and a switch carry the instant at which they end,
    which gateways heed by their own clocks. Orders are the environment's own, all else is the same everywhere.
    """
    return {
        "budgets": [
            {
                "id": f"b-{one.budget_id}",
                "match": one.match,
                "state": "exceeded",
                "action": one.action,
                "until": instant(one.until),
            }
            for one in enforced.exceeded(at=at)
        ],
        "switches": [
            {switch.kind: switch.name, "off": switch.off, "until": instant(switch.until), "reason": switch.reason}
            for switch in in_force(at=at)
        ],
        "orders": orders.told(environment=environment),
        "canary": None,
    }


def in_force(*, at: datetime) -> list[Switch]:
    """Return the last word on each name that still holds at an instant, by kind and name. One query."""
    latest = Switch.objects.filter(since__lte=at).order_by("kind", "name", "-id").distinct("kind", "name")
    return [switch for switch in latest if at < switch.until]


def next_change(*, at: datetime) -> datetime | None:
    """Return when a switch next ends by itself. One query."""
    return min((switch.until for switch in in_force(at=at)), default=None)
