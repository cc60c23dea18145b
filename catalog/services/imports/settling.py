"""What a person decides about proposals: accepted, they are prices of the book; rejected, they are not said again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from catalog.models import ClaimState, HourWindow, Offering, Price, PriceProposal, PriceSeries, ProposalKind
from catalog.models import ProposalState as State
from catalog.rules.comparing import Booked, SeriesKey, quoted_hours
from catalog.rules.proposed import ProposedLine, read
from catalog.selectors import snapshot
from catalog.services import offerings, prices, turns
from catalog.services.imports.reading import booked
from catalog.services.labels import since
from catalog.sources.quotes import QuotedHours
from core.errors import Conflict, Invalid, NotFound
from core.services import audit

MOST_AT_ONCE = 200  # a price takes some statements; more would keep a browser waiting
_ONE_TICK = timedelta(microseconds=1)
_NAMED = 5


class Stale(Conflict):
    """A proposal is settled already, or the book is not what it was when the proposal was made."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What came of settling proposals. Prices that ended are those of offerings that their source lists no more."""

    proposals: int
    offerings: tuple[str, ...]
    prices_set: int = 0
    prices_ended: int = 0


@dataclass(frozen=True, slots=True)
class _Open:
    """A proposal to be accepted, with its lines read."""

    row: PriceProposal
    lines: tuple[ProposedLine, ...]

    @property
    def name(self) -> str:
        return self.row.offering_name

    @property
    def to_do(self) -> tuple[ProposedLine, ...]:
        return tuple(line for line in self.lines if line.differs)


@transaction.atomic(durable=True)
def accept(*, proposal_ids: Collection[int], by: str, at: datetime, reason: str = "") -> Settled:
    """Put proposals in force, all or none; see `apply`."""
    return apply(proposal_ids=proposal_ids, by=by, at=at, reason=reason)


@transaction.atomic
def apply(*, proposal_ids: Collection[int], by: str, at: datetime, reason: str = "") -> Settled:
    """Put proposals in force in the caller's transaction, all or none.

    Offerings that are missing are made, one that waits is claimed, and so are hours of the day that have no window yet.
    Prices without a date hold from now on, those of an offering that was new from 2025 on. All prices are set in one
    call, so that what they change of the past is one amendment. Of an offering that is gone, prices of that source end
    now, and their note says why. A dispute that is accepted lets the book stand.

    Raises:
        NotFound: there is no such proposal.
        Stale: one is settled already, or the book's prices or names are not those that it was made beside.
        Invalid: none or too many are named, two are about one offering, or a price cannot be.
        LimitDisagrees: a context tier is known with the other kind of limit.
    """
    turns.acting(by=by, reason=reason)
    chosen = [_Open(row, tuple(map(read, row.lines))) for row in _locked(proposal_ids)]
    _refuse_doubles(chosen)
    known = _known(chosen)
    # All at once and in order, before anything is written: whoever sets one of these prices meanwhile waits here.
    pairs = {(one.model_id, one.provider_id) for one in known.values()}
    locked = PriceSeries.objects.select_for_update().filter(
        model__in={model for model, _ in pairs}, provider__in={provider for _, provider in pairs}, contract=None
    )
    list(locked.order_by("id").values_list("id"))
    held = booked([one.pk for one in known.values()])
    _refuse_stale(chosen, known, held, at)

    windows = _windows(line.hours for one in chosen for line in one.to_do if line.hours)
    new: list[prices.NewPrice] = []
    ended = 0
    for one in chosen:
        if one.row.kind == ProposalKind.GONE:
            ended += _end(held[known[one.name].pk], one.row, by=by, at=at)
        elif one.to_do:
            model, _, provider = one.name.rpartition("@")
            offering = offerings.ensure(model=model, provider=provider, by=by)
            new += _prices(one, offering, windows, at)
    done = prices.set_prices(new, by=by, approved_by=by, at=at, reason=reason) if new else []
    _settle(chosen, State.ACCEPTED, by=by, at=at)
    return Settled(
        proposals=len(chosen),
        offerings=tuple(sorted(one.name for one in chosen)),
        prices_set=sum(one.written for one in done),
        prices_ended=ended,
    )


@transaction.atomic(durable=True)
def reject(*, proposal_ids: Collection[int], by: str, at: datetime, reason: str = "") -> Settled:
    """Say no to proposals, all or none. The book stays, and they are not made again while their table says the same.

    Raises:
        NotFound: there is no such proposal.
        Stale: one is settled already.
        Invalid: none or too many are named.
    """
    audit.acting(by=by, reason=reason)
    chosen = [_Open(row, ()) for row in _locked(proposal_ids)]
    _settle(chosen, State.REJECTED, by=by, at=at)
    return Settled(proposals=len(chosen), offerings=tuple(sorted(one.name for one in chosen)))


def _locked(proposal_ids: Collection[int]) -> list[PriceProposal]:
    """Return open proposals, locked in the order of their ids."""
    wanted = sorted(set(proposal_ids))
    if not wanted:
        raise Invalid("Name the proposals.", [("ids", "none given")])
    if len(wanted) > MOST_AT_ONCE:
        raise Invalid(f"At most {MOST_AT_ONCE} proposals are settled at once.", [("ids", f"{len(wanted)} given")])
    rows = PriceProposal.objects.select_for_update(of=("self",)).select_related("of_import").filter(pk__in=wanted)
    found = list(rows.order_by("pk"))
    missing = set(wanted) - {row.pk for row in found}
    if missing:
        raise NotFound(f"There is no price proposal {min(missing)}.")
    settled = [row for row in found if row.state != State.OPEN]
    if settled:
        named = _names(f"{row.offering_name} ({row.get_state_display()})" for row in settled)
        raise Stale(f"Nothing was settled, because some are settled already: {named}.")
    return found


def _refuse_doubles(chosen: Sequence[_Open]) -> None:
    seen: dict[str, str] = {}
    for one in chosen:
        if one.row.kind == ProposalKind.DISPUTED:
            continue
        other = seen.setdefault(one.name.lower(), one.row.source)
        if other != one.row.source:
            sentence = f"{one.name} is proposed by {other} and by {one.row.source}: accept one of them."
            raise Invalid(sentence, [("ids", sentence)])


def _known(chosen: Sequence[_Open]) -> dict[str, Offering]:
    """Return those offerings that exist by now, by the name of the proposal. One query."""
    names = {one.name.lower(): one.name for one in chosen}
    rows = Offering.objects.filter(name__in=set(names.values()))
    return {names[row.name.lower()]: row for row in rows}


def _refuse_stale(
    chosen: Sequence[_Open], known: dict[str, Offering], held: dict[int, tuple[Booked, ...]], at: datetime
) -> None:
    book = None
    stale = []
    for one in chosen:
        offering = known.get(one.name)
        rows = held.get(offering.pk, ()) if offering is not None else ()
        if one.row.kind == ProposalKind.DISPUTED:
            continue
        if one.row.kind == ProposalKind.NEW:
            book = book or snapshot.load()
            model, _, provider = one.name.rpartition("@")
            means = book.offering(provider, model, at)
            means = book.offerings[means].name if isinstance(means, int) else means
            if rows or means.lower() != one.name.lower():
                stale.append(one.name)
        elif offering is None or _moved(one, rows):
            stale.append(one.name)
        elif offering.state == ClaimState.MERGED and one.row.kind != ProposalKind.GONE:
            stale.append(one.name)  # its names mean another offering by now
    if stale:
        raise Stale(
            f"Nothing was accepted, because the book has changed since the import: {_names(stale)}. Import again, and "
            "look at what differs now."
        )


def _moved(one: _Open, rows: Sequence[Booked]) -> bool:
    """Say whether a series that the proposal would change has other prices than it had."""
    ids: dict[SeriesKey, list[int]] = {}
    for row in rows:
        ids.setdefault(row.key, []).append(row.price.id)
    return any(tuple(sorted(ids.get(line.key, ()))) != line.book_ids for line in one.to_do)


def _windows(wanted: Iterable[QuotedHours]) -> dict[QuotedHours, HourWindow]:
    """Return the window of all hours that are named, made where the catalogue has none, whatever it is called."""
    hours = set(wanted)
    if not hours:
        return {}
    known = {quoted_hours(snapshot.hours_of(row)): row for row in HourWindow.objects.order_by("-pk")}
    found = {}
    for one in sorted(hours, key=lambda each: each.name):
        row = known.get(one)
        if row is None:
            facts = {"zone": one.zone, "weekdays": list(one.weekdays), "starts": one.starts, "ends": one.ends}
            row, made = HourWindow.objects.get_or_create(name=one.name, defaults=facts)
            if not made:
                raise Conflict(f"The hours {one.name} are others in the catalogue than in the table.")
        found[one] = row
    return found


def _prices(
    one: _Open, offering: Offering, windows: dict[QuotedHours, HourWindow], at: datetime
) -> list[prices.NewPrice]:
    """Return an offering's prices in one order for all, so that who sets the same ones waits instead of deadlocking."""
    found = []
    for line in one.to_do:
        starts = line.valid_from or at
        if line.usd_per_1m is None or (line.valid_until is not None and line.valid_until <= starts):
            continue  # its time is over by now
        found.append(
            prices.NewPrice(
                offering=offering,
                meter=line.meter,
                usd_per_1m=line.usd_per_1m,
                valid_from=starts,
                valid_until=line.valid_until,
                context_over=line.context_over,
                context_inclusive=line.context_inclusive,
                service_tier=line.service_tier or None,
                region=line.region or None,
                hour_window=windows[line.hours] if line.hours else None,
                source=one.row.source,
                source_version=one.row.of_import.version,
                source_url=line.source_url[:500],
                note=line.note,
            )
        )
    return found


def _end(rows: Sequence[Booked], proposal: PriceProposal, *, by: str, at: datetime) -> int:
    """End all that the source said of an offering; what would have begun later is not recorded any more."""
    ids = [row.price.id for row in rows if row.source == proposal.source and row.ends > at]
    ended = list(Price.objects.filter(pk__in=ids, recorded__upper_inf=True).order_by("pk"))
    word = f"{proposal.source} {proposal.of_import.version}".strip()
    anew = []
    for old in ended:
        recorded_at = max(at, old.recorded.lower + _ONE_TICK)
        Price.objects.filter(pk=old.pk).update(recorded=since(old.recorded.lower, recorded_at))
        if old.valid.lower is None or old.valid.lower < at:
            anew.append(
                Price(
                    series_id=old.series_id,
                    usd_per_1m=old.usd_per_1m,
                    valid=since(old.valid.lower, at),
                    recorded=since(recorded_at),
                    source=old.source,
                    source_version=old.source_version,
                    source_url=old.source_url,
                    note=" ".join(filter(None, [old.note, f"Ended: {word} lists it no more."])),
                    entered_by=by,
                    approved_by=by,
                )
            )
    Price.objects.bulk_create(anew)
    return len(ended)


def _settle(chosen: Sequence[_Open], state: State, *, by: str, at: datetime) -> None:
    PriceProposal.objects.filter(pk__in=[one.row.pk for one in chosen]).update(
        state=state, settled_by=by, settled_at=at
    )


def _names(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:_NAMED]) + (f" and {len(some) - _NAMED} more" if len(some) > _NAMED else "")
