"""Which gateway asked for rules, what it has and what it was given: noted in memory, written every few seconds.

Noting is a few assignments, since every poll pays for it; any thread may note while another one writes. What a process
that dies has not written is a few seconds of polls, and the next poll says it again.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import structlog
from django.db import connection

from routing.serving.documents import Served, has
from routing.serving.reports import Pair, Report

log = structlog.get_logger(__name__)

MOST = 10_000  # kept in memory; instances beyond are answered and not noted
MOST_OF_A_GATEWAY = 1_000
REPEATED_SECONDS = 60.0  # how often a poll that says nothing new is written
FORGOTTEN_SECONDS = 3600.0  # after the last poll, here; its row stays

Asking = tuple[int, str, str]  # gateway, environment, instance
Poll = tuple[Pair | None, Pair | None, Report, float]  # what it has, what it was given, what it said, when

_UPSERT = """
INSERT INTO routing_gatewaypoll AS known
       (gateway_id, environment, instance, version, revision, given_version, given_revision, rejected_version,
       rejected_revision, rejected_reason, spec, client, polled_at, pause_ms)
SELECT gateway.id, poll.environment, poll.instance, poll.version, poll.revision, poll.given_version,
       poll.given_revision, poll.rejected_version, poll.rejected_revision, poll.rejected_reason, poll.spec,
       poll.client, poll.polled_at, poll.pause_ms
  FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::bigint[], %s::int[], %s::bigint[], %s::int[],
              %s::bigint[], %s::text[], %s::smallint[], %s::text[], %s::timestamptz[], %s::int[])
       AS poll (gateway_id, environment, instance, version, revision, given_version, given_revision, rejected_version,
                rejected_revision, rejected_reason, spec, client, polled_at, pause_ms)
  JOIN catalog_gateway gateway ON gateway.id = poll.gateway_id
 ORDER BY gateway.id, poll.environment, poll.instance  -- two processes lock the same rows in the same order
    ON CONFLICT (gateway_id, environment, instance) DO UPDATE
   SET version = EXCLUDED.version, revision = EXCLUDED.revision, given_version = EXCLUDED.given_version,
       given_revision = EXCLUDED.given_revision, rejected_version = EXCLUDED.rejected_version,
       rejected_revision = EXCLUDED.rejected_revision, rejected_reason = EXCLUDED.rejected_reason,
       spec = EXCLUDED.spec, client = EXCLUDED.client, polled_at = EXCLUDED.polled_at,
       pause_ms = coalesce(EXCLUDED.pause_ms, known.pause_ms)
 WHERE known.polled_at < EXCLUDED.polled_at
"""

# To the minute, as core.keys.note_use has it. A key that somebody else is just noting is left to them.
_USED = """
UPDATE core_apikey SET last_used_at = used.at
  FROM (SELECT key.id, use.at
          FROM unnest(%s::bigint[], %s::timestamptz[]) AS use (id, at)
          JOIN core_apikey key ON key.id = use.id
         WHERE key.last_used_at IS NULL OR key.last_used_at <= use.at - interval '1 minute'
           FOR UPDATE OF key SKIP LOCKED) AS used
 WHERE core_apikey.id = used.id
"""


class Polls:
    """The latest poll of each instance that this process heard."""

    def __init__(self) -> None:
        self._latest: dict[Asking, Poll] = {}
        self._written: dict[Asking, Poll] = {}
        self._used: dict[int, float] = {}  # keys, and when
        self._pauses: dict[Asking, float] = {}  # the longest since it was written, in seconds; 0 where polls wait
        self._of_gateway: Counter[int] = Counter()
        self._told_full = False

    def note(
        self, *, gateway_id: int, environment: str, report: Report, if_none_match: str | None, given: Served | None,
        at: float, waits: bool = False,
    ) -> None:  # fmt: skip
        """Note a poll at `at`, a Unix time. What it runs is what it says, else what its tags say.

        One that `waits` is told at once when something changes; of others the pause since the poll before is noted.
        """
        asking = (gateway_id, environment, report.instance)
        before = self._latest.get(asking)
        if before is None and not self._has_room(gateway_id):
            return
        if waits:
            self._pauses[asking] = 0.0
        elif before is not None:
            self._pauses[asking] = max(at - before[3], self._pauses.get(asking, 0.0))
        active = report.active or has(if_none_match)
        self._latest[asking] = (active, None if given is None else given.given, report, at)

    def note_key(self, key_id: int, at: float) -> None:
        """Note that a key was used."""
        self._used[key_id] = at

    def write(self, *, now: float) -> int:
        """Write what is new, or was last written a minute ago; returns how many polls. Two queries at most.

        Only one thread may write.
        """
        self._forget(now)
        due = [(asking, poll) for asking, poll in list(self._latest.items()) if self._is_due(asking, poll)]
        if due:
            with connection.cursor() as cursor:
                cursor.execute(_UPSERT, [*_columns(due), [self._pause_ms(asking) for asking, _ in due]])
            self._written.update(due)
            for asking, _ in due:
                self._pauses.pop(asking, None)
        used = list(self._used.items())
        if used:
            with connection.cursor() as cursor:
                cursor.execute(_USED, [[key for key, _ in used], [_instant(at) for _, at in used]])
            for key, _ in used:
                self._used.pop(key, None)
        return len(due)

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def _has_room(self, gateway_id: int) -> bool:
        if len(self._latest) < MOST and self._of_gateway[gateway_id] < MOST_OF_A_GATEWAY:
            self._of_gateway[gateway_id] += 1
            return True
        if not self._told_full:
            self._told_full = True
            log.warning("polls.too_many_instances", gateway_id=gateway_id)
        return False

    def _pause_ms(self, asking: Asking) -> int | None:
        pause = self._pauses.get(asking)
        return None if pause is None else max(0, round(pause * 1000))

    def _is_due(self, asking: Asking, poll: Poll) -> bool:
        written = self._written.get(asking)
        return written is None or written[:3] != poll[:3] or poll[3] - written[3] >= REPEATED_SECONDS

    def _forget(self, now: float) -> None:
        for asking, poll in list(self._latest.items()):
            if now - poll[3] > FORGOTTEN_SECONDS:
                self._latest.pop(asking, None)
                self._written.pop(asking, None)
                self._pauses.pop(asking, None)
                self._of_gateway[asking[0]] -= 1


def _columns(due: list[tuple[Asking, Poll]]) -> list[list[object]]:
    nothing = (None, None)
    rows = [
        (
            *asking, *(active or nothing), *(given or nothing), *(report.rejected or nothing), report.reason,
            report.spec, report.client, _instant(at),
        )
        for asking, (active, given, report, at) in due
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def _instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
