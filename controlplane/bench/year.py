"""A year of a company that grew: the demo's, with branches in four countries, its calls told again and again.

What pages do depends on what they are shown, so the house is one that its own services made: the demo's company with
its rules, budgets, alerts and prices, and the same again for branches. Then every entry of the last eight weeks is told
again, for each branch and for each eight weeks of the year, a few minutes earlier and under other ids. So weekdays and
hours stay what they were, and a day has the rows of sums that so many use cases, models and rules give it. Event keys
are those of the window in which a repeat is recognised; sums and counters are made from the ledger by what rebuilds
them.

python -m controlplane.bench.year ENTRIES fills the database of DATABASE_URL: an empty one, or one that `found` filled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, LiteralString

import msgspec
import psycopg

from controlplane.bench.growth import DAYS, RECEIPT, Progress, as_sql, settle, teller
from usage.events import Event
from usage.rules.postings import COLUMNS

TOLD = 100_000  # events of the three months that are told first
BRANCHES = ("", "-at", "-nl", "-pl", "-nordics")  # the first is the company itself
TEAMS = (
    ("Austria",), ("Netherlands Care", "Netherlands Operations"), ("Poland Care", "Poland Operations"),
    ("Nordics Care", "Nordics Operations"),
)  # fmt: skip
_CARE = "Customer Care"
CLOUD = "cloud-proxy"  # the fourth gateway: calls of the first one that go to the same models elsewhere
_ELSEWHERE = {
    "gpt-5.5": "azure", "gpt-5.4": "azure", "gpt-5.4-mini": "azure", "claude-opus-4.7": "bedrock",
    "claude-sonnet-4.6": "bedrock", "claude-haiku-4.5": "vertex", "gemini-3-flash": "vertex",
    "gemini-3.1-flash-lite": "vertex", "deepseek-v4-flash": "fireworks",
}  # fmt: skip
_AT_ONCE = 150_000  # entries of which sums are made in one statement
_EACH = 5  # one of so many calls goes there
SHIFT = timedelta(weeks=8)
_STREAMS = 16  # more than there are gateways
_BODIES = 1000  # more than a gateway sends in a day
_BY = "manage.py bench"

_SAMPLE = (
    "CREATE TEMP TABLE sample AS SELECT *, abs(hashtext(CASE call_group WHEN '' THEN event_id ELSE call_group END)) "
    "AS call FROM ledger WHERE kind = 1 AND correction_of IS NULL AND booked_at >= %(from)s AND booked_at < %(until)s"
)
_STREAM = (
    "CREATE TEMP TABLE stream AS SELECT gateway_id, id AS source_id, row_number() OVER (ORDER BY id) AS number "
    "FROM usage_source WHERE kind = 'live'"
)
_KNOWN = ("CREATE INDEX ON sample (booked_at)", _STREAM, "ANALYZE sample", "ANALYZE stream")

_NEW = {
    "use_case_id": "coalesce(b.to_use_case, s.use_case_id)",
    "team_id": "coalesce(b.to_team, s.team_id)",
    "booked_at": "s.at",
    "occurred_at": "s.at",
    "id": "%(first_id)s + s.number",
    "source_id": "s.stream_source",
    "environment": "CASE (s.call + s.copy) %% 12 WHEN 0 THEN 'staging' ELSE s.environment END",
    "rules_version": "CASE s.rules_version WHEN 0 THEN 0 ELSE coalesce(%(version)s, s.rules_version) END",
    "call_group": "CASE s.call_group WHEN '' THEN '' ELSE left(md5(s.call_group || s.copy || %(day)s), 16) END",
    "event_id": "md5(s.event_id || s.copy || %(day)s)",
    "receipt_id": f"%(first_receipt)s + s.stream * {_BODIES} + s.body",
}
# Calls of one group stay together: what becomes of an entry depends on its group's number, not on its own. They come in
# order of time, as the index of time wants them.
_ENTRIES = (
    "WITH copies AS (SELECT s.*, copy, t.source_id AS stream_source, t.number AS stream, "
    f"(s.call + copy) %% {len(BRANCHES)} AS branch, "
    "s.booked_at - %(shift)s::interval - random() * interval '20 minutes' AS at "
    "FROM sample s JOIN stream t USING (gateway_id), "
    "generate_series(1, (%(whole)s + CASE WHEN s.call %% 1000 < %(part)s THEN 1 ELSE 0 END)::int) AS copy "
    "WHERE s.booked_at >= %(from)s AND s.booked_at < %(until)s), "
    "numbered AS (SELECT *, row_number() OVER (ORDER BY at) AS number, "
    f"(row_number() OVER (PARTITION BY stream ORDER BY at) - 1) / {RECEIPT} AS body FROM copies), "
    f"written AS (INSERT INTO ledger ({', '.join(COLUMNS)}) "
    f"SELECT {', '.join(_NEW.get(name, f's.{name}') for name in COLUMNS)} FROM numbered s "
    "LEFT JOIN branch b ON b.use_case_id = s.use_case_id AND b.branch = s.branch ORDER BY s.number "
    "RETURNING receipt_id, source_id, booked_at) "
    "INSERT INTO receipt (id, source_id, environment, format, state, received_at, first_occurred_at, "
    "last_occurred_at, event_count, rejected, booked, duplicates, conflicts, quarantined, shadowed, attempts, "
    "try_after, error, done_at) SELECT receipt_id, source_id, 'production', 'native', 'done', max(booked_at), "
    "min(booked_at), max(booked_at), count(*), '[]', count(*), 0, 0, 0, 0, 0, max(booked_at), '', max(booked_at) "
    "FROM written GROUP BY 1, 2 RETURNING event_count"
)
_KEYS = (
    "INSERT INTO event_key (source_id, digest, content, use_case_id, booked_at, entry_id, first_received_at) "
    "SELECT source_id, substring(sha256(event_id::bytea) FOR 16), substring(sha256(call_group::bytea) FOR 16), "
    "use_case_id, booked_at, id, booked_at FROM ledger WHERE booked_at >= %(known_from)s AND id >= %(first_id)s"
)


def found(*, at: datetime, progress: Progress = lambda said: None, told: int = TOLD) -> None:
    """Fill an empty house with the company, its branches, budgets and gateways, and three months that were booked."""
    from controlplane import seed
    from controlplane.seed import company, story

    seed.fill(now=at, progress=lambda step, done, of: progress(f"{step}, {done:,}"), events=told)
    plan = story.plan(now=at, zone=company.ZONE, events=told)
    _open_branches(at)
    _book_elsewhere(plan)


def fill(*, entries: int, at: datetime, progress: Progress = lambda said: None) -> int:
    """Put about `entries` more into the ledger of a house that was founded at `at`, over the year before; how many.

    Nobody books meanwhile. Sums and counters are those of the ledger afterwards.
    """
    from usage.services import partitions, past
    from usage.services.raw import raw_cursor

    starts_at = at - timedelta(days=DAYS)
    partitions.make(first=(starts_at - timedelta(days=1)).date(), last=at.date())
    written = 0
    with raw_cursor() as cursor:
        _branches_table(cursor)
        cursor.execute(as_sql(_SAMPLE), {"from": at - SHIFT, "until": at})
        for statement in _KNOWN:
            cursor.execute(as_sql(statement))
        weight = _weight(cursor, at=at, starts_at=starts_at)
        whole, rest = divmod(entries, weight)
        known = {"whole": whole, "part": rest * 1000 // weight}
        first_id = _one(cursor, "SELECT nextval('ledger_block')")
        first_receipt = _one(cursor, "SELECT coalesce(max(id), 0) + 1 FROM receipt")
        for number, (starts, ends) in enumerate(_days(starts_at, at)):
            shift = SHIFT * _rounds(at - starts)
            given = known | {
                "from": starts + shift, "until": ends + shift, "shift": shift, "day": str(number),
                "first_id": first_id + written, "version": _version(cursor, starts) if shift else None,
                "first_receipt": first_receipt + number * _STREAMS * _BODIES,
            }  # fmt: skip
            written += sum(count for (count,) in cursor.execute(as_sql(_ENTRIES), given).fetchall())
            progress(f"{written:,} of {entries:,} entries")
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('receipt', 'id'), (SELECT max(id) FROM receipt)), "
            "setval('ledger_block', ((SELECT max(id) FROM ledger) / 1000 + 2) * 1000 + 1)"
        )
        cursor.execute(as_sql(_KEYS), {"known_from": at - _keep_keys(), "first_id": first_id})
        cursor.execute("DROP TABLE sample, stream, branch")
        cursor.execute("ANALYZE ledger")
    _sums(starts_at, at, at_once=max(1, _AT_ONCE * DAYS // max(written, 1)), progress=progress)
    past.gather(at=at)
    _close(first=starts_at.date(), at=at)
    _count(at=at, progress=progress)
    return written


def _days(starts_at: datetime, ends_at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut the year into days, none of them across the seam of two times eight weeks."""
    while starts_at < ends_at:
        until = min(starts_at + timedelta(days=1), ends_at - SHIFT * _rounds(ends_at - starts_at))
        yield starts_at, until
        starts_at = until


def _rounds(ago: timedelta) -> int:
    """Say how many times eight weeks before the last ones the day lies that began so long ago."""
    return (ago - timedelta(microseconds=1)) // SHIFT


def _weight(cursor: psycopg.Cursor[Any], *, at: datetime, starts_at: datetime) -> int:
    """Return how many entries one copy of everything is: of each eight weeks that fit, and of a part of the first."""
    rounds, part = divmod(at - starts_at, SHIFT)
    row = cursor.execute(
        "SELECT count(*) * %s + count(*) FILTER (WHERE booked_at >= %s) FROM sample", [rounds, at - part]
    ).fetchone()
    if row is None or not row[0]:
        raise ValueError("the house has booked nothing that could be told again")
    return int(row[0])


def _version(cursor: psycopg.Cursor[Any], at: datetime) -> int | None:
    """Return which rules were in force at an instant, or the first ones."""
    return _one(
        cursor, "SELECT coalesce(max(number) FILTER (WHERE published_at <= %s), min(number)) FROM routing_version", at
    )


def _one(cursor: psycopg.Cursor[Any], statement: LiteralString, *given: object) -> int:
    row = cursor.execute(statement, given).fetchone()
    if row is None:
        raise RuntimeError("a query for one row gave none")
    return int(row[0])


def _keep_keys() -> timedelta:
    from usage.services.housekeeping import KEEP_KEYS

    return KEEP_KEYS


def _open_branches(at: datetime) -> None:
    """Give every branch the company's use cases, a team or two, and a budget for each of its use cases."""
    from budgets.services import budgets
    from catalog.models import Team
    from catalog.services import teams, use_cases
    from controlplane.seed import company

    founded = at - timedelta(days=DAYS + 30)
    for suffix, of_branch in zip(BRANCHES[1:], TEAMS, strict=True):
        known: dict[str, Team] = {name: teams.create(name=name, by=_BY, at=founded) for name in of_branch}
        for team, owned in company.TEAMS.items():
            to = known[of_branch[0] if team == _CARE else of_branch[-1]]
            for name, title, owner in owned:
                use_cases.create(
                    name=f"{name}{suffix}", title=f"{title} ({of_branch[0].split()[0]})",
                    owner=f"{owner}@{company.DOMAIN}", team=to, team_since=founded, by=_BY, at=founded,
                )  # fmt: skip
                budgets.create(
                    name=f"{name}{suffix} on frontier models", scope={"use_case": [f"{name}{suffix}"]},
                    unit="frontier_tokens", period="month", zone=company.ZONE, action="alert", amount=Decimal(1000),
                    reason="A branch's share of the year", by=_BY, at=founded,
                )  # fmt: skip


def _book_elsewhere(plan: Any) -> None:
    """Book calls of the fourth gateway, which has the same models from other providers."""
    from catalog.services import gateways
    from controlplane.seed import company
    from usage.models import Source, SourceKind
    from usage.services import booking, imports, intake

    for name, _ in company.GATEWAYS:
        gateway = _gateway(name)
        intake.live_source(gateway_id=gateway, at=plan.starts_at)
    gateways.create_key(name=CLOUD, gateway=CLOUD, scopes=["usage:write"], by=_BY, at=plan.starts_at)
    cloud = _gateway(CLOUD)
    intake.live_source(gateway_id=cloud, at=plan.starts_at)
    source = imports.open_import(
        gateway_id=cloud, covers=(plan.starts_at, plan.now), by=_BY, at=plan.now, note="Three months of logs"
    )
    told = _told_elsewhere(plan)
    while batch := list(islice(told, 2000)):
        intake.take(
            source_id=source.pk, environment="production", format="native", events=batch, rejected=[],
            received_at=plan.now,
        )  # fmt: skip
        booking.book_pending(at=plan.now)
    Source.objects.filter(pk=source.pk, kind=SourceKind.IMPORT).update(closed_at=plan.now)


def _told_elsewhere(plan: Any) -> Iterator[Event]:
    from controlplane.seed import story

    served = {one.model: name for name, one in story.SERVED.items()}
    first, until = (plan.now - SHIFT).date(), plan.days[-1] + timedelta(days=1)
    for number, event in enumerate(story.events(plan, gateway=story.LITELLM, first=first, until=until)):
        name = served.get(event.model, "")
        if number % _EACH == 0 and name in _ELSEWHERE:
            yield msgspec.structs.replace(
                event, event_id=f"cloud-{event.event_id}", provider=_ELSEWHERE[name], model=name, call_group="",
            )  # fmt: skip


def _gateway(name: str) -> int:
    from catalog.models import Gateway

    return int(Gateway.objects.get(name=name).pk)


def _branches_table(cursor: psycopg.Cursor[Any]) -> None:
    """Say for each use case and branch which one it is there."""
    cursor.execute(
        "CREATE TEMP TABLE branch AS SELECT u.id AS use_case_id, n.branch - 1 AS branch, c.id AS to_use_case, "
        "t.team_id AS to_team FROM catalog_usecase u, unnest(%s::text[]) WITH ORDINALITY AS n(suffix, branch) "
        "JOIN catalog_usecase c ON true JOIN catalog_usecaseteam t ON t.use_case_id = c.id "
        "WHERE n.suffix <> '' AND c.name = u.name || n.suffix",
        [list(BRANCHES)],
    )


def _sums(starts_at: datetime, ends_at: datetime, *, at_once: int, progress: Progress) -> None:
    from django.db import transaction

    from usage.selectors import kept, recount

    calendar = kept.current()
    days = [day for day in calendar.days() if starts_at.date() - timedelta(days=2) <= day <= ends_at.date()]
    for first in range(0, len(days), at_once):
        some = days[first : first + at_once]
        with transaction.atomic():
            recount.write_many_anew(first=some[0], last=some[-1], zone=calendar.zone, tags=calendar.declared_tags)
        progress(f"sums of {first + len(some)} of {len(days)} days")


def _close(*, first: date, at: datetime) -> None:
    """Close the months that a finance team would have closed: all but the last one and the one that runs."""
    from core.periods import add_months
    from usage.models import Month
    from usage.services import months

    closed = set(Month.objects.values_list("label", flat=True))
    label = first.replace(day=1)
    while label < add_months(at.date().replace(day=1), -1):
        if label not in closed:
            months.close_month(label=label, by=_BY, at=at, reason="Books of the month are done")
        label = add_months(label, 1)


def _count(*, at: datetime, progress: Progress) -> None:
    """Give budgets the limits that so many calls need, and have their counters summed anew."""
    from django.db.models import Min

    from budgets.models import Budget, Counter
    from budgets.services import building, limits
    from usage.selectors import counters, drivers
    from usage.services import outlooks

    first = Counter.objects.aggregate(first=Min("period_start"))["first"]
    compared = counters.compare(at=at, sure=lambda period: True, kept=lambda period: True, within=(first or at, at))
    most: dict[int, Decimal] = {}
    for one in compared:
        most[one.definition.id] = max(most.get(one.definition.id, Decimal(0)), one.recounted[0])
    for number, budget in enumerate(Budget.objects.filter(pk__in=most).order_by("pk")):
        amount = (most[budget.pk] * (Decimal("0.9") + Decimal(number % 8) / 5)).quantize(Decimal(1)) + 1000
        limits.set_limit(
            budget=budget, amount=amount, reason="The company has grown", by=_BY, approved_by=_BY, at=at,
        )  # fmt: skip
    for one in compared:
        if one.differs or one.counter_id is None:
            building.start_again(budget_id=one.definition.id, period=one.period)
    for counter_id in building.waiting_to_build():
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=at, explain=drivers.explain)
        progress(f"counter {counter_id}")
    outlooks.look(at=at)


def _chores(*, at: datetime) -> None:
    """Do what concerns reads of the chores of every hour; a house that was kept may have new tables."""
    from usage.services import analysing, past

    past.gather(at=at)
    analysing.analyse()


def main(entries: int) -> None:
    """Found the company where it is not there yet, and tell so many entries more; none with 0."""
    from django.conf import settings
    from django.core.management import call_command
    from django.utils import timezone

    from controlplane import seed
    from usage.models import Receipt

    tell = teller("a year")
    call_command("migrate", verbosity=0)
    if not seed.is_filled():
        found(at=timezone.now(), progress=tell)
    if not entries:
        _chores(at=timezone.now())
        return
    newest = Receipt.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    fill(entries=entries, at=(newest or timezone.now()).astimezone(UTC), progress=tell)
    settle(settings.DATABASE_URL)
    _chores(at=timezone.now())
    tell("done\n")


if __name__ == "__main__":
    import django

    django.setup()
    main(int(sys.argv[1]))
