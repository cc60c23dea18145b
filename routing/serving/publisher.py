"""Publishes a new state revision when budgets or switches change; a process of its own, that looks every 250 ms.

A look is one query: at the row that counts changes of budgets and holds the next instant at which time alone changes
them, and at the last switch. Only where something moved, or an instant has come, is the state worked out; and it is
published only where it differs. Two publishers do no harm: environments are locked while their state is compared.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError, connection

from alerts.tasks import DELIVER_DUE
from alerts.tasks import QUEUE as ALERTS
from budgets.services import looking
from core import nudges
from routing.selectors import state
from routing.services import states
from usage.selectors import drivers

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 0.25
# What a state is made of includes names and tiers that move no counter: they are found out about within this.
AT_LEAST_EVERY = timedelta(minutes=1)
_LONGEST_PAUSE_SECONDS = 2.0


class _Seen(NamedTuple):
    states: int  # counts changes of budgets
    next_at: datetime | None  # when time alone next changes budgets; stays in the past until somebody settles it
    switch: int  # the last one


@dataclass(slots=True)
class Looker:
    """Knows what it has seen, and so whether there is anything to do."""

    _seen: _Seen | None = None
    _looked_at: datetime | None = None  # the state was worked out as of then
    _switch_ends_at: datetime | None = None

    def look(self, *, at: datetime) -> int | None:
        """Publish what changed; returns how many environments have a new revision, None where nothing was to be done.

        One query where nothing was. An instant that has passed is dealt with once, settled by others or not.
        """
        seen = _read()
        if not self._is_due(seen, at):
            return None
        if _passed(seen.next_at, self._looked_at, at):
            # Others look too, but only twice a minute: until then a limit that starts by date would not be evaluated,
            # and the instant after this one not be known.
            if looking.look_at_time(at=at, explain=drivers.explain):
                nudges.nudge(DELIVER_DUE, queue=ALERTS)
            seen = _read()
        # Read before the state is worked out: whatever changes meanwhile is found at the next look.
        made = states.renew_all(at=at)
        self._switch_ends_at = state.next_change(at=at)
        self._seen, self._looked_at = seen, at
        if made:
            log.info("state.published", revisions=made, budget_states=seen.states)
        return made

    def _is_due(self, seen: _Seen, at: datetime) -> bool:
        return (
            self._seen is None
            or self._looked_at is None
            or (seen.states, seen.switch) != (self._seen.states, self._seen.switch)
            or _passed(seen.next_at, self._looked_at, at)
            or _passed(self._switch_ends_at, self._looked_at, at)
            or not self._looked_at <= at < self._looked_at + AT_LEAST_EVERY
        )


def run(*, stop: threading.Event, clock: Callable[[], datetime], looked: Callable[[], object]) -> None:
    """Look until told to stop; `looked` is called after each look that succeeded.

    While the database is away it tries again after growing pauses and says so once. What it missed it finds when it is
    back: it begins anew then.
    """
    looker, pause, away = Looker(), LOOK_EVERY_SECONDS, False
    while not stop.is_set():
        try:
            looker.look(at=clock())
        except (DatabaseError, InterfaceError) as error:
            if not away:
                log.warning("publisher.database_away", exc_info=error)
            looker, away = Looker(), True
            with suppress(DatabaseError, InterfaceError):
                connection.close()
            stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 (so that processes do not come at once)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        else:
            if away:
                log.warning("publisher.database_back")
            pause, away = LOOK_EVERY_SECONDS, False
            looked()
            stop.wait(LOOK_EVERY_SECONDS)
    connection.close()


def _read() -> _Seen:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT states, next_at, (SELECT coalesce(max(id), 0) FROM routing_switch) FROM budgets_change WHERE id = 1"
        )
        return _Seen(*cursor.fetchone())


def _passed(instant: datetime | None, after: datetime | None, at: datetime) -> bool:
    """Say whether an instant has come since the last time the state was worked out."""
    return instant is not None and instant <= at and (after is None or after < instant)
