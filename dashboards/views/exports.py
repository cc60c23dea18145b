"""Exports: a month as FOCUS for FinOps tools, and where every other file of the console is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import Team
from core import periods
from core.errors import Conflict, Invalid
from core.large_files import OthersFirst
from dashboards.downloads import CSV, PARAMETER, come_again, refused
from dashboards.views.access import page, zone_of
from dashboards.views.month_address import month_of
from dashboards.views.months import STATES
from usage import api_focus
from usage.focus import columns, files
from usage.selectors import focus, freshness, kept
from usage.selectors import months as selector
from usage.selectors.months import CLOSED, MonthRow

_TITLES = {files.CSV_GZ: "CSV, compressed", files.CSV: "CSV", files.JSONL: "JSON lines"}
_BYTES_A_LINE, _PACKED_BYTES_A_LINE = 900, 40

# Pages whose tables are files: name of the page, title, what one gets there.
FILES = (
    ("spend", "Spend", "Any measure by use case, model, team and more, over any range; the charts as PNG and SVG."),
    ("entries", "Entries", "The ledger itself, line by line, with the filters of Spend."),
    ("statements", "Statements", "What a month charges to each team and use case."),
    ("savings", "Savings", "What routing saved against one model."),
    ("changes", "What changed", "Why two ranges of days cost different amounts, in parts that add up."),
    ("goals", "Goals", "Shares on frontier and on open weights beside what was aimed at."),
    ("use-cases", "Use cases", "What each cost of late, on what, and who owns it."),
    ("teams", "Teams", "The same by who answers for them."),
    ("budgets", "Budgets", "Limits and how much of each is used."),
    ("limit-requests", "Requests of limits", "Who asked for another limit, why, and what was decided."),
    ("alerts", "Alerts", "What was told, to whom, and who took it up."),
    ("deliveries", "Deliveries", "Every message, whom it was for, and whether it came."),
    ("attention", "Attention", "What waits for a person: what is unpriced, has no tier or no owner."),
    ("prices", "Prices", "Every price, as it holds and as it held."),
    ("prices-contracts", "Contracts", "What was negotiated, over time and as it was recorded."),
    ("prices-import", "Imports of prices", "Tables that were read, and what became of what they said."),
    ("catalog", "Models", "Offerings with their prices, tiers and use."),
    ("months", "Months", "What was booked in each month, and whether it is closed."),
    ("restatements", "Restatements", "Every correction of the past, with figures before and after."),
    ("reconciliation", "Reconciliation", "The providers' statements beside the ledger."),
    ("gateways", "Gateways", "Who reports usage, and how far behind it is."),
    ("usage-imports", "Imports of usage", "Files of past calls, and what was booked of them."),
    ("intake", "Intake", "Each body that came in, and what became of its events."),
    ("held", "Held events", "What was kept without being counted."),
)


@page("view")
def exports_page(request: HttpRequest) -> HttpResponse:
    now, upto = timezone.now(), month_of(request, "upto")
    shown = selector.listed(at=now, zone=zone_of(request), upto=upto)
    teams = list(Team.objects.exclude(state="merged").order_by("folded").values_list("name", flat=True))
    team = request.GET.get("team", "")
    known = not team or team in teams
    rows = shown.rows
    newest, oldest = (rows[0], rows[-1]) if rows else (None, None)
    sizes = focus.sizes(first=oldest.label, until=periods.add_months(newest.label, 1)) if newest and oldest else {}
    lost = kept.dropped_within(oldest.starts_at, newest.ends_at) if newest and oldest else []
    context = {
        "problem": "" if known else f"There is no team {team!r}.",
        "teams": teams,
        "team": team if known else "",
        "lines": [_line(row, sizes.get(row.label, 0), _lost(row, lost), team if known else "") for row in rows],
        "focus_columns": columns.FOCUS,
        "our_columns": columns.OURS,
        "pages": _pages(request),
        "month": f"{(rows[0].label if rows else periods.local_day(now, zone_of(request))):%Y-%m}",
        "api_url": request.build_absolute_uri(reverse("api-exports-focus")),
        "earlier_url": _address(team, shown.earlier) if shown.earlier else "",
        "newest_url": _address(team) if upto else "",
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/exports.html", context, status=200 if known else 400)


def _lost(row: MonthRow, dropped: list[date]) -> bool:
    """Say whether some of a month lies in a dropped one; those are UTC months."""
    starts = [datetime(month.year, month.month, 1, tzinfo=UTC) for month in dropped]
    ends = [datetime(month.year, month.month, 1, tzinfo=UTC) for month in (periods.add_months(m, 1) for m in dropped)]
    return any(start < row.ends_at and row.starts_at < end for start, end in zip(starts, ends, strict=True))


def _line(row: MonthRow, lines: int, lost: bool, team: str) -> dict[str, Any]:
    tone, words = STATES[row.state]
    asked = f"?{urlencode({'team': team})}" if team else ""
    return {
        "row": row,
        "tone": tone,
        "state": words,
        "final": row.state == CLOSED,
        "lost": lost,
        "lines": "" if team else _about(lines),
        "size": "" if team else f"{_bytes(lines * _BYTES_A_LINE)}, compressed {_bytes(lines * _PACKED_BYTES_A_LINE)}",
        "files": [
            (title, f"{reverse('exports-focus', args=[row.label, form])}{asked}") for form, title in _TITLES.items()
        ],
    }


def _about(lines: int) -> str:
    """Round to two digits: it is an estimate."""
    step = 10 ** max(0, len(str(lines)) - 2)
    return f"about {round(lines / step) * step:,}"


def _bytes(count: int) -> str:
    kilobytes = max(1, round(count / 1000))
    return f"{kilobytes} KB" if kilobytes < 1000 else f"{kilobytes / 1000:,.0f} MB"


def _pages(request: HttpRequest) -> list[dict[str, str]]:
    return [
        {
            "id": f"file-{name}",
            "title": title,
            "note": note,
            "url": reverse(name),
            "file_url": request.build_absolute_uri(
                reverse("spend-csv") if name == "spend" else f"{reverse(name)}?{PARAMETER}={CSV}"
            ),
        }
        for name, title, note in FILES
    ]


def _address(team: str, upto: Any = None) -> str:
    query = ({"team": team} if team else {}) | ({"upto": f"{upto:%Y-%m}"} if upto else {})
    return f"{reverse('exports')}?{urlencode(query)}" if query else reverse("exports")


@page("view")
def focus_file(request: HttpRequest, month: Any, form: str) -> Any:  # Django tells answers that stream apart
    """Send a month as FOCUS; what cannot be told whole is refused in a sentence."""
    if form not in files.FORMATS:
        raise Http404(form)
    try:
        found = focus.export(month=month, at=timezone.now(), team=request.GET.get("team", ""))
    except Invalid as error:
        return refused(request, [str(error)], page_url=reverse("exports"))
    except Conflict as error:
        return refused(request, [str(error)], page_url=reverse("exports"), status=409)
    try:
        return api_focus.answer(request, found, form)
    except OthersFirst as error:
        return come_again(request, error, page_url=reverse("exports"))
