"""What providers say beside what the ledger says: by model, by day, and as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import money, periods
from core.errors import Invalid
from dashboards.downloads import CSV, NUMBER, USD, Column, Refused, Table, columns, days_words, offers, refused, send
from dashboards.templatetags.links import offering_url
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.links import Link
from dashboards.views.reconciliation_shown import (
    STATES,
    TITLES,
    Asked,
    cells_of,
    covered_words,
    key_words,
    line_of,
    places_of,
    spend_url,
    stats_of,
    told,
)
from usage.selectors import freshness, statements
from usage.selectors.compared import USUAL_TOLERANCE, Pair, Reconciliation
from usage.selectors.comparing import reconcile
from usage.selectors.statements import COST, MEASURES, KeyLine
from usage.statements import FORMATS

MOST_KEYS = 100
PROVIDERS = sorted({one.provider for one in FORMATS.values()})
_KNOWN = ("from", "to", "provider", "tolerance")


@page("view")
@offers(lambda request: _file(request, "model"))
def reconciliation(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    newest = statements.latest_day()
    asked, first, last, problems = _asked(request.GET, now=now, newest=newest)
    found = _found(problems, first=first, last=last, at=now, provider=asked.provider, tolerance=asked.tolerance)
    shown = replace(asked, first=first, last=last)
    context = {
        **_days(request, asked, first, last, now),
        "problems": problems,
        "found": found,
        "lines": [line_of(row, shown, places_of(found)) for row in found.rows] if found else [],
        "total": cells_of(found.total, asked.tolerance, places_of(found)) if found else [],
        "stats": stats_of(found) if found else [],
        "state": STATES[found.state] if found else None,
        "reasons": [told(one, shown) for one in found.reasons] if found else [],
        "covered": [covered_words(one, found, shown) for one in found.coverage] if found else [],
        "titles": [TITLES[name] for name in MEASURES],
        "csv_url": f"{reverse('reconciliation-csv')}?{shown.query()}",
        "spend_url": spend_url(shown),
        "formats": FORMATS,
        "newest": newest,
        "newest_url": _month_url(asked, newest) if newest else "",
        "may_import": request.user.has_perm("prices.edit"),
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/reconciliation.html", context, status=400 if problems else 200)


@page("view")
@offers(lambda request: _file(request, "day"))
def of_model(request: HttpRequest) -> HttpResponse:
    """Show one model of a provider, or all of the provider's, day by day and by key."""
    now = timezone.now()
    asked, first, last, problems = _asked(
        request.GET, now=now, newest=statements.latest_day(), known=(*_KNOWN, "model")
    )
    model = request.GET.get("model")
    if not asked.provider and not problems:
        problems.append("Name a provider.")
    by_day = _found(
        problems,
        first=first,
        last=last,
        at=now,
        provider=asked.provider,
        tolerance=asked.tolerance,
        model=model,
        by="day",
    )
    by_model = _found(
        problems, first=first, last=last, at=now, provider=asked.provider, tolerance=asked.tolerance, model=model
    )
    shown = replace(asked, first=first, last=last)
    row = by_model.rows[0] if by_model and model is not None and len(by_model.rows) == 1 else None
    keys: Sequence[KeyLine] = ()
    if by_model and by_model.coverage:
        names = {name for one in by_model.rows for name in one.names or ("",)} | ({""} if model is None else set())
        keys = statements.keys(by_model.coverage[0], models=sorted(names), most=MOST_KEYS + 1)
    context = {
        **_days(request, asked, first, last, now, model=model),
        "problems": problems,
        "provider": asked.provider,
        "model": model,
        "row": row,
        "name": model or (f"Costs of no model at {asked.provider}" if model is not None else asked.provider),
        "lines": [line_of(one, shown, places_of(by_day)) for one in reversed(by_day.rows)] if by_day else [],
        "total": cells_of(by_day.total, asked.tolerance, places_of(by_day)) if by_day else [],
        "stats": stats_of(by_day) if by_day else [],
        "state": STATES[by_day.state] if by_day else None,
        "reasons": [
            told(one, shown)
            for one in (*(by_model.rows[0].reasons if row and by_model else ()), *(by_day.reasons if by_day else ()))
        ],
        "titles": [TITLES[name] for name in MEASURES],
        "keys": [key_words(one) for one in keys[:MOST_KEYS] if one.figures.keys() - {COST}],
        "items": [key_words(one) for one in keys[:MOST_KEYS] if one.figures.keys() == {COST}],
        "more_keys": len(keys) > MOST_KEYS,
        "back_url": f"{reverse('reconciliation')}?{shown.query()}",
        "csv_url": f"{reverse('reconciliation-csv')}?{shown.query()}&by=day{_model_query(model)}",
        "spend_url": spend_url(shown, model=model or ""),
        "offering_url": offering_url(row.offering) if row and row.offering else "",
        "complete_through": freshness.complete_through(at=now),
    }  # fmt: skip
    return render(request, "dashboards/reconciliation_model.html", context, status=400 if problems else 200)


@page("view")
def download(request: HttpRequest) -> Any:
    """Send the same as CSV under an address of its own, which others may have kept; with `by=day` per day."""
    try:
        return send(request, _file(request, request.GET.get("by") or "model"), CSV)
    except Refused as error:
        return refused(request, [str(error)], page_url=reverse("reconciliation"))


def _file(request: HttpRequest, by: str) -> Table:
    """Return what the page shows: a row per model, or per day. Every digit."""
    now = timezone.now()
    asked, first, last, problems = _asked(
        request.GET, now=now, newest=statements.latest_day(), known=(*_KNOWN, "model", "by")
    )
    found = _found(
        problems, first=first, last=last, at=now, provider=asked.provider, tolerance=asked.tolerance, by=by,
        model=request.GET.get("model"),
    )  # fmt: skip
    if found is None:
        raise Refused(problems)
    sides = [_named(name, side) for name in MEASURES for side in ("provider", "ours", "difference")]
    return Table(
        name=f"reconciliation-by-{by}-{first}-{last}",
        title=f"The providers' statements beside the ledger, by {by}",
        columns=[
            *columns("from", "to", "provider", "model", "day", "named"), *sides,
            Column("list_cost_usd_ours", USD), *columns("state", "reasons"),
        ],
        rows=_table(found),
        facts=[days_words(first, last), ("Days", "UTC days, as providers count them")],
    )  # fmt: skip


def _named(measure: str, side: str) -> Column:
    return Column(f"{measure}_{side}", USD if measure == COST else NUMBER)


def _table(found: Reconciliation) -> Iterator[list[Any]]:
    for row in found.rows:
        yield [
            found.first, found.last, row.provider, row.model, row.day, " ".join(row.names), *_sides(row.figures),
            row.list_cost_usd, row.state, " ".join(one.text for one in row.reasons),
        ]  # fmt: skip
    yield [
        found.first, found.last, "TOTAL", None, None, None, *_sides(found.total), None, found.state,
        " ".join(one.text for one in found.reasons),
    ]  # fmt: skip


def _sides(figures: Mapping[str, Pair]) -> list[Any]:
    return [
        value for name in MEASURES for value in (figures[name].theirs, figures[name].ours, figures[name].difference)
    ]


# --- what is asked ---


def _asked(
    query: QueryDict, *, now: datetime, newest: date | None, known: Sequence[str] = _KNOWN
) -> tuple[Asked, date, date, list[str]]:
    """Return what an address says, the days that are meant, and a sentence for all that means nothing.

    Without days it is the month of `newest`, the last day that a statement holds, or the last month.
    """
    problems = [f"There is no {name!r} here: {', '.join(known)}." for name in query if name not in known]
    first, last = days.read_day(query, "from", problems), days.read_day(query, "to", problems)
    provider, tolerance = query.get("provider", ""), query.get("tolerance", "").strip()
    if provider and provider not in PROVIDERS:
        problems.append(f"No export of {provider!r} can be read: {', '.join(PROVIDERS)}.")
        provider = ""
    if "\0" in query.get("model", ""):
        problems.append("Nothing is called that.")
    allowed = USUAL_TOLERANCE
    if tolerance:
        try:
            allowed = Decimal(tolerance)
        except InvalidOperation:
            allowed = Decimal(-1)
        if not (allowed.is_finite() and 0 <= allowed <= 100):
            problems.append("A tolerance is a per cent from 0 to 100.")
            allowed = USUAL_TOLERANCE
    asked = Asked(first=first, last=last, provider=provider, tolerance=allowed)
    month = (newest or periods.add_months(now.date().replace(day=1), -1)).replace(day=1)
    month_ends = periods.add_months(month, 1) - days.ONE_DAY
    if first and not last:
        return asked, first, max(first, now.date()), problems
    if last and not first:
        return asked, last.replace(day=1), last, problems
    return asked, first or month, last or month_ends, problems


def _found(problems: list[str], **asked: Any) -> Reconciliation | None:
    if problems:
        return None
    try:
        return reconcile(**asked)
    except Invalid as error:
        problems += [sentence for _, sentence in error.problems] or [str(error)]
        return None


def _days(
    request: HttpRequest, asked: Asked, first: date, last: date, now: datetime, *, model: str | None = None
) -> dict[str, Any]:
    """Return what the card with days, provider and tolerance needs."""
    more = _model_query(model)
    return {
        "path": request.path,
        "asked": asked,
        "first": first,
        "last": last,
        "range_words": f"{days.range_words(first, last)}. Days are UTC days, as providers bill.",
        "presets": [
            Link(
                id=f"range-{name.lower().replace(' ', '-')}",
                title=name,
                url=f"{request.path}?{asked.query(first=begins, last=ends)}{more}",
                current=(begins, ends) == (first, last),
            )
            for name, (begins, ends) in days.presets(now.date()).items()
        ],
        "providers": [
            Link(
                id=f"provider-{name or 'all'}",
                title=name or "All",
                url=f"{request.path}?{asked.query(provider=name)}",
                current=name == asked.provider,
            )
            for name in ("", *PROVIDERS)
        ] if model is None and request.path == reverse("reconciliation") else [],
        "asked_model": model,
        "asked_tolerance": money.plain(asked.tolerance),
    }  # fmt: skip


def _model_query(model: str | None) -> str:
    return "" if model is None else f"&{urlencode({'model': model})}"


def _month_url(asked: Asked, day: date) -> str:
    first = day.replace(day=1)
    last = periods.add_months(first, 1) - days.ONE_DAY
    return f"{reverse('reconciliation')}?{replace(asked, first=first, last=last).query()}"
