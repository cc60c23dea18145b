"""Nudges: "look now" for a worker, so that nobody waits for the next sweep.

A nudge carries nothing and may be lost: what must be done is a row in PostgreSQL, and a sweep finds the rows
that no nudge reached. So a nudge never raises, and while Redis is away it costs a process at most about a
second in ten. Many nudges for one task are one message until the task has begun:

    edge:  nudge("usage.tasks.book_pending", queue="intake")      # after the commit
    task:  nudges.begun("usage.tasks.book_pending")               # its first line, before it looks for rows
"""

from __future__ import annotations

import time
from functools import lru_cache

import redis
import structlog
from celery import current_app
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

_MARK_SECONDS = 5  # a mark whose task was lost hinders further nudges no longer than this
_MESSAGE_SECONDS = 30  # an older message has been overtaken by sweeps
_REST_SECONDS = 10.0  # after a failure, in each process

_resting_until = 0.0  # by time.monotonic()


def nudge(task_name: str, queue: str) -> bool:
    """Ask for one run of the task on that queue; call it after the commit of the rows it should find.

    Returns whether a message went out; False also where one is under way already, or Redis is away.
    """
    global _resting_until
    if time.monotonic() < _resting_until:
        return False
    try:
        if not _redis().set(_mark(task_name), b"1", nx=True, ex=_MARK_SECONDS):
            return False
        # Through Celery's own connection, which may have died with the last Redis: one fresh try at once.
        current_app.send_task(
            task_name,
            queue=queue,
            ignore_result=True,
            expires=_MESSAGE_SECONDS,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
        )
    except Exception as error:  # whatever broke, the rows are committed and the sweep finds them
        _resting_until = time.monotonic() + _REST_SECONDS
        log.warning("nudge.failed", task=task_name, error=type(error).__name__)
        return False
    return True


def begun(task_name: str) -> None:
    """Let the next nudge for this task through: the run that begins may miss rows committed from now on."""
    try:
        _redis().delete(_mark(task_name))
    except Exception as error:  # the mark dies of age
        log.warning("nudge.mark_kept", task=task_name, error=type(error).__name__)


def _mark(task_name: str) -> str:
    return f"tollkeeper:nudge:{task_name}"


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    # One retry at once: a pooled connection that a restart of Redis broke is made anew.
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.4, socket_connect_timeout=0.4, retry=Retry(NoBackoff(), 1)
    )
