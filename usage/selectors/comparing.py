"""What providers say beside what the ledger's sums say, by model or by day, with the reasons that can be named.

Both sides are of the same UTC days: those that every export of a kind holds whole. Tokens and requests come from usage
exports, costs from cost exports; one that an export does not tell (requests of Anthropic's) is not compared. Ours are
the sums of `GET spend`, from rollups: what reached the provider (ok, error, usage missing), without corrections of
closed months, which stand as a reason of their own. Differences are ours less the provider's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext

from django.db import connection
from django.db.models.functions import Lower

from catalog.models import Offering
from catalog.rules import Book, suggesting
from core.errors import Invalid
from usage.models import Status
from usage.selectors import statements, world
from usage.selectors.spend import Spend, SpendAsk, SpendRow, Sums, spends
from usage.selectors.statements import COST, MEASURES, TOKENS, Coverage, Figure, Figures, Said
from usage.statements import FORMATS

MOST_DAYS = 366
FIRST_YEAR, LAST_YEAR = 2000, 2200
USUAL_TOLERANCE = Decimal(1)  # per cent
CENT = Decimal("0.01")
AGREES, APART, THEIRS_ONLY, OURS_ONLY, NOT_COMPARED = "agrees", "apart", "theirs-only", "ours-only", "not-compared"
STATES = (AGREES, APART, THEIRS_ONLY, OURS_ONLY, NOT_COMPARED)
BY = ("model", "day")
# What a state is judged by. Requests that failed are counted by some providers and not by others; what was cached is a
# part of input, and of cost.
JUDGED = ("input_tokens", "output_tokens", COST)

_REACHED = tuple(str(status.label) for status in (Status.OK, Status.ERROR, Status.USAGE_MISSING))
_ONE_DAY = timedelta(days=1)
_DIGITS = 80


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One measure of both sides; None is "not told" or "not compared", never 0."""

    theirs: Figure | None
    ours: Figure | None

    @property
    def difference(self) -> Figure | None:
        """Return how much more we say; negative where it is less."""
        if self.theirs is None or self.ours is None:
            return None
        with localcontext() as context:
            context.prec = _DIGITS
            return self.ours - self.theirs

    @property
    def share(self) -> Decimal | None:
        """Return the difference as a share of what the provider says; None where that is nothing."""
        if not self.theirs or self.difference is None:
            return None
        with localcontext() as context:
            context.prec = _DIGITS
            return Decimal(self.difference) / abs(Decimal(self.theirs))

    def apart(self, tolerance: Decimal) -> bool:
        """Say whether the two differ by more than a tolerance in per cent; of money, by more than a cent, too."""
        difference = self.difference
        if not difference or self.theirs is None:
            return False
        with localcontext() as context:
            context.prec = _DIGITS
            if isinstance(difference, Decimal) and abs(difference) <= CENT:
                return False
            return abs(Decimal(difference)) * 100 > tolerance * abs(Decimal(self.theirs))


_NOT_TOLD = Pair(theirs=None, ours=None)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why two sides may differ: a code for programs, a sentence for people. Empty names mean all of them."""

    code: str
    text: str
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both sides of a model at a provider, or of one of its days."""

    provider: str
    model: str  # ours, or the provider's where we know none; empty: what the statement gives to no model
    offering: str  # where one of ours is meant
    day: date | None
    figures: Mapping[str, Pair]
    names: Sequence[str]  # what the provider calls it
    suggestion: str  # the offering that an unknown name probably means
    list_cost_usd: Decimal | None
    reasons: Sequence[Reason]
    state: str

    @property
    def tokens(self) -> Pair:
        """Return input and output together."""
        return Pair(theirs=_both(self.figures, "theirs"), ours=_both(self.figures, "ours"))


def _both(figures: Mapping[str, Pair], side: str) -> Figure | None:
    parts = [getattr(figures[name], side) for name in ("input_tokens", "output_tokens")]
    return None if None in parts else sum(parts)


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """Rows with the greatest difference of cost, else of tokens, first; days in their order. `total` sums them."""

    first: date
    last: date
    tolerance: Decimal
    by: str
    coverage: Sequence[Coverage]
    rows: Sequence[Row]
    total: Mapping[str, Pair]
    state: str
    reasons: Sequence[Reason]  # of no single row


@dataclass
class _Cell:
    """Both sides of a provider's model on a day while they are put together."""

    theirs: Figures = field(default_factory=dict)
    ours: Figures = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    offering: str = ""
    sums: Sums = field(default_factory=Sums)


_Cells = dict[tuple[str, str, date], _Cell]


def reconcile(
    *,
    first: date,
    last: date,
    at: datetime,
    by: str = "model",
    provider: str = "",
    model: str | None = None,
    tolerance: Decimal = USUAL_TOLERANCE,
) -> Reconciliation:
    """Compare UTC days, both included, by model or by day; of one provider and one model where those are given.

    `model` is as rows have it. Six queries, three more for each provider with exports of these days (four where it is
    bound to gateways), and one where names are not in the catalogue.

    Raises:
        Invalid: the days are none or too many, or a word means nothing.
    """
    _check(first, last, by, tolerance)
    covered = statements.coverage(first=first, last=last, providers=[provider] if provider else ())
    book = world.current().book
    said = statements.said(covered)
    models = _Models(book, said)
    cells: _Cells = {}
    for line in said:
        name, offering = models.of(line.provider, line.model, line.day)
        cell = cells.setdefault((line.provider, name, line.day), _Cell())
        cell.names.add(line.model)
        cell.offering = cell.offering or offering
        cell.theirs = _plus(cell.theirs, line.figures)
    told = _told(cells, covered)
    reasons: list[Reason] = [*_missing(covered, at)]
    asks = {one.provider: _asks(one, first, last, at, book) for one in covered}
    answers = iter(spends(asks=[ask for pair in asks.values() for ask in pair]) if any(asks.values()) else [])
    for one in covered:
        if asks[one.provider]:
            in_range, later = next(answers), next(answers)
            _fill(cells, one, in_range.rows)
            reasons += _corrections(one, in_range, later, model)
    if model is not None:
        cells = {key: cell for key, cell in cells.items() if key[1] == model}
    reasons += _silent_days(cells, covered, model or "")
    if kept_out := _kept_out(first, last):
        reasons.append(kept_out)
    rows = _rows(cells, covered, models, told, by=by, model=model, tolerance=tolerance)
    total = _total(rows)
    return Reconciliation(
        first=first,
        last=last,
        tolerance=tolerance,
        by=by,
        coverage=covered,
        rows=rows,
        total=total,
        state=_state(total, tolerance),
        reasons=reasons,
    )


def _check(first: date, last: date, by: str, tolerance: Decimal) -> None:
    problems = []
    if not all(FIRST_YEAR <= day.year <= LAST_YEAR for day in (first, last)):
        problems.append(("from", "These days are in no year that anything could be known of."))
    elif last < first:
        problems.append(("to", "The last day lies before the first."))
    elif (last - first).days >= MOST_DAYS:
        problems.append(("to", f"A range has {MOST_DAYS} days at most."))
    if by not in BY:
        problems.append(("by", f"By {' or '.join(BY)}."))
    if not 0 <= tolerance <= 100:
        problems.append(("tolerance", "A tolerance is a per cent from 0 to 100."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


# --- which model is meant ---


class _Models:
    """What providers' names mean, by the catalogue as it is: at most one query, however many names there are."""

    def __init__(self, book: Book, told: Sequence[Said]) -> None:
        self._book = book
        named = {one: book.offering(one[0], one[1], _noon(one[2])) for one in self._asked(told)}
        unknown = {name.lower() for name in named.values() if isinstance(name, str)}
        # Names that booking made on sight are no news to the catalogue, and so not in its copy in memory.
        sighted: dict[str, tuple[str, str]] = {}
        if unknown:
            lowered = Offering.objects.annotate(in_lower_case=Lower("name")).filter(in_lower_case__in=unknown)
            sighted = {name.lower(): (model, name) for model, name in lowered.values_list("model__name", "name")}
        self._found = {
            one: (book.offerings[name].model, book.offerings[name].name) if isinstance(name, int)
            else sighted.get(name.lower())
            for one, name in named.items()
        }  # fmt: skip

    @staticmethod
    def _asked(told: Sequence[Said]) -> set[tuple[str, str, date]]:
        return {(one.provider, one.model, one.day) for one in told if one.model}

    def of(self, provider: str, model: str, day: date) -> tuple[str, str]:
        """Return our model and offering; the provider's word and nothing where we know none."""
        return self._found.get((provider, model, day)) or (model, "")

    def suggestion(self, provider: str, model: str) -> str:
        known = {facts.name: id_ for id_, facts in self._book.offerings.items()}
        found = suggesting.offering(f"{model}@{provider}", known)
        return found.name if found else ""


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


# --- our side ---


def _asks(covered: Coverage, first: date, last: date, at: datetime, book: Book) -> list[SpendAsk]:
    """Return what to ask of our sums: the range by model and day, and corrections of its months booked since."""
    filters: dict[str, tuple[str, ...]] = {"status": _REACHED}
    if covered.gateways:
        filters["gateway"] = tuple(sorted(covered.gateways))
    # What goes through a reseller's own gateway is on its bill, whoever it says has served it.
    resold = covered.gateways and any(FORMATS[one.format].reseller for one in covered.streams)
    if not resold:
        if not any(facts.provider.lower() == covered.provider for facts in book.offerings.values()):
            return []
        filters["provider"] = (covered.provider,)
    months = sorted({day.strftime("%Y-%m") for day in statements.days(first, last)})
    until = _midnight(max(last, at.astimezone(UTC).date()) + _ONE_DAY)
    return [
        SpendAsk(
            starts_at=_midnight(first),
            ends_at=_midnight(last + _ONE_DAY),
            zone="UTC",
            group_by=("model", "offering", "day", "correction_of"),
            filters=filters,
        ),
        SpendAsk(
            starts_at=_midnight(first),
            ends_at=until,
            zone="UTC",
            group_by=("model", "correction_of"),
            filters={**filters, "correction_of": tuple(months)},
        ),
    ]


def _fill(cells: _Cells, covered: Coverage, rows: Sequence[SpendRow]) -> None:
    for row in rows:
        if row.keys["correction_of"] is not None:
            continue
        day = date.fromisoformat(row.keys["day"] or "")
        name = row.keys["model"] or ""
        figures = _ours(row.sums, day, covered)
        if not figures:
            continue
        cell = cells.setdefault((covered.provider, name, day), _Cell())
        cell.offering = cell.offering or row.keys["offering"] or ""
        cell.ours = _plus(cell.ours, figures)
        cell.sums = _sum_of(cell.sums, row.sums)


def _ours(sums: Sums, day: date, covered: Coverage) -> Figures:
    figures: Figures = {}
    if day in covered.usage_days:
        figures |= {
            "input_tokens": sums.input_tokens,
            "cache_read_tokens": sums.cache_read_input_tokens or 0,
            "cache_write_tokens": (sums.cache_write_5m_input_tokens or 0) + (sums.cache_write_1h_input_tokens or 0),
            "output_tokens": sums.output_tokens,
            "requests": sums.requests,
        }
    if day in covered.cost_days:
        figures[COST] = sums.cost_usd
    return figures


def _sum_of(one: Sums, other: Sums) -> Sums:
    """Add the few sums that reasons are made of."""
    with localcontext() as context:
        context.prec = _DIGITS
        return replace(
            one,
            list_cost_usd=(one.list_cost_usd or Decimal(0)) + (other.list_cost_usd or Decimal(0)),
            unpriced_tokens=one.unpriced_tokens + other.unpriced_tokens,
            uncounted_requests=one.uncounted_requests + other.uncounted_requests,
        )


def _plus(one: Figures, other: Figures) -> Figures:
    with localcontext() as context:
        context.prec = _DIGITS
        return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}


# --- both sides ---


def _rows(
    cells: _Cells,
    covered: Sequence[Coverage],
    models: _Models,
    told: Mapping[tuple[str, bool], set[str]],
    *,
    by: str,
    model: str | None,
    tolerance: Decimal,
) -> list[Row]:
    groups: dict[tuple[str, str, date | None], list[_Cell]] = {}
    for (provider, name, day), cell in cells.items():
        key = (provider, name, None) if by == "model" else (provider, model or "", day)
        groups.setdefault(key, []).append(cell)
    if by == "day":
        for one in covered:
            for day in sorted(one.usage_days | one.cost_days):
                groups.setdefault((one.provider, model or "", day), [])
    of = {one.provider: one for one in covered}
    rows = []
    for (provider, name, on), group in groups.items():
        theirs, ours = _summed(cell.theirs for cell in group), _summed(cell.ours for cell in group)
        figures = {
            measure: _pair(measure, theirs, ours, told=measure in told[provider, bool(name)], day=on, of=of[provider])
            if measure in told[provider, False]
            else _NOT_TOLD
            for measure in MEASURES
        }
        sums = Sums()
        for cell in group:
            sums = _sum_of(sums, cell.sums)
        offering = next((cell.offering for cell in group if cell.offering), "")
        names = sorted({each for cell in group for each in cell.names if each})
        unknown = bool(on is None and name and names and not offering)
        row = Row(
            provider=provider,
            model=name,
            offering=offering,
            day=on,
            figures=figures,
            names=names,
            suggestion=models.suggestion(provider, name) if unknown else "",
            list_cost_usd=sums.list_cost_usd if figures[COST].ours is not None else None,
            reasons=(),
            state=_state_of_row(figures, tolerance),
        )
        rows.append(replace(row, reasons=_reasons(row, sums, unknown=unknown, tolerance=tolerance)))
    if by == "day":
        return sorted(rows, key=lambda row: (row.day or date.min, row.provider))
    return sorted(rows, key=_weight)


def _weight(row: Row) -> tuple[int, Decimal, Decimal, str, str]:
    cost, tokens = (abs(Decimal(pair.difference or 0)) for pair in (row.figures[COST], row.tokens))
    return (not row.model, -cost, -tokens, row.provider, row.model)


def _told(cells: _Cells, covered: Sequence[Coverage]) -> dict[tuple[str, bool], set[str]]:
    """Return the measures that a provider's exports tell at all (False), and those they tell of models (True).

    An export that has a day and no line in it says that nothing was used.
    """
    found: dict[tuple[str, bool], set[str]] = {}
    for one in covered:
        whole, of_models = found.setdefault((one.provider, False), set()), found.setdefault((one.provider, True), set())
        for (provider, model, _), cell in cells.items():
            if provider == one.provider:
                whole.update(cell.theirs)
                of_models.update(cell.theirs if model else ())
        if one.usage_days and not whole.intersection(TOKENS):
            whole |= {"input_tokens", "output_tokens"}
            of_models |= {"input_tokens", "output_tokens"}
        if one.cost_days and COST not in whole:
            whole.add(COST)
            of_models.add(COST)
    return found


def _summed(each: Iterable[Figures]) -> Figures:
    total: Figures = {}
    for figures in each:
        total = _plus(total, figures)
    return total


def _pair(name: str, theirs: Figures, ours: Figures, *, told: bool, day: date | None, of: Coverage) -> Pair:
    """Put both sides of a measure together; where a side says nothing of what it could tell, that is 0."""
    compared = of.cost_days if name == COST else of.usage_days
    if not compared or (day is not None and day not in compared):
        return _NOT_TOLD
    nothing: Figure = Decimal(0) if name == COST else 0
    return Pair(theirs=theirs.get(name, nothing if told else None), ours=ours.get(name, nothing))


def _total(rows: Sequence[Row]) -> dict[str, Pair]:
    return {
        name: Pair(
            theirs=_sum([row.figures[name].theirs for row in rows]), ours=_sum([row.figures[name].ours for row in rows])
        )
        for name in MEASURES
    }


def _sum(values: Sequence[Figure | None]) -> Figure | None:
    given = [value for value in values if value is not None]
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(given[1:], given[0]) if given else None


def _state(figures: Mapping[str, Pair], tolerance: Decimal) -> str:
    judged = [figures[name] for name in JUDGED if figures[name].difference is not None]
    if not judged:
        return NOT_COMPARED
    return APART if any(pair.apart(tolerance) for pair in judged) else AGREES


def _state_of_row(figures: Mapping[str, Pair], tolerance: Decimal) -> str:
    state = _state(figures, tolerance)
    if state == APART:
        both = [pair for pair in figures.values() if pair.difference is not None]
        if not any(pair.ours for pair in both):
            return THEIRS_ONLY
        if not any(pair.theirs for pair in both):
            return OURS_ONLY
    return state


# --- reasons ---


def _reasons(row: Row, sums: Sums, *, unknown: bool, tolerance: Decimal) -> list[Reason]:
    found: list[tuple[str, str]] = []
    if unknown:
        meant = f" It is probably {row.suggestion}." if row.suggestion else ""
        found.append(("no-offering", f"The catalogue has no {row.model} at {row.provider}.{meant}"))
    if not row.model and row.day is None:
        found.append(
            ("not-by-model", "The statement gives these to no model. On our side they are with the models' costs.")
        )
    elif row.state == THEIRS_ONLY and not unknown:
        found.append(("theirs-only", "No gateway reports it: it is called past the gateways, or one is not connected."))
    elif row.state == OURS_ONLY:
        found.append(
            ("ours-only", "The statement does not have it: another account pays for it, or it has another name there.")
        )
    if sums.unpriced_tokens:
        found.append(
            ("unpriced", f"{sums.unpriced_tokens:,} tokens have no price here, so they are in no cost of ours.")
        )
    if sums.uncounted_requests:
        many = "1 request" if sums.uncounted_requests == 1 else f"{sums.uncounted_requests:,} requests"
        found.append(("uncounted", f"{many} came without token counts; the provider may charge them all the same."))
    if row.day is None and _agrees_at_list(row, tolerance):
        found.append(("list-price", "At list prices the two agree: the statement does not have the contract's terms."))
    return [Reason(code=code, text=text, provider=row.provider, model=row.model) for code, text in found]


def _agrees_at_list(row: Row, tolerance: Decimal) -> bool:
    cost = row.figures[COST]
    at_list = Pair(theirs=cost.theirs, ours=row.list_cost_usd)
    return bool(cost.apart(tolerance) and cost.ours != at_list.ours and at_list.ours and not at_list.apart(tolerance))


def _missing(covered: Sequence[Coverage], at: datetime) -> list[Reason]:
    today = at.astimezone(UTC).date()  # which no export can hold whole yet
    found = []
    for one in covered:
        if not one.usage_days:
            text = f"There is no usage export of {one.provider} for these days: tokens are not compared."
            found.append(Reason(code="no-usage-statement", text=text, provider=one.provider))
        if not one.cost_days:
            text = f"There is no cost export of {one.provider} for these days: costs are not compared."
            found.append(Reason(code="no-cost-statement", text=text, provider=one.provider))
        for stream, days in one.missing:
            lacking = [day for day in days if day < today]
            if not lacking:
                continue
            text = f"{stream.title} lacks {words_of(lacking)}: these days are left out on both sides."
            found.append(Reason(code="days-missing", text=text, provider=one.provider))
    return found


def _corrections(covered: Coverage, in_range: Spend, later: Spend, model: str | None) -> list[Reason]:
    """Say what was booked for closed months: in these days for others, and for months of these days at any time."""
    found = []
    of_range = _by_month(later, model)
    elsewhere = [sums for month, sums in _by_month(in_range, model).items() if month not in of_range]
    if elsewhere:
        cost = _sum([cost for cost, _ in elsewhere]) or Decimal(0)
        text = f"Corrections of closed months were booked in these days: {_usd(cost)}. They are left out."
        found.append(Reason(code="corrections-booked-here", text=text, provider=covered.provider))
    for month, (cost, tokens) in sorted(of_range.items()):
        counted = f"{tokens:,} tokens and " if tokens else ""
        text = f"{month} was closed, and {counted}{_usd(cost)} of it were booked later. They are left out."
        found.append(Reason(code="corrected-later", text=text, provider=covered.provider))
    return found


def _by_month(spend: Spend, model: str | None) -> dict[str, tuple[Decimal, int]]:
    """Sum cost and tokens of corrections by the month that they are for."""
    found: dict[str, tuple[Decimal, int]] = {}
    with localcontext() as context:
        context.prec = _DIGITS
        for row in spend.rows:
            month = row.keys["correction_of"]
            if month is not None and model in (None, row.keys["model"] or ""):
                cost, tokens = found.get(month, (Decimal(0), 0))
                found[month] = cost + row.sums.cost_usd, tokens + row.sums.tokens
    return found


def _silent_days(cells: _Cells, covered: Sequence[Coverage], model: str) -> list[Reason]:
    """Name the days on which the provider counts something and no gateway reported a call to it."""
    found = []
    for one in covered:
        theirs: set[date] = set()
        ours: set[date] = set()
        for (provider, _, day), cell in cells.items():
            if provider == one.provider:
                theirs |= {day} if any(cell.theirs.values()) else set()
                ours |= {day} if any(cell.ours.values()) else set()
        if silent := sorted(theirs - ours):
            to = f"{model} at {one.provider}" if model else one.provider
            text = f"No gateway reported a call to {to} on {words_of(silent)}, and the provider counts some."
            found.append(Reason(code="not-reported", text=text, provider=one.provider, model=model))
    return found


def _kept_out(first: date, last: date) -> Reason | None:
    """Say whether calls of these days are kept and not counted. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM ledger_unsummed WHERE booked_at >= %s AND booked_at < %s)",
            [_midnight(first), _midnight(last + _ONE_DAY)],
        )
        if not cursor.fetchone()[0]:
            return None
    return Reason(
        code="kept-out",
        text="Calls of these days are kept and not counted: of a second format of a gateway (shadow), or imported for "
        "audit.",
    )


def words_of(some: Sequence[date]) -> str:
    """Return days in words, neighbours as a range: `1 to 3 Nov 2026, 7 Nov 2026`."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(some):
        if ranges and day == ranges[-1][1] + _ONE_DAY:
            ranges[-1] = ranges[-1][0], day
        else:
            ranges.append((day, day))
    words = [_range_words(begins, ends) for begins, ends in ranges[:6]]
    more = f" and {len(ranges) - 6} more ranges" if len(ranges) > 6 else ""
    return ", ".join(words) + more


def _range_words(begins: date, ends: date) -> str:
    if begins == ends:
        return f"{begins.day} {begins:%b %Y}"
    if (begins.year, begins.month) == (ends.year, ends.month):
        return f"{begins.day} to {ends.day} {ends:%b %Y}"
    return f"{begins.day} {begins:%b %Y} to {ends.day} {ends:%b %Y}"


def _usd(value: Figure) -> str:
    return f"${Decimal(value):,.2f}"
