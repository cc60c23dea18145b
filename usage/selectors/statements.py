"""Providers' statements as they stand: files, the days that each counts for, and sums of their lines.

Which file counts for a day: Note [Which file counts] in `usage/services/statements.py`. Days are UTC days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection

from usage.models import StatementFile
from usage.statements import FORMATS

MEASURES = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "requests", "cost_usd")
TOKENS = MEASURES[:-1]  # what usage exports count
COST = "cost_usd"
_ONE_DAY = timedelta(days=1)

Figure = int | Decimal
Figures = dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file as it was imported; `counting_days` are whole days of it that no newer file took over."""

    id: int
    format: str
    title: str
    provider: str
    account: str
    gateway: str | None
    file_name: str
    first_day: date
    last_day: date
    partial_days: Sequence[date]
    notes: Sequence[str]
    lines: int
    imported_at: datetime
    imported_by: str
    withdrawn_at: datetime | None
    withdrawn_by: str
    withdrawn_why: str
    counting_days: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of export of one account: which of its files counts for which day of a range."""

    format: str
    account: str
    gateway: str | None  # of its newest file
    files: Mapping[date, int]

    @property
    def provider(self) -> str:
        return FORMATS[self.format].provider

    @property
    def title(self) -> str:
        title = FORMATS[self.format].title
        return f"{title}, account {self.account}" if self.account else title


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What is known of one provider's days in a range.

    Of an export's days those are compared that every account's export of that kind holds whole.
    """

    provider: str
    streams: Sequence[Stream]
    usage_days: frozenset[date]
    cost_days: frozenset[date]
    missing: Sequence[tuple[Stream, Sequence[date]]]  # days that an export of the range does not hold whole
    gateways: frozenset[str] = field(default_factory=frozenset)  # to which every account is bound; empty: any


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a provider says of a model and day. A measure that no line tells is not in `figures`."""

    provider: str
    model: str
    day: date
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class KeyLine:
    """What a provider says of a key, project and service tier, over the days that are compared."""

    key: str
    project: str
    service_tier: str
    item: str
    figures: Figures


def files(*, before: int | None = None, only: int | None = None, most: int = 100) -> list[FileRow]:
    """Return files, the newest first, withdrawn ones too; older than the file `before` where that is given.

    Two queries.
    """
    rows = StatementFile.objects.select_related("gateway").order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    if only is not None:
        rows = rows.filter(pk=only)
    shown = list(rows[:most])
    counting: dict[int, int] = {}
    if shown:
        first, last = min(row.first_day for row in shown), max(row.last_day for row in shown)
        for stream in streams(first=first, last=last):
            for file_id in stream.files.values():
                counting[file_id] = counting.get(file_id, 0) + 1
    return [
        FileRow(
            id=row.pk,
            title=FORMATS[row.format].title if row.format in FORMATS else row.format,
            provider=FORMATS[row.format].provider if row.format in FORMATS else "",
            gateway=row.gateway.name if row.gateway else None,
            counting_days=counting.get(row.pk, 0),
            **{name: getattr(row, name) for name in _SAME},
        )
        for row in shown
    ]


_SAME = (
    "format", "account", "file_name", "first_day", "last_day", "partial_days", "notes", "lines", "imported_at",
    "imported_by", "withdrawn_at", "withdrawn_by", "withdrawn_why",
)  # fmt: skip


def streams(*, first: date, last: date, providers: Sequence[str] = ()) -> list[Stream]:
    """Return the exports that hold a day of [first, last], in order of format and account. One query."""
    wanted = [name for name, one in FORMATS.items() if not providers or one.provider in providers]
    rows = (
        StatementFile.objects.filter(
            withdrawn_at__isnull=True, format__in=wanted, first_day__lte=last, last_day__gte=first
        )
        .order_by("pk")
        .values_list("id", "format", "account", "gateway__name", "first_day", "last_day", "partial_days")
    )
    found: dict[tuple[str, str], dict[date, int]] = {}
    gateways: dict[tuple[str, str], str | None] = {}
    for id_, format_, account, gateway, begins, ends, partial in rows:
        stream = found.setdefault((format_, account), {})
        gateways[format_, account] = gateway
        for day in days(max(first, begins), min(last, ends)):
            if day not in partial:
                stream[day] = id_  # a newer file than any before
    return [
        Stream(format=format_, account=account, gateway=gateways[format_, account], files=held)
        for (format_, account), held in sorted(found.items())
    ]


def latest_day() -> date | None:
    """Return the last whole day that any file tells of. One query."""
    rows = (
        StatementFile.objects.filter(withdrawn_at__isnull=True)
        .order_by("-last_day")
        .values_list("first_day", "last_day", "partial_days")[:50]
    )
    whole = (
        next((day for day in reversed(days(begins, ends)) if day not in partial), None)
        for begins, ends, partial in rows
    )
    return max((day for day in whole if day is not None), default=None)


def coverage(*, first: date, last: date, providers: Sequence[str] = ()) -> list[Coverage]:
    """Return each provider with an export of [first, last], by name, and its days that can be compared. One query."""
    by_provider: dict[str, list[Stream]] = {}
    for stream in streams(first=first, last=last, providers=providers):
        by_provider.setdefault(stream.provider, []).append(stream)
    asked = days(first, last)
    found = []
    for provider, its in sorted(by_provider.items()):
        bound = [stream.gateway for stream in its]
        found.append(
            Coverage(
                provider=provider,
                streams=its,
                usage_days=_held_by_all([one for one in its if FORMATS[one.format].usage], asked),
                cost_days=_held_by_all([one for one in its if FORMATS[one.format].costs], asked),
                missing=[(one, lacking) for one in its if (lacking := [day for day in asked if day not in one.files])],
                gateways=frozenset(name for name in bound if name) if all(bound) else frozenset(),
            )
        )
    return found


def _held_by_all(its: Sequence[Stream], asked: Sequence[date]) -> frozenset[date]:
    return frozenset(day for day in asked if its and all(day in one.files for one in its))


_SUMS = ", ".join(f"sum(s.{name})" for name in MEASURES)
_COUNTED = """
    FROM unnest(%(files)s::bigint[], %(days)s::date[]) AS counted (file_id, day)
    JOIN provider_statement s ON s.file_id = counted.file_id AND s.day = counted.day
"""


def said(covered: Iterable[Coverage]) -> list[Said]:
    """Return what providers say of each model and day that can be compared. One query."""
    covered = list(covered)
    by_provider = {one.provider: one for one in covered}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT s.provider, s.model, s.day, {_SUMS} {_COUNTED} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            _pairs(covered),
        )
        rows = cursor.fetchall()
    return [
        Said(
            provider=provider,
            model=model,
            day=day,
            figures=_of_days(dict(zip(MEASURES, sums, strict=True)), day, by_provider[provider]),
        )
        for provider, model, day, *sums in rows
    ]


def keys(covered: Coverage, *, models: Sequence[str], most: int) -> list[KeyLine]:
    """Return what a provider says of models (in its words) by key and project, most first. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT s.key, s.project, s.service_tier, s.item, {_SUMS} {_COUNTED}
            WHERE s.model = ANY(%(models)s) GROUP BY 1, 2, 3, 4
            ORDER BY sum(s.cost_usd) DESC NULLS LAST, sum(s.input_tokens + s.output_tokens) DESC NULLS LAST, 1, 2, 3, 4
            LIMIT %(most)s
            """,
            {**_pairs([covered]), "models": list(models), "most": most},
        )
        rows = cursor.fetchall()
    return [
        KeyLine(
            key=key,
            project=project,
            service_tier=tier,
            item=item,
            figures=_given(dict(zip(MEASURES, sums, strict=True))),
        )
        for key, project, tier, item, *sums in rows
    ]


def _pairs(covered: Iterable[Coverage]) -> dict[str, list[object]]:
    """Return the files that count, each with a day of it that is compared."""
    ids: list[object] = []
    on: list[object] = []
    for one in covered:
        for stream in one.streams:
            kind = FORMATS[stream.format]
            wanted = (one.usage_days if kind.usage else frozenset()) | (one.cost_days if kind.costs else frozenset())
            for day in sorted(wanted & stream.files.keys()):
                ids.append(stream.files[day])
                on.append(day)
    return {"files": ids, "days": on}


def _of_days(sums: dict[str, Figure | None], day: date, of: Coverage) -> Figures:
    """Leave out what is not compared on a day: tokens without a whole usage export, costs without one of costs."""
    return {
        name: value for name, value in _given(sums).items() if day in (of.cost_days if name == COST else of.usage_days)
    }


def _given(sums: dict[str, Figure | None]) -> Figures:
    return {name: (value if name == COST else int(value)) for name, value in sums.items() if value is not None}


def days(first: date, last: date) -> list[date]:
    """Return every day from the first to the last, both included."""
    return [first + _ONE_DAY * n for n in range((last - first).days + 1)]
