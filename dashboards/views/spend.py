"""The spend page: what was spent on what. Everything that it shows is in its address."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.errors import Invalid
from core.models import Organisation
from dashboards.charts import spending as charts
from dashboards.selectors import numbers, saved_views
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import Breakdown
from dashboards.views import spend_links, spend_rows, spend_ways
from dashboards.views.access import page
from dashboards.views.spend_address import State, question_of, read, title_of


@page("view")
def spend(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    alone = bool(request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"))
    state, problems = read(request.GET, declared=organisation.declared_tags)
    today = periods.local_day(now, organisation.zone)
    question, notes = question_of(state, zone=organisation.zone, today=today)
    shown = None
    if not problems:
        try:
            shown = page_of.breakdown(question=question, at=now)
        except Invalid as error:
            problems = [sentence for _, sentence in error.problems] or [str(error)]
    if problems and alone:
        # htmx swaps in no answer of 400: the whole page says what is wrong.
        return HttpResponse(status=400, headers={"HX-Redirect": request.get_full_path()})

    context = {
        "problems": problems,
        "notes": notes,
        "question": question,
        "state": state,
        **spend_ways.controls(state, question, organisation.declared_tags),
        **spend_ways.offered(state),
        "views": saved_views.offered(page="spend", person=request.user),
        "query": state.query(),
        "shown": shown,
        **(_numbers(shown, state) if shown else {}),
    }
    response = render(
        request,
        "dashboards/_spend.html" if alone else "dashboards/spend.html",
        context,
        status=400 if problems else 200,
    )
    if alone:
        response["HX-Push-Url"] = state.url()  # a form sends what was left empty, too
    return response


def _numbers(shown: Breakdown, state: State) -> dict[str, Any]:
    q = shown.question
    coloured = charts.coloured_by(q)
    found = numbers.numbers(coloured, _drawn_names(shown)) if coloured in numbers.TABLES else {}
    drawn = charts.draw(shown, titles={name: title_of(name) for name in q.dimensions}, numbers=found)
    query = state.query()
    files = {
        f"{kind}_{rows}_url": f"{reverse(f'spend-{kind}')}?{query}{'&rows=time' if rows == 'time' else ''}"
        for kind in ("csv", "xlsx")
        for rows in ("names", "time")
    }
    return {
        "stats": spend_rows.stats(shown),
        "chart": drawn.chart if drawn else None,
        "marks": spend_ways.marks(drawn, state, q) if drawn and drawn.points else None,
        **spend_rows.table(shown, state),
        "corrected_usd": sum((one.sums.cost_usd for one in shown.corrections), Decimal(0)),
        "unkept": bool(q.by_tag and set(q.measures.needs) - {"unpriced_requests"}),
        **files,
        "api_query": spend_links.api_query(q),
        **spend_links.prices(q),
    }


def _drawn_names(shown: Breakdown) -> list[str]:
    """Return the names that have a colour of their own, and perhaps some more."""
    lines = [*shown.lines, *(part for line in shown.lines for part in line.parts)]
    names = {line.name for line in lines if line.name}
    if shown.series:
        names |= {name for key in shown.series.names for name in key if name}
    return sorted(names)
