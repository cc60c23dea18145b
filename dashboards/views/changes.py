"""Why spend changed: two ranges of days beside each other, with the parts of the change by use case."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.models import Organisation
from dashboards.charts import bridge as charts
from dashboards.downloads import NUMBER, TEXT, USD, Column, Refused, Table, offers
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.changes_words import mover, movers, spend_url
from dashboards.views.days import ONE_DAY
from usage.selectors import bridge
from usage.selectors.bridge import Bridge, Change, Days

MOST_DAYS = 366
AGAINST = {"before": "as many days right before", "month": "the same days of the month before"}
_PARAMETERS = ("from", "to", "against")


@dataclass(frozen=True, kw_only=True)
class Preset:
    title: str
    url: str
    current: bool


def _today(request: HttpRequest) -> date:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return periods.local_day(timezone.now(), organisation.zone)


def read(query: QueryDict, today: date) -> tuple[Days, Days, str, list[str]]:
    """Return the range before, the range that is told, what it is held against, and what in the address means nothing.

    Without days they are the seven full ones before today.
    """
    problems = [f"There is nothing called {name!r} here: {', '.join(_PARAMETERS)}." for name in query if
                name not in _PARAMETERS]  # fmt: skip
    against = query.get("against") or "before"
    if against not in AGAINST:
        problems.append(f"There is no {against!r} to compare with: {', '.join(AGAINST)}.")
        against = "before"
    first, last = (days.read_day(query, name, problems) for name in ("from", "to"))
    last = last or (today - ONE_DAY if first is None else max(first, today - ONE_DAY))
    first = first or last - timedelta(days=6)
    if last < first:
        problems.append("The last day lies before the first.")
    elif (last - first).days >= MOST_DAYS:
        problems.append(f"A range has {MOST_DAYS} days at most.")
    after = Days(first=first, until=last + ONE_DAY)
    if against == "month":
        return Days(first=_month_before(first), until=_month_before(last) + ONE_DAY), after, against, problems
    return Days(first=first - timedelta(days=max(after.length, 1)), until=first), after, against, problems


def _month_before(day: date) -> date:
    """Return the same day of the month before; the last of a month becomes the last of that one."""
    first = periods.add_months(day.replace(day=1), -1)
    length = calendar.monthrange(first.year, first.month)[1]
    is_last = (day + ONE_DAY).day == 1
    return first.replace(day=length if is_last else min(day.day, length))


def _presets(today: date, query: QueryDict) -> list[Preset]:
    month = today.replace(day=1)
    before = periods.add_months(month, -1)
    ranges: list[tuple[str, dict[str, Any]]] = [("Last 7 days", {})]
    if today > month:
        so_far = f"{month:%B} so far against {before:%B}"
        ranges.append((so_far, {"from": month, "to": today - ONE_DAY, "against": "month"}))
    whole = f"{before:%B} against {periods.add_months(before, -1):%B}"
    ranges.append((whole, {"from": before, "to": month - ONE_DAY, "against": "month"}))
    ranges.append(("Last 30 days", {"from": today - timedelta(days=30), "to": today - ONE_DAY}))
    shown = {name: query[name] for name in _PARAMETERS if query.get(name)}
    return [
        Preset(
            title=title,
            url=f"{reverse('changes')}{'?' if asked else ''}{urlencode(asked)}",
            current={name: str(value) for name, value in asked.items()} == shown,
        )
        for title, asked in ranges
    ]


def _table(request: HttpRequest) -> Table:
    before, after, _, problems = read(request.GET, _today(request))
    if problems:
        raise Refused(problems)
    found = _found(request, before, after)
    parts = [field for field, _, _ in charts.PARTS]
    columns = [
        Column("use_case", TEXT), Column("before_usd", USD), Column("now_usd", USD), Column("change_usd", USD),
        *(Column(field, USD) for field in parts), Column("requests_before", NUMBER), Column("requests_now", NUMBER),
    ]  # fmt: skip
    rows = [
        [name, one.before_usd, one.after_usd, one.change_usd, *(getattr(one, field) for field in parts),
         one.before_requests, one.after_requests]
        for name, one in [*((one.use_case, one) for one in found.use_cases), ("", found.total)]
    ]  # fmt: skip
    return Table(
        name=f"changes-{after.first}-to-{after.last}",
        title="What changed the spend; the last row is all of it, with what was booked late",
        columns=columns,
        rows=rows,
        facts=[("Days", f"{after.first} to {after.last}"), ("Against", f"{before.first} to {before.last}")],
    )


def _found(request: HttpRequest, before: Days, after: Days) -> Bridge:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return bridge.between(before=before, after=after, zone=organisation.zone)


@page("view")
@offers(_table)
def changes(request: HttpRequest) -> HttpResponse:
    today = _today(request)
    before, after, against, problems = read(request.GET, today)
    context: dict[str, Any] = {
        "problems": problems,
        "presets": _presets(today, request.GET),
        "choices": AGAINST.items(),
        "against": against,
        "first": after.first.isoformat(),
        "last": after.last.isoformat(),
    }
    if problems:
        return render(request, "dashboards/changes.html", context, status=400)
    found = _found(request, before, after)
    places = charts.places_of(found)
    shown = [name for name, _, _ in charts.parts_of(found.total)]
    parts = [part for part in charts.PARTS if part[1] in shown and part[0] != "corrections_usd"]
    context |= {
        "found": found,
        "chart": charts.waterfall(found),
        "movers": movers(found),
        "parts": [
            {"name": name, "means": means, "amount": amount, "url": spend_url(found.after, by=_dimension(name))}
            for name, means, amount in charts.parts_of(found.total)
        ],
        "heads": [name for _, name, _ in parts],
        "lines": [
            {
                "mover": mover(one, found.after),
                "one": one,
                "change": charts.signed(one.change_usd, places),
                "cells": _cells(one, parts, places),
            }
            for one in found.use_cases
        ],
        "totals": _cells(found.total, parts, places),
        "places": places,
        "change": charts.signed(found.total.change_usd, places),
        "before_words": charts.range_of(before),
        "after_words": charts.range_of(after),
        "before_url": spend_url(before, by="use_case"),
        "after_url": spend_url(after, by="use_case"),
    }
    return render(request, "dashboards/changes.html", context)


def _cells(one: Change, parts: Sequence[tuple[str, str, str]], places: int) -> list[tuple[str, Decimal, str]]:
    """Return the parts of a row: what each is called, exact, and as it is shown."""
    amounts = [(name, getattr(one, field)) for field, name, _ in parts]
    return [(name, amount, charts.signed(amount, places) if amount else "") for name, amount in amounts]


def _dimension(part: str) -> str:
    """Return what spend is best broken down by to see a part."""
    return "model" if part in ("Mix of models", "Tokens per call", "Price") else "use_case"
