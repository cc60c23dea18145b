"""One valid thing each, with overrides."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from alerts.messages import Message
from alerts.models import Alert, Channel, Delivery, Severity
from alerts.services import raising
from core import secrets

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
FACTS = {
    "summary": "support-routing has used 71 % of its frontier tokens.",
    "rows": [["Used", "1,420,000 of 2,000,000"], ["Period gone", "48 %"]],
    "next": "At 100 % gateways go on; the budget only alerts.",
    "links": [["Open the budget", "/budgets/17"]],
}
_number = itertools.count(1)


def make_channel(*, kind: str = "email", secret: str = "", **overrides: Any) -> Channel:
    fields: dict[str, Any] = {
        "name": f"channel {next(_number)}",
        "kind": kind,
        "config": {"recipients": ["lead@example.com"]} if kind == "email" else {},
        "secret": secrets.encrypt(secret.encode()) if secret else None,
        "created_at": NOON,
    }
    return Channel.objects.create(**fields | overrides)


def make_alert(**overrides: Any) -> Alert:
    """Raise an alert; channels that should get it are made before."""
    fields: dict[str, Any] = {
        "kind": "budget_crossing",
        "dedupe_key": f"key {next(_number)}",
        "severity": Severity.WARNING,
        "title": "70 % of the frontier budget used: support-routing",
        "facts": FACTS,
        "subject_kind": "budget",
        "subject_id": 17,
        "team_ids": [3],
        "budget_id": 17,
        "at": NOON,
    }
    alert = raising.raise_alert(**fields | overrides)
    assert alert is not None
    return alert


def make_message(**overrides: Any) -> Message:
    fields: dict[str, Any] = {
        "title": "70 % used",
        "severity": "warning",
        "sent_at": NOON,
        "summary": "support-routing has used 71 %.",
        "rows": (("Used", "71 %"),),
        "next_step": "Nothing is blocked.",
        "links": (("Open the budget", "http://tollkeeper.example/budgets/17"),),
    }
    return Message(**fields | overrides)


def the_delivery(alert: Alert) -> Delivery:
    return alert.deliveries.get()
