"""What providers say beside what the ledger's sums say, by model or by day, with the reasons that can be named.

Both sides are of the same UTC days: those that every export of a kind holds whole. Tokens and requests come from usage
exports, costs from cost exports; one that an export does not tell (requests of Anthropic's) is not compared. Ours are
the sums of `GET spend`, from rollups: what reached the provider (ok, error, usage missing), without corrections of
closed months, which stand as a reason of their own. Differences are ours less the provider's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext

from django.db.models.functions import Lower

from catalog.models import Offering
from catalog.rules import Book, suggesting
from core.errors import Invalid
from usage.models import Status
from usage.selectors import comparing_reasons as reasons_of
from usage.selectors import statements, world
from usage.selectors.compared import (
    AGREES,
    APART,
    BY,
    DIGITS,
    JUDGED,
    NOT_COMPARED,
    NOT_TOLD,
    OURS_ONLY,
    THEIRS_ONLY,
    USUAL_TOLERANCE,
    Cell,
    Cells,
    Pair,
    Reason,
    Reconciliation,
    Row,
    sum_of,
)
from usage.selectors.spend import SpendAsk, SpendRow, Sums, spends
from usage.selectors.statements import COST, MEASURES, TOKENS, Coverage, Figure, Figures, Said
from usage.statements import FORMATS

MOST_DAYS = 366
FIRST_YEAR, LAST_YEAR = 2000, 2200
_REACHED = tuple(str(status.label) for status in (Status.OK, Status.ERROR, Status.USAGE_MISSING))
_ONE_DAY = timedelta(days=1)


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
    cells: Cells = {}
    for line in said:
        name, offering = models.of(line.provider, line.model, line.day)
        cell = cells.setdefault((line.provider, name, line.day), Cell())
        cell.names.add(line.model)
        cell.offering = cell.offering or offering
        cell.theirs = _plus(cell.theirs, line.figures)
    told = _told(cells, covered)
    reasons: list[Reason] = [*reasons_of.missing_days(covered, at)]
    asks = {one.provider: _asks(one, first, last, at, book) for one in covered}
    answers = iter(spends(asks=[ask for pair in asks.values() for ask in pair]) if any(asks.values()) else [])
    for one in covered:
        if asks[one.provider]:
            in_range, later = next(answers), next(answers)
            _fill(cells, one, in_range.rows)
            reasons += reasons_of.corrections(one, in_range, later, model)
    if model is not None:
        cells = {key: cell for key, cell in cells.items() if key[1] == model}
    reasons += reasons_of.silent_days(cells, covered, model or "")
    if kept := reasons_of.kept_out(first, last):
        reasons.append(kept)
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


def _fill(cells: Cells, covered: Coverage, rows: Sequence[SpendRow]) -> None:
    for row in rows:
        if row.keys["correction_of"] is not None:
            continue
        day = date.fromisoformat(row.keys["day"] or "")
        name = row.keys["model"] or ""
        figures = _ours(row.sums, day, covered)
        if not figures:
            continue
        cell = cells.setdefault((covered.provider, name, day), Cell())
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
        context.prec = DIGITS
        return replace(
            one,
            list_cost_usd=(one.list_cost_usd or Decimal(0)) + (other.list_cost_usd or Decimal(0)),
            unpriced_tokens=one.unpriced_tokens + other.unpriced_tokens,
            uncounted_requests=one.uncounted_requests + other.uncounted_requests,
        )


def _plus(one: Figures, other: Figures) -> Figures:
    with localcontext() as context:
        context.prec = DIGITS
        return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}


# --- both sides ---


def _rows(
    cells: Cells,
    covered: Sequence[Coverage],
    models: _Models,
    told: Mapping[tuple[str, bool], set[str]],
    *,
    by: str,
    model: str | None,
    tolerance: Decimal,
) -> list[Row]:
    groups: dict[tuple[str, str, date | None], list[Cell]] = {}
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
            else NOT_TOLD
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
        rows.append(replace(row, reasons=reasons_of.of_row(row, sums, unknown=unknown, tolerance=tolerance)))
    if by == "day":
        return sorted(rows, key=lambda row: (row.day or date.min, row.provider))
    return sorted(rows, key=_weight)


def _weight(row: Row) -> tuple[int, Decimal, Decimal, str, str]:
    cost, tokens = (abs(Decimal(pair.difference or 0)) for pair in (row.figures[COST], row.tokens))
    return (not row.model, -cost, -tokens, row.provider, row.model)


def _told(cells: Cells, covered: Sequence[Coverage]) -> dict[tuple[str, bool], set[str]]:
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
        return NOT_TOLD
    nothing: Figure = Decimal(0) if name == COST else 0
    return Pair(theirs=theirs.get(name, nothing if told else None), ours=ours.get(name, nothing))


def _total(rows: Sequence[Row]) -> dict[str, Pair]:
    return {
        name: Pair(
            theirs=sum_of([row.figures[name].theirs for row in rows]),
            ours=sum_of([row.figures[name].ours for row in rows]),
        )
        for name in MEASURES
    }


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
