"""What the looks have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db import connection

from alerts.models import Severity
from alerts.services import raising
from budgets import wording
from budgets.rules import USD


@dataclass(frozen=True, kw_only=True)
class Looked:
    raised: int = 0
    resolved: int = 0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An alert to be."""

    dedupe_key: str
    title: str
    facts: dict[str, Any]
    subject_kind: str
    subject_id: int | None
    team_ids: list[int]


def alone(name: str) -> bool:
    """Say whether this transaction is the one that looks now; another one that does leaves nothing to do. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [f"usage_watch_{name}"])
        row = cursor.fetchone()
    return bool(row and row[0])


def tell(kind: str, found: Iterable[Finding], *, at: datetime) -> int:
    """Raise what was found, in the order of the keys, as the alerts want it; returns how many are new."""
    alerts = [
        raising.raise_alert(
            kind=kind,
            dedupe_key=one.dedupe_key,
            severity=Severity.WARNING,
            title=one.title,
            facts=one.facts,
            subject_kind=one.subject_kind,
            subject_id=one.subject_id,
            team_ids=one.team_ids,
            budget_id=None,
            at=at,
        )
        for one in sorted(found, key=lambda one: one.dedupe_key)
    ]
    return sum(alert is not None for alert in alerts)


def usd(value: Decimal) -> str:
    return wording.quantity(USD, value)


def per_cent(share: Decimal) -> str:
    return wording.per_cent(share * 100)


def link(text: str, path: str, **query: str) -> list[str]:
    return [text, f"{path}?{urlencode(query)}" if query else path]
