"""Orders of rules by score: worked out anew every few minutes, and with every version that is published."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from routing.models import Environment, Order, Version
from routing.rules import document, scoring
from routing.selectors import orders
from routing.services import states


def renew(*, at: datetime) -> int:
    """Work every environment's orders out anew and tell gateways where one moved; returns how many revisions that took.

    Safe to repeat, and for two processes at once: each environment is one transaction that holds its row.
    """
    found = Environment.objects.filter(live_version__isnull=False).order_by("name").values_list("pk", flat=True)
    return sum(_renew(environment_id, at) for environment_id in found)


@transaction.atomic(durable=True)
def _renew(environment_id: int, at: datetime) -> bool:
    environment = Environment.objects.select_for_update().get(pk=environment_id)
    version = Version.objects.get(environment=environment, number=environment.live_version or 0)
    settle(environment=environment, content=document.parse(bytes(version.canonical)), at=at)
    return states.renew(environment=environment, at=at) is not None


@transaction.atomic
def settle(*, environment: Environment, content: Mapping[str, Any], at: datetime) -> None:
    """Write the orders of the rules by score of a content; other rules of the environment have none any more.

    Takes part in the caller's transaction, which holds the environment's row and publishes the state afterwards.
    Safe to repeat. An order that follows one with the same targets and weights moves only by a margin.
    """
    found = orders.scored(environment=environment, content=content, at=at)
    parts = scoring.by_score(content)
    kept = {one.rule: one for one in Order.objects.filter(environment=environment)}
    made = []
    for rule, rows in found.items():
        scores = orders.kept_of(rows, scoring.weights_of(parts[rule]))
        last = kept.pop(rule, None)
        same = last is not None and all(last.scores[name] == scores[name] for name in ("weights", "targets"))
        order = scoring.ordered(rows, last.order if last is not None and same else None)
        moved_at = last.moved_at if last is not None and last.order == order else at
        made.append(
            Order(
                environment=environment, rule=rule, order=order, scores=scores, computed_at=at, moved_at=moved_at
            )
        )  # fmt: skip
    Order.objects.bulk_create(
        made,
        update_conflicts=True,
        unique_fields=["environment", "rule"],
        update_fields=["order", "scores", "computed_at", "moved_at"],
    )
    if kept:
        Order.objects.filter(environment=environment, rule__in=kept).delete()
