"""Budgets at a glance, one of them in full, and what people change about them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from budgets import wording
from budgets.selectors import requests
from budgets.selectors.overview import BudgetRow
from core import access, periods
from core.periods import KINDS
from dashboards import alerts_words
from dashboards.charts import budgets as charts
from dashboards.charts.sparkline import Sparkline, days_of
from dashboards.downloads import Table, offers
from dashboards.selectors import budgets as page_of
from dashboards.views import budgets_address as address
from dashboards.views import budgets_overshoot, budgets_parts, files_running
from dashboards.views import budgets_words as words
from dashboards.views.access import page
from dashboards.views.budgets_words import full, line_of, short, unit_words
from usage.selectors import freshness

PER_PAGE = 100
MOST_DRIVERS = 12
DRIVERS = (
    ("offering", "By model", "Offering"),
    ("rules_version", "By version of the rules", "Version"),
    ("rule", "By rule", "Rule"),
    ("team", "By team", "Team"),
)


def _table(request: HttpRequest) -> Table:
    asked = address.read(request.GET)
    rows = [row for row in page_of.at_a_glance(at=timezone.now()) if asked.wants(row)]
    return files_running.budgets(rows, title=f"Budgets: {address.STATES[asked.state].lower()}")


@page("view")
@offers(_table)
def budgets_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked = address.read(request.GET)
    rows = page_of.at_a_glance(at=now)
    found = [row for row in rows if asked.wants(row)]
    last = max(1, -(-len(found) // PER_PAGE))
    if asked.page > last:
        raise Http404("There is no such page.")
    context = {
        "lines": [
            line_of(row, sparkline(row, now)) for row in found[(asked.page - 1) * PER_PAGE : asked.page * PER_PAGE]
        ],
        "asked": asked,
        "last": last,
        "earlier_url": asked.url(page=asked.page - 1) if asked.page > 1 else "",
        "later_url": asked.url(page=asked.page + 1) if asked.page < last else "",
        "states": [
            (title, asked.url(state=state), state == asked.state, sum(address.is_in(state, row) for row in rows))
            for state, title in address.STATES.items()
        ],
        "kinds": [(kind, kind == asked.period) for kind in KINDS],
        "may_edit": request.user.has_perm("limits.approve"),  # a new budget comes with a limit
        "waiting": requests.count_for(by=access.label(request.user)),
        "counts": {
            "exceeded": sum(address.is_in("exceeded", row) for row in rows),
            "near": sum(address.is_in("near", row) for row in rows),
            "running_out": sum(address.is_in("running-out", row) for row in rows),
            "all": len(rows),
        },
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/budgets.html", context)


def sparkline(row: BudgetRow, now: datetime) -> Sparkline | None:
    if row.outlook is None or row.retired_at is not None:
        return None
    even = None
    if row.limit is not None:
        even = row.limit / max(round((row.period.ends_at - row.period.starts_at) / timedelta(days=1)), 1)
    return days_of(
        days=row.outlook.days,
        today=periods.local_day(now, row.zone),
        period_from=row.period.first_day,
        even=even,
        said=lambda value: short(row.unit, value),
    )


@page("view")
def budget(request: HttpRequest, pk: int) -> HttpResponse:
    return show(request, pk)


def show(request: HttpRequest, pk: int, *, status: int = 200, **forms: Any) -> HttpResponse:
    """Answer with the page of a budget; `forms` are those that were filled in and refused, by their name."""
    now = timezone.now()
    shown = page_of.one(budget_id=pk, at=now)
    if shown is None:
        raise Http404("There is no such budget.")
    row = shown.row
    line = line_of(row)
    left = None if row.limit is None or row.state == "BUILDING" else max(row.limit - row.used, Decimal(0))
    context = {
        "page": shown,
        "row": row,
        "line": line,
        "chart": charts.burn_down(
            definition=shown.definition,
            period=row.period,
            outlook=row.outlook,
            used=row.used,
            forecast=row.forecast,
            crossed=row.crossings,
            at=now,
        ),
        "period_days": wording.days(row.period, row.zone),
        "left_words": short(row.unit, left),
        "left_exact": full(row.unit, left),
        "limit_note": f"version {row.limit_version}, per {row.period_kind}" if row.limit_version else "",
        "used_note": unit_words(row.unit) if row.per_cent_used is None else f"{row.per_cent_used} % of the limit",
        "gone_note": f"{row.per_cent_gone} % of the {row.period_kind} is gone",
        "pace_note": words.pace_note(row),
        "method": words.method(row),
        "at_the_limit": wording.at_the_limit(
            shown.definition, row.period, reached=row.state == "EXCEEDED", over=now >= row.period.ends_at
        ),
        "overshoot": budgets_overshoot.of(definition=shown.definition, row=row, at=now),
        "limits": [(limit, short(row.unit, limit.amount), full(row.unit, limit.amount)) for limit in row.limits],
        "drivers": [
            (title, head, [(one, short(row.unit, one.used), full(row.unit, one.used)) for one in found[:MOST_DRIVERS]])
            for kind, title, head in DRIVERS
            if (found := shown.drivers.get(kind, ())) or kind == "offering"
        ],
        "told": [
            (
                one,
                words.named(shown.definition.period_of(one.crossing.period_start), row),
                words.BASES[one.crossing.basis],
                short(row.unit, one.crossing.used),
                full(row.unit, one.crossing.used),
                _deliveries(one),
            )
            for one in shown.told
        ],
        "past": [
            (
                words.named(one.period, row),
                short(row.unit, one.used),
                full(row.unit, one.used),
                short(row.unit, one.limit),
                full(row.unit, one.limit),
                one.per_cent_used,
            )
            for one in shown.past
        ],
        "unclassified": short(row.unit, row.unclassified) if row.unclassified else "",
        "complete_through": freshness.complete_through(at=now),
        **budgets_parts.of_limits(request, row=row, definition=shown.definition, at=now),
        **forms,
    }
    return render(request, "dashboards/budget.html", context, status=status)


def _deliveries(told: page_of.Told) -> list[str]:
    if told.alert is None:
        return []
    found = []
    for one in told.alert.deliveries:
        if one.channel_id is None:
            found.append("not sent: past period" if one.state == "not_sent" else "nobody: no channel wants it")
        else:
            why = f" ({said})" if (said := alerts_words.said(one)) else ""
            found.append(f"{one.channel}: {one.state.replace('_', ' ')}{why}")
    return found
