"""Polls of gateways as they are noted, without polling."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from catalog.services import gateways
from routing.models import GatewayPoll
from tests.factories import NOON
from tests.routing.making import ENVIRONMENT

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def make_poll(
    version: int | None,
    *,
    gateway: str = "edge",
    instance: str = "",
    at: datetime = NOON,
    refuses: int | None = None,
    why: str = "",
    **overrides: Any,
) -> GatewayPoll:
    """Note a poll, in the place of an earlier one of the instance; the gateway has to be there."""
    given: dict[str, Any] = {
        "version": version,
        "polled_at": at,
        "rejected_version": refuses,
        "rejected_revision": None if refuses is None else refuses,
        "rejected_reason": why,
        "client": "",
        "spec": None,
        "given_version": version,
    }
    return GatewayPoll.objects.update_or_create(
        gateway=gateways.get(gateway), environment=overrides.pop("environment", ENVIRONMENT), instance=instance,
        defaults=given | overrides,
    )[0]  # fmt: skip


def make_polls(count: int, *, version: int = 2, gateway: str = "edge", at: datetime = NOON) -> None:
    """Note a poll of each of many instances that run a version."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO routing_gatewaypoll (gateway_id, environment, instance, version, revision, polled_at) "
            "SELECT %s, %s, 'pod-' || to_char(n, 'FM00000'), %s, 2 + n %% 9, %s FROM generate_series(1, %s) n",
            [gateways.get(gateway).pk, ENVIRONMENT, version, at, count],
        )
