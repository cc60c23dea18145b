"""Everything a booking looks up, kept in memory and checked against the database once per booking."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from django.db import connection

from catalog.models import Offering
from catalog.rules import Book, OfferingFacts
from catalog.selectors import snapshot
from core import periods
from usage.models import Month, Source, SourceKind


@dataclass(frozen=True, slots=True)
class SourceFacts:
    id: int
    gateway_id: int
    live: bool
    audit: bool
    accounting_format: str
    covers: tuple[datetime, datetime] | None = None  # of an import: the event times it may hold


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    label: date
    starts_at: datetime
    ends_at: datetime


class Interned(OrderedDict[bytes, int]):
    """Ids by digest, the least recently used forgotten: contexts are as many as gateways make them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def look(self, digest: bytes) -> int | None:
        found = self.get(digest)
        if found is not None:
            self.move_to_end(digest)
        return found

    def learn(self, ids: Mapping[bytes, int]) -> None:
        self.update(ids)
        while len(self) > self._most:
            self.popitem(last=False)


@dataclass(slots=True)
class World:
    """The catalogue, the organisation's calendar, sources and closed months as of one catalogue revision."""

    book: Book
    zone: str
    declared_tags: tuple[str, ...]
    sources: dict[int, SourceFacts]
    imported: dict[int, tuple[tuple[datetime, datetime], ...]]  # counted imports by gateway
    closed: tuple[ClosedMonth, ...]
    closed_until: datetime | None  # nothing at or after it is closed
    _days: dict[int, date] = field(default_factory=dict)

    def day_of(self, bucket: int) -> date:
        """Return the organisation's day that a quarter hour (POSIX seconds) lies in."""
        day = self._days.get(bucket)
        if day is None:
            day = self._days[bucket] = periods.local_day(datetime.fromtimestamp(bucket, UTC), self.zone)
        return day

    def closed_month(self, at: datetime) -> date | None:
        """Return the closed month that an instant lies in."""
        if self.closed_until is None or at >= self.closed_until:
            return None
        for month in self.closed:
            if month.starts_at <= at < month.ends_at:
                return month.label
        return None

    def open_from(self, at: datetime) -> datetime:
        """Return the moment to book at what belongs to a closed month: now, and never inside a month closed already.

        A booking's clock may stand before the end of a month that was closed while it waited to begin.
        """
        return at if self.closed_until is None else max(at, self.closed_until)

    def counted_elsewhere(self, gateway_id: int, at: datetime) -> bool:
        """Say whether a counted import already holds a gateway's events of that time."""
        return any(starts <= at < ends for starts, ends in self.imported.get(gateway_id, ()))


contexts = Interned(50_000)
rates = Interned(5_000)
_world: World | None = None


def current() -> World:
    """Return the world as of now. One query, and a reload where the catalogue, a source or a month changed.

    Call it with the booking barrier held, so that a change that committed before is seen.
    """
    global _world
    with connection.cursor() as cursor:
        cursor.execute("SELECT r.number, o.zone, o.declared_tags FROM catalog_revision r, core_organisation o")
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("the first rows are missing: run manage.py migrate")
    number, zone, tags = int(row[0]), str(row[1]), tuple(row[2])
    if _world is None or _world.book.revision != number or _world.zone != zone or _world.declared_tags != tags:
        _world = _load(zone, tags)
    return _world


def forget() -> None:
    """Drop what is kept in memory; for tests, which roll the database back under it."""
    global _world
    _world = None
    contexts.clear()
    rates.clear()


def _load(zone: str, tags: tuple[str, ...]) -> World:
    sources: dict[int, SourceFacts] = {}
    imported: dict[int, tuple[tuple[datetime, datetime], ...]] = {}
    for source in Source.objects.all():
        live = source.kind == SourceKind.LIVE
        covers = None if source.covers is None else (source.covers.lower, source.covers.upper)
        sources[source.pk] = SourceFacts(
            source.pk, source.gateway_id, live, source.audit, source.accounting_format, covers
        )
        if not live and not source.audit and covers is not None:
            imported[source.gateway_id] = (*imported.get(source.gateway_id, ()), covers)
    closed = tuple(ClosedMonth(m.label, m.starts_at, m.ends_at) for m in Month.objects.order_by("label"))
    return World(
        book=snapshot.load(),
        zone=zone,
        declared_tags=tags,
        sources=sources,
        imported=imported,
        closed=closed,
        closed_until=max((m.ends_at for m in closed), default=None),
    )


def offering_facts(ids: list[int]) -> dict[int, OfferingFacts]:
    """Read offerings that booking has just made. One query."""
    rows = Offering.objects.filter(pk__in=ids).values_list("id", "name", "model__name", "provider__name")
    return {id_: OfferingFacts(id_, name, model, provider) for id_, name, model, provider in rows}
