"""Liveness and readiness, for load balancers, docker-compose.yml and the demo."""

from __future__ import annotations

from functools import cache

import redis
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from routing.serving.shelf import SHELF


@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all; asks nobody else."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers within two seconds and this process has read the rules it serves, else 503.

    Redis is reported and does not count: it carries only nudges, and events are taken in without it. Rules that are
    `stale` do not count either: they are the last good ones, which is what gateways are to have.
    """
    database, broker, rules = _database(), _redis(), SHELF.state()
    ready = database == "ok" and rules != "loading"
    return JsonResponse(
        {"ready": ready, "database": database, "redis": broker, "rules": rules}, status=200 if ready else 503
    )


def _database() -> str:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 2000")
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()  # the next question gets a new connection, not this broken one
        return "unavailable"
    return "ok"


def _redis() -> str:
    try:
        _broker().ping()
    except redis.RedisError:
        return "unavailable"
    return "ok"


@cache
def _broker() -> redis.Redis:
    return redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)
