"""The page of one team."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import UNASSIGNED_ID
from core import access
from core.models import Organisation
from dashboards.charts import about as charts
from dashboards.selectors import about as shared
from dashboards.selectors import team as page_of
from dashboards.selectors.numbers import numbers
from dashboards.templatetags.figures import exact, percent, usd
from dashboards.templatetags.links import offering_url
from dashboards.views import about
from dashboards.views.access import page
from usage.selectors import freshness


@page("view")
def team(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    found = page_of.found(pk)
    if found is None:
        raise Http404("There is no such team.")
    shown = page_of.one(team=found, organisation=organisation, at=now)
    month = shown.days.today.replace(day=1)
    context = {
        "page": shown,
        "team": found,
        "unassigned": pk == UNASSIGNED_ID,
        "may_edit": access.may(request.user, "catalog.edit"),
        "ways": about.ways_on(shown.days, team=found.name),
        "statement_url": reverse("statement-team", args=[month, pk]),
        "statement_month": month,
        "month_stats": about.month_stats(shown.month, team=found.name),
        "stats": [
            about.stat(
                "Cost per 1,000 requests", usd(shown.listed.per_1000_usd), f"{exact(shown.listed.requests)} requests"
            ),
            about.frontier_stat(shown.listed, organisation),
        ],
        "chart": charts.spend_per_day(
            shared.parts(shown.rows, shown.names),
            id="spend-figure",
            what="use case",
            numbers=numbers("use_case", shown.names.values()),
            days=shown.days,
        ),
        "shares_chart": charts.shares(shown.weeks, organisation),
        "per_1000_chart": charts.cost_per_1000(shown.weeks),
        "use_cases": [
            (one, reverse("use-case", args=[one.id]), percent(one.sums.frontier_share)) for one in shown.use_cases
        ],
        "offerings": [about.part_of(one, offering_url(one.name)) for one in shown.offerings],
        "budgets": about.budget_lines(shown.budgets),
        "alerts": about.alerts_of(shown.alerts),
        "steps": about.steps(shown.trail, {}),
        "days": shared.DAYS_LISTED,
        "complete_through": freshness.complete_through(at=now),
        "priced_share": shown.listed.priced_share,
    }
    return render(request, "dashboards/team.html", context)
