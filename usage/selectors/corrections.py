"""What became of changes to the past: each amendment of the catalogue, its run, and the restatement that it left.

Beside them stand prices that arrived for what waited for one: those come from no amendment. A key names either: `a12`
is amendment 12, `j34` the job 34 that priced what had waited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from catalog.models import Amendment, AmendmentKind, Offering, Price, UseCase
from core.models import AuditEntry, Job
from usage.models import PRICE_ARRIVED, Month, Restatement
from usage.rules.rating import usd

IN_LINE, RUNNING, RESTATED, NOTHING, FAILED = "in_line", "running", "restated", "nothing", "failed"
STATES = (IN_LINE, RUNNING, RESTATED, NOTHING, FAILED)
UNFINISHED = (IN_LINE, RUNNING, FAILED)
KINDS = (*AmendmentKind.values, PRICE_ARRIVED)

_MOST_AUDITED = 50
_MOST_PRICES = 200
_MOST_UNFINISHED = 100
_AT_THAT_MOMENT = timedelta(seconds=1)
_KEY = re.compile(r"([aj])(\d{1,18})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CorrectionRow:
    """A change to the past and how far its restating is.

    `state` is one of `STATES`; "nothing" says that the run found nothing to correct. `done` of `total` are entries
    looked at, `total` None before the run began. Figures are None until it is restated. `starts_at` and `ends_at` are
    the time that was changed, None where it is open. `tries_again_at` is when a run whose last try failed goes on.
    """

    key: str
    kind: str
    summary: str
    state: str
    by: str
    reason: str
    at: datetime
    starts_at: datetime | None
    ends_at: datetime | None
    job_id: int | None
    restatement_id: int | None
    done: int
    total: int | None
    entries: int | None
    before_usd: Decimal | None
    after_usd: Decimal | None
    unpriced_before: int | None
    unpriced_after: int | None
    error: str
    tries_again_at: datetime | None
    finished_at: datetime | None

    @property
    def difference_usd(self) -> Decimal | None:
        if self.before_usd is None or self.after_usd is None:
            return None
        return self.after_usd - self.before_usd

    @property
    def share_done(self) -> Decimal | None:
        """How much of the run is over, of 1; None where that is not known."""
        return min(Decimal(self.done) / self.total, Decimal(1)) if self.total else None


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What corrected entries cost before and after."""

    entries: int
    before_usd: Decimal
    after_usd: Decimal

    @property
    def difference_usd(self) -> Decimal:
        return self.after_usd - self.before_usd


@dataclass(frozen=True, kw_only=True)
class MonthSums:
    """The part of a month; what a closed one lacked was booked in the open month, marked."""

    month: date
    closed: bool
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class UseCaseSums:
    id: int
    name: str
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class OfferingConcerned:
    """An offering of the change, with the prices that the change recorded for it."""

    id: int
    name: str
    prices: tuple[PriceRecorded, ...]


@dataclass(frozen=True, kw_only=True)
class PriceRecorded:
    id: int
    meter: str
    usd_per_1m: Decimal
    valid_from: datetime | None
    valid_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Audited:
    """A line of the audit trail."""

    at: datetime
    actor: str
    reason: str
    table: str
    row: str
    operation: str


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One change in full. While it runs the sums are what has been corrected so far."""

    row: CorrectionRow
    taken_up_at: datetime | None
    again: tuple[tuple[datetime, str], ...]  # when and by whom a failed run was put in line again
    months: tuple[MonthSums, ...]
    use_cases: tuple[UseCaseSums, ...]  # largest difference first
    offerings: tuple[OfferingConcerned, ...]
    audit: tuple[Audited, ...]
    not_kept: tuple[date, ...] = ()  # UTC months of the time that was changed whose entries retention had dropped


# Everything in one shape. Amendments are thousands at most, and hashed beside as many jobs.
_ALL = f"""
    SELECT q.*, CASE
            WHEN q.restatement_id IS NOT NULL THEN '{RESTATED}'
            WHEN q.job_state IN ('failed', 'cancelled') THEN '{FAILED}'
            WHEN q.job_state = 'running' THEN '{RUNNING}'
            WHEN q.job_state = 'done' THEN '{NOTHING}'
            ELSE '{IN_LINE}'
        END AS state
    FROM (
        SELECT 'a' AS letter, a.id, a.kind, a.summary, a.by, a.reason, a.at, a.starts_at, a.ends_at, j.id AS job_id,
            j.state AS job_state, j.done, j.total, j.error, j.leased_until, j.finished_at, r.id AS restatement_id,
            r.before, r.after
        FROM catalog_amendment a
        LEFT JOIN usage_correction c ON c.amendment_id = a.id
        LEFT JOIN core_job j ON j.id = c.job_id
        LEFT JOIN usage_restatement r ON r.job_id = j.id
        UNION ALL
        SELECT 'j', j.id, '{PRICE_ARRIVED}', 'a price arrived for ' || coalesce(o.name, 'an offering'), j.created_by,
            coalesce(r.reason, ''), j.created_at, NULL::timestamptz, NULL::timestamptz, j.id, j.state, j.done, j.total,
            j.error, j.leased_until, j.finished_at, r.id, r.before, r.after
        FROM core_job j
        LEFT JOIN usage_restatement r ON r.job_id = j.id
        LEFT JOIN catalog_offering o
            ON o.id = CASE WHEN j.kind = '{PRICE_ARRIVED}' THEN (j.arguments ->> 'offering')::bigint END
        WHERE j.kind = '{PRICE_ARRIVED}' AND (j.state <> 'done' OR r.id IS NOT NULL)
    ) q
"""
_COLUMNS = (
    "s.letter || s.id AS key, s.kind, s.summary, s.state, s.by, s.reason, s.at, s.starts_at, s.ends_at, s.job_id, "
    "s.restatement_id, coalesce(s.done, 0) AS done, s.total, (s.before ->> 'entries')::bigint AS entries, "
    "(s.before ->> 'cost_usd')::numeric AS before_usd, (s.after ->> 'cost_usd')::numeric AS after_usd, "
    "(s.before ->> 'unpriced_tokens')::bigint AS unpriced_before, "
    "(s.after ->> 'unpriced_tokens')::bigint AS unpriced_after, "
    # What went wrong once and is over says nothing any more.
    f"CASE WHEN s.state IN ('{FAILED}', '{RUNNING}', '{IN_LINE}') THEN coalesce(s.error, '') ELSE '' END AS error, "
    f"CASE WHEN s.state = '{RUNNING}' AND s.error <> '' THEN s.leased_until END AS tries_again_at, s.finished_at"
)
_NEWEST = "s.at DESC, s.letter DESC, s.id DESC"


def listed(
    *, states: Sequence[str] = (), before: tuple[datetime, str, int] | None = None, most: int
) -> list[CorrectionRow]:
    """Return changes to the past, newest first, `most` at most; `before` is the `place` of the last one seen.

    Without `states` all of them. One query.
    """
    conditions = ["true"]
    parameters: dict[str, Any] = {"most": most}
    if states:
        conditions.append("s.state = ANY(%(states)s)")
        parameters["states"] = list(states)
    if before is not None:
        conditions.append("(s.at, s.letter, s.id) < (%(at)s, %(letter)s, %(id)s)")
        parameters |= dict(zip(("at", "letter", "id"), before, strict=True))
    return _rows(" AND ".join(conditions), parameters)


def place(row: CorrectionRow) -> tuple[datetime, str, int]:
    """Return where a row stands in the list, for asking for those after it."""
    return row.at, row.key[0], int(row.key[1:])


def counts() -> dict[str, int]:
    """Return how many there are in each state. One query."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT s.state, count(*) FROM ({_ALL}) s GROUP BY s.state")
        found = dict(cursor.fetchall())
    return {state: int(found.get(state, 0)) for state in STATES}


def unfinished(*, starts_at: datetime, ends_at: datetime) -> list[CorrectionRow]:
    """Return what is in line, runs or failed and may concern calls of [starts_at, ends_at), newest first. One query."""
    return _rows(
        "s.state = ANY(%(states)s) AND (s.starts_at IS NULL OR s.starts_at < %(ends_at)s) "
        "AND (s.ends_at IS NULL OR s.ends_at > %(starts_at)s)",
        {"states": list(UNFINISHED), "starts_at": starts_at, "ends_at": ends_at, "most": _MOST_UNFINISHED},
    )


def of_month(label: date, *, most: int) -> list[tuple[CorrectionRow, Sums]]:
    """Return what was restated of a month, newest first, with its part of it. One query.

    Prices that arrived keep no sums by month, and are left out.
    """
    key = f"{label:%Y-%m}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT s.before -> 'months' -> %(month)s, s.after -> 'months' -> %(month)s, {_COLUMNS} FROM ({_ALL}) s "
            f"WHERE jsonb_exists(s.before -> 'months', %(month)s) ORDER BY {_NEWEST} LIMIT %(most)s",
            {"month": key, "most": most},
        )
        names = [column.name for column in cursor.description][2:]
        return [
            (_row(dict(zip(names, rest, strict=True))), _sums(_read(before), _read(after)))
            for before, after, *rest in cursor.fetchall()
        ]


def one(key: str) -> Correction | None:
    """Return one in full, or None where nothing has that key. Nine queries at most."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    letter, number = match[1], int(match[2])
    rows = _rows("s.letter = %(letter)s AND s.id = %(id)s", {"letter": letter, "id": number, "most": 1})
    if not rows:
        return None
    row = rows[0]
    job = None if row.job_id is None else Job.objects.filter(pk=row.job_id).first()
    done = None if row.restatement_id is None else Restatement.objects.filter(pk=row.restatement_id).first()
    by_month, by_use_case = _parts(job, done)
    amendment = Amendment.objects.filter(pk=number).first() if letter == "a" else None
    offerings = _offerings(amendment, job)
    return Correction(
        row=row,
        taken_up_at=None if job is None else job.created_at,
        again=_again(job),
        months=_months(by_month, until=None if done is None else done.at),
        use_cases=_use_cases(by_use_case),
        offerings=offerings,
        audit=() if amendment is None else _audit(amendment, offerings),
        not_kept=tuple(map(date.fromisoformat, ((job.result if job else None) or {}).get("not_kept", ()))),
    )


def _rows(condition: str, parameters: Mapping[str, Any]) -> list[CorrectionRow]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM ({_ALL}) s WHERE {condition} ORDER BY {_NEWEST} LIMIT %(most)s", parameters
        )
        names = [column.name for column in cursor.description]
        return [_row(dict(zip(names, values, strict=True))) for values in cursor.fetchall()]


def _row(values: Mapping[str, Any]) -> CorrectionRow:
    return CorrectionRow(**values)


def _read(document: Any) -> Any:
    # Django reads jsonb as text and leaves the decoding to its fields.
    return msgspec.json.decode(document) if isinstance(document, str) else document


def _sums(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sums:
    return Sums(
        entries=int(before["entries"]), before_usd=Decimal(before["cost_usd"]), after_usd=Decimal(after["cost_usd"])
    )


def _parts(job: Job | None, done: Restatement | None) -> tuple[dict[str, Sums], dict[int, Sums]]:
    """Return sums by month and by use case: of the restatement, else of what the run has booked so far."""
    if done is not None:
        return (
            {key: _sums(before, done.after["months"][key]) for key, before in done.before.get("months", {}).items()},
            {
                int(key): _sums(before, done.after["use_cases"][key])
                for key, before in done.before.get("use_cases", {}).items()
            },
        )
    mark = {} if job is None else job.checkpoint
    return (
        {key: _so_far(row) for key, row in mark.get("months", {}).items()},
        {int(key): _so_far(row) for key, row in mark.get("by_use_case", {}).items()},
    )


def _so_far(row: Sequence[Any]) -> Sums:
    entries, before, after = row
    return Sums(entries=int(entries), before_usd=usd(int(before)), after_usd=usd(int(after)))


def _months(parts: Mapping[str, Sums], *, until: datetime | None) -> tuple[MonthSums, ...]:
    if not parts:
        return ()
    closed = dict(Month.objects.values_list("label", "closed_at"))
    found = []
    for key, sums in sorted(parts.items()):
        month = date.fromisoformat(f"{key}-01")
        closed_at = closed.get(month)
        # One that was closed after the run was corrected in itself.
        was_closed = closed_at is not None and (until is None or closed_at <= until)
        found.append(MonthSums(month=month, closed=was_closed, sums=sums))
    return tuple(found)


def _use_cases(parts: Mapping[int, Sums]) -> tuple[UseCaseSums, ...]:
    if not parts:
        return ()
    names = dict(UseCase.objects.filter(pk__in=parts).values_list("id", "name"))
    found = [UseCaseSums(id=id_, name=names.get(id_, f"#{id_}"), sums=sums) for id_, sums in parts.items()]
    return tuple(sorted(found, key=lambda one: (-abs(one.sums.difference_usd), one.name)))


def _again(job: Job | None) -> tuple[tuple[datetime, str], ...]:
    told = () if job is None else job.arguments.get("again", ())
    return tuple((datetime.fromisoformat(one["at"]), str(one["by"])) for one in told)


def _offerings(amendment: Amendment | None, job: Job | None) -> tuple[OfferingConcerned, ...]:
    if amendment is not None:
        ids = [*amendment.offerings]
        if amendment.kind == AmendmentKind.OFFERING and amendment.into_id is not None:
            ids.append(amendment.into_id)
    else:
        ids = [] if job is None else [int(job.arguments["offering"])]
    named = {
        id_: (name, model, provider)
        for id_, name, model, provider in Offering.objects.filter(pk__in=ids)
        .order_by("name")
        .values_list("id", "name", "model_id", "provider_id")
    }
    recorded = _prices(amendment, named.values()) if amendment is not None else {}
    return tuple(
        OfferingConcerned(id=id_, name=name, prices=tuple(recorded.get((model, provider), ())))
        for id_, (name, model, provider) in named.items()
    )


def _prices(amendment: Amendment, named: Iterable[tuple[str, int, int]]) -> dict[tuple[int, int], list[PriceRecorded]]:
    """Return the prices that an amendment's change recorded, by model and provider.

    They are those recorded at its moment (or microseconds later, after what they replace) for no other time than its
    own; what is left of a replaced price on either side of that was recorded anew beside them.
    """
    pairs = {(model, provider) for _, model, provider in named}
    if not pairs or amendment.kind not in (AmendmentKind.PRICES, AmendmentKind.CONTRACT):
        return {}
    rows = (
        Price.objects.filter(
            series__model__in={model for model, _ in pairs},
            series__provider__in={provider for _, provider in pairs},
            recorded__startswith__gte=amendment.at,
            recorded__startswith__lt=amendment.at + _AT_THAT_MOMENT,
            valid__contained_by=DateTimeTZRange(amendment.starts_at, amendment.ends_at, "[)"),
        )
        .select_related("series")
        .order_by("series__meter", "id")[:_MOST_PRICES]
    )
    found: dict[tuple[int, int], list[PriceRecorded]] = {}
    for price in rows:
        found.setdefault((price.series.model_id, price.series.provider_id), []).append(
            PriceRecorded(
                id=price.pk,
                meter=price.series.meter,
                usd_per_1m=price.usd_per_1m,
                valid_from=price.valid.lower,
                valid_until=price.valid.upper,
            )
        )
    return found


# Which rows a change writes that is no change of prices: what the audit trail tells of them is about the change.
_WRITTEN = {
    AmendmentKind.CONTRACT: (
        "catalog_contract",
        "SELECT id FROM catalog_contract WHERE lower(recorded) >= %(at)s AND lower(recorded) < %(soon)s",
    ),
    AmendmentKind.TIER: (
        "catalog_offeringtier",
        "SELECT id FROM catalog_offeringtier WHERE offering_id = ANY(%(offerings)s) AND lower(valid) = %(starts_at)s",
    ),
    AmendmentKind.OFFERING: (
        "catalog_alias",
        "SELECT id FROM catalog_alias WHERE offering_id = %(into)s AND lower(valid) = %(starts_at)s",
    ),
    AmendmentKind.USE_CASE: ("catalog_usecase", "SELECT %(use_case)s"),
    AmendmentKind.TEAM: ("catalog_team", "SELECT %(team)s"),
    AmendmentKind.USE_CASE_TEAM: (
        "catalog_usecaseteam",
        "SELECT id FROM catalog_usecaseteam WHERE use_case_id = %(use_case)s AND lower(valid) = %(starts_at)s",
    ),
}


def _audit(amendment: Amendment, offerings: Sequence[OfferingConcerned]) -> tuple[Audited, ...]:
    """Return what the audit trail says of the rows that the change wrote, under the name of who made it."""
    prices = [str(price.id) for one in offerings for price in one.prices]
    which = Q(table="catalog_price", row__in=prices) if prices else Q(pk__in=[])
    written = _WRITTEN.get(AmendmentKind(amendment.kind))
    if written is not None:
        table, sql = written
        with connection.cursor() as cursor:
            cursor.execute(
                sql,
                {
                    "at": amendment.at, "soon": amendment.at + _AT_THAT_MOMENT, "offerings": list(amendment.offerings),
                    "into": amendment.into_id, "use_case": amendment.use_case_id, "team": amendment.team_id,
                    "starts_at": amendment.starts_at,
                },
            )  # fmt: skip
            which |= Q(table=table, row__in=[str(id_) for (id_,) in cursor.fetchall()])
    rows = AuditEntry.objects.filter(which, actor=amendment.by).order_by("-id")[:_MOST_AUDITED]
    return tuple(
        Audited(at=one.at, actor=one.actor, reason=one.reason, table=one.table, row=one.row, operation=one.operation)
        for one in rows
    )
