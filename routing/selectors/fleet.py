"""The fleet: which gateways run which rules, by their own word, who is late with them and who refuses them.

# Note [How an instance stands]
One word for each instance, the first that fits:

gone      its gateway was heard of an hour or more after it: replaced by another one, most likely
refused   it says that it does not run a version newer than what it runs, and was heard of within 24 hours
unheard   no poll for five minutes; polls are written once a minute at least
waiting   no rules are in force where it asks
unsaid    it does not say what it runs, or names a version that there is not
current   it runs the version in force, held to the state in force
updating  something newer went into force, and it had no more than a minute to say that it runs it
behind    more than a minute after something newer went into force it still said that it runs what was before

What went into force is a version or a state revision: a gateway that does not take a switch is late as well. What an
instance was given counts for nothing here: it is late until it says otherwise. `refused` goes before `unheard`, so that
a gateway that is out of reach for a while does not end the alert of its refusal. Retired gateways are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from catalog.models import TakesRules
from routing.rules import document
from routing.selectors import fleet_sql

GONE, REFUSED, UNHEARD, WAITING = "gone", "refused", "unheard", "waiting"
UNSAID, CURRENT, UPDATING, BEHIND = "unsaid", "current", "updating", "behind"
# The worst first; those that nobody has to look after last.
STATES = (REFUSED, BEHIND, UNHEARD, UPDATING, UNSAID, WAITING, CURRENT, GONE)

HEARD = timedelta(minutes=5)
GRACE = timedelta(minutes=1)
REPLACED = timedelta(hours=1)
LIVE = timedelta(hours=24)
FORGOTTEN = timedelta(days=7)  # routing.services.fleet.forget lets go of polls that are older


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What one instance of a gateway last said and was given; see Note [How an instance stands].

    `name` is empty where it names none. `version` and `revision` are what it runs by its own word; `late_since` is when
    something newer went into force, None where nothing did.
    """

    gateway_id: int
    gateway: str
    environment: str
    name: str
    version: int | None
    revision: int | None
    given_version: int | None
    given_revision: int | None
    polled_at: datetime
    state: str
    late_since: datetime | None
    refused_version: int | None
    refused_revision: int | None
    refused_reason: str
    spec: int | None
    client: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a gateway stands with the rules of an environment. `polled_at` is None where it never asked.

    `instances` are counted by state, `versions` those that are heard of by what they run (None: they do not say), the
    largest first. `version` and `given_version` are those of the instance that asked last. `late_since` is the earliest
    of what it is behind with. `refused` is the newest version that an instance refuses. `shown` are its first
    instances, where they were asked for.
    """

    gateway_id: int
    gateway: str
    environment: str
    live_version: int | None
    live_since: datetime | None
    key_used_at: datetime | None  # any key with rules:read that works, for anything
    takes_rules: str  # catalog.models.TakesRules
    instances: Mapping[str, int]
    versions: Mapping[int | None, int]
    clients: tuple[str, ...]
    polled_at: datetime | None
    version: int | None
    given_version: int | None
    late_since: datetime | None
    refused: int | None
    shown: Sequence[Instance] = ()

    @property
    def total(self) -> int:
        return sum(self.instances.values())

    @property
    def heard(self) -> int:
        """How many instances are heard of; one that refuses is one of them, even while it is out of reach."""
        return self.total - self.of(UNHEARD) - self.of(GONE)

    def of(self, state: str) -> int:
        return self.instances.get(state, 0)

    @property
    def state(self) -> str:
        """The worst state of its instances; `unheard` only where none is heard of, empty where it never asked."""
        if self.polled_at is None:
            return ""
        if not self.heard:
            return UNHEARD
        return next(state for state in STATES if state != UNHEARD and self.of(state))


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All gateways that ask for the rules of an environment, and those that could and do not, by name.

    What `not_polling` run is not known here: nobody tells us what was brought to them.
    """

    environment: str
    live_version: int | None
    live_since: datetime | None
    gateways: Sequence[Standing]  # that asked
    never: Sequence[Standing]  # with a key that may, and no poll that is known
    not_polling: Sequence[Standing]  # the same, and not meant to poll: they take a form of their own, or no rules

    def of(self, state: str) -> int:
        """Return how many instances are in a state."""
        return sum(one.of(state) for one in self.gateways)

    @property
    def heard(self) -> int:
        return sum(one.heard for one in self.gateways)

    @property
    def versions(self) -> list[tuple[int | None, int]]:
        """What the instances that are heard of run, the newest first, and None for those that do not say."""
        found: Counter[int | None] = Counter()
        for one in self.gateways:
            found.update(one.versions)
        return sorted(found.items(), key=lambda item: -1 if item[0] is None else item[0], reverse=True)

    @property
    def running(self) -> int:
        """How many instances run the version in force."""
        return dict(self.versions).get(self.live_version, 0) if self.live_version is not None else 0


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A version that instances of a gateway refuse to run. `running` has None where one has no rules at all."""

    gateway_id: int
    gateway: str
    environment: str
    version: int
    published_at: datetime
    live_version: int
    instances: int
    names: Sequence[str]
    reasons: tuple[str, ...]  # by the gateway's word: untrusted text
    clients: tuple[str, ...]
    running: Sequence[int | None]  # the newest first
    spec: int | None  # the oldest that one of them understands
    needs: int  # what the version needs


@dataclass(frozen=True, kw_only=True)
class OldReader:
    """A gateway that understands an older specification than a document needs."""

    gateway_id: int
    gateway: str
    spec: int
    instances: int
    clients: tuple[str, ...]


def of(*, environment: str, at: datetime, of_each: int = 0, limit: int = 1000) -> Fleet:
    """Return an environment's fleet, with up to `of_each` instances of each gateway, the worst first.

    One query, two with instances, `limit` of them at most. 10,000 instances take some tens of milliseconds.
    """
    rows = standings(at=at, environment=environment)
    unasked = [one for one in rows if one.polled_at is None]
    shown: dict[int, list[Instance]] = {}
    if of_each and rows:
        for one in worst(at=at, environment=environment, of_each=of_each, limit=limit):
            shown.setdefault(one.gateway_id, []).append(one)
    return Fleet(
        environment=environment,
        live_version=rows[0].live_version if rows else None,
        live_since=rows[0].live_since if rows else None,
        gateways=[replace(one, shown=shown.get(one.gateway_id, ())) for one in rows if one.polled_at is not None],
        never=[one for one in unasked if one.takes_rules == TakesRules.POLL],
        not_polling=[one for one in unasked if one.takes_rules != TakesRules.POLL],
    )


def standings(
    *, at: datetime, environment: str | None = None, gateway_ids: Sequence[int] | None = None
) -> list[Standing]:
    """Return how gateways stand with the rules, by gateway's name and environment. One query.

    A gateway without a poll is there for each environment that it has a key with rules:read for.
    """
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in _rows(fleet_sql.GROUPS, at=at, environment=environment, gateway_ids=gateway_ids):
        groups.setdefault((row["gateway_id"], row["environment"]), []).append(row)
    return [_standing(rows) for rows in groups.values()]


def worst(
    *, at: datetime, of_each: int, limit: int = 1000, environment: str | None = None, gateway_id: int | None = None
) -> list[Instance]:
    """Return some instances of each gateway: those that need a look first, then those heard of last. One query."""
    return _instances(
        fleet_sql.FOLDED,
        at=at,
        environment=environment,
        gateway_ids=None if gateway_id is None else [gateway_id],
        given={"of_each": of_each, "limit": limit, "states": list(STATES)},
    )


def instances(
    *,
    at: datetime,
    limit: int,
    environment: str | None = None,
    gateway_id: int | None = None,
    state: str | None = None,
    after: tuple[int, str] | None = None,
) -> list[Instance]:
    """Return instances that come after (gateway, name), in this order. One query."""
    after_gateway, after_name = after or (None, None)
    return _instances(
        fleet_sql.LISTED,
        at=at,
        environment=environment,
        gateway_ids=None if gateway_id is None else [gateway_id],
        given={"state": state, "after_gateway": after_gateway, "after_name": after_name, "limit": limit},
    )


def refusals(*, at: datetime, environment: str | None = None, version: int | None = None) -> list[Refusal]:
    """Return which versions are refused now, by environment and gateway. One query."""
    return [
        Refusal(
            **row
            | {
                "names": tuple(row["names"]),
                "reasons": tuple(reason for reason in row["reasons"] if reason),
                "clients": tuple(client for client in row["clients"] if client),
                "running": sorted(row["running"], key=lambda number: -1 if number is None else number, reverse=True),
            }
        )
        for row in _rows(fleet_sql.REFUSALS, at=at, environment=environment, given={"version": version})
    ]


def old_readers(*, environment: str, spec: int, at: datetime) -> list[OldReader]:
    """Return gateways heard of within 24 hours that understand less than a specification, by name. One query.

    Whoever does not say what it understands is not among them.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT g.id, g.name, min(p.spec), count(*), array_agg(DISTINCT p.client)
            FROM routing_gatewaypoll p JOIN catalog_gateway g ON g.id = p.gateway_id
            WHERE p.environment = %(environment)s AND p.spec < %(spec)s AND p.polled_at > %(live)s
            AND g.retired_at IS NULL
            GROUP BY g.id ORDER BY g.name
            """,
            {"environment": environment, "spec": spec, "live": at - LIVE},
        )
        return [
            OldReader(
                gateway_id=gateway_id,
                gateway=name,
                spec=known,
                instances=count,
                clients=tuple(client for client in clients if client),
            )
            for gateway_id, name, known, count, clients in cursor.fetchall()
        ]


def warnings(*, environment: str, content: Mapping[str, Any], at: datetime) -> tuple[str, ...]:
    """Return in plain words which gateways would not understand a content; they would refuse it. One query."""
    needs = document.needs(content)
    told = []
    for one in old_readers(environment=environment, spec=needs, at=at):
        many = f"{one.instances:,} instances of " if one.instances > 1 else ""
        clients = f" ({', '.join(one.clients[:3])})" if one.clients else ""
        told.append(
            f"{many}{one.gateway}{clients} {'understand' if many else 'understands'} specification {one.spec} at most, "
            f"and these rules need {needs}: {'they' if many else 'it'} would go on with older rules."
        )
    return tuple(told)


def _standing(rows: Sequence[Mapping[str, Any]]) -> Standing:
    """Put together what is known of one gateway in one environment; the first row is as good as any for that."""
    polled = [row for row in rows if row["instances"]]
    last = max(polled, key=lambda row: row["polled_at"]) if polled else None
    states: Counter[str] = Counter()
    versions: Counter[int | None] = Counter()
    for row in polled:
        states[row["state"]] += row["instances"]
        if row["state"] not in (UNHEARD, GONE):
            versions[row["version"]] += row["instances"]
    late = [row["late_since"] for row in polled if row["state"] == BEHIND]
    refused = [row["refused_version"] for row in polled if row["state"] == REFUSED]
    clients = {row["client"] for row in polled if row["state"] != GONE and row["client"]}
    return Standing(
        gateway_id=rows[0]["gateway_id"],
        gateway=rows[0]["gateway"],
        environment=rows[0]["environment"],
        live_version=rows[0]["live_version"],
        live_since=rows[0]["live_since"],
        key_used_at=rows[0]["key_used_at"],
        takes_rules=rows[0]["takes_rules"],
        instances=dict(states),
        versions=dict(versions.most_common()),
        clients=tuple(sorted(clients)),
        polled_at=last["polled_at"] if last else None,
        version=last["version"] if last else None,
        given_version=last["given_version"] if last else None,
        late_since=min(late, default=None),
        refused=max(refused, default=None),
    )


def _instances(statement: str, *, at: datetime, given: Mapping[str, Any], **which: Any) -> list[Instance]:
    return [Instance(**row) for row in _rows(statement, at=at, given=given, **which)]


def _rows(
    statement: str,
    *,
    at: datetime,
    environment: str | None = None,
    gateway_ids: Sequence[int] | None = None,
    given: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    values = {
        "at": at,
        "environment": environment,
        "gateways": None if gateway_ids is None else list(gateway_ids),
        "replaced": REPLACED,
        "live": at - LIVE,
        "heard": at - HEARD,
        "grace": GRACE,
        **(given or {}),
    }
    with connection.cursor() as cursor:
        cursor.execute(fleet_sql.SEEN + statement, values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
