"""The organisation's goals: how much of its requests goes to frontier models and to open weights, and setting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from core import access
from core.errors import Invalid
from core.models import Organisation
from core.services import organisation as service
from dashboards.downloads import NUMBER, TEXT, USD, Column, Table, offers
from dashboards.forms_goals import GoalsForm
from dashboards.selectors import overview as page_of
from dashboards.selectors.overview import Calendar
from dashboards.templatetags.figures import exact
from dashboards.views import goal_words
from dashboards.views.access import demand, page
from dashboards.views.month_address import month_of, month_urls
from usage.selectors import goals as selector
from usage.selectors.goals import Shares, UseCaseShares
from usage.selectors.overview import share

EDIT = "organisation.edit"


@dataclass(frozen=True, kw_only=True)
class Line:
    """The shares of a use case, or of all: by requests, by tokens and by spend."""

    use_case_id: int | None
    name: str
    answered: int
    reached: int
    requests_share: Decimal | None
    tokens_share: Decimal | None
    cost_share: Decimal | None


def _month(request: HttpRequest) -> Calendar:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return page_of.calendar_of(month=month_of(request), zone=organisation.zone, at=timezone.now())


def _table(request: HttpRequest) -> Table:
    month = _month(request)
    counts = ("answered", "answered_frontier", "answered_open", "tokens", "tokens_frontier", "tokens_open")
    costs = ("cost_usd", "cost_frontier_usd", "cost_open_usd")
    return Table(
        name=f"goals-{month.first:%Y-%m}",
        title=f"Shares on frontier and on open weights in {month.name}",
        columns=[
            Column("use_case", TEXT),
            *(Column(name, NUMBER) for name in counts),
            *(Column(n, USD) for n in costs),
        ],
        rows=[
            [one.use_case, *(getattr(one, name) for name in (*counts, *costs))]
            for one in selector.by_use_case(first=month.first, until=month.until)
        ],
    )


@page("view", "GET", "HEAD", "POST")
@offers(_table)
def goals(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    names = ("frontier_goal_from_percent", "frontier_goal_percent", "open_weights_goal_percent")
    if request.method != "POST":
        return _shown(request, GoalsForm(initial={name: exact(getattr(organisation, name)) for name in names}))
    demand(request, EDIT)
    form = GoalsForm(request.POST)
    if not form.is_valid():
        return _shown(request, form, status=422)
    try:
        changed = service.set_goals(
            frontier_from_percent=form.cleaned_data[names[0]],
            frontier_percent=form.cleaned_data[names[1]],
            open_weights_percent=form.cleaned_data[names[2]],
            reason=form.cleaned_data["reason"],
            by=access.label(request.user),
        )
    except Invalid as error:
        form.show(error.problems)
        return _shown(request, form, status=422)
    messages.success(request, "The goals are set." if changed else "They were so already.")
    return redirect("goals")


def _shown(request: HttpRequest, form: GoalsForm, *, status: int = 200) -> HttpResponse:
    month = _month(request)
    rows = selector.by_use_case(first=month.first, until=month.until)
    total = selector.total(rows)
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    all_frontier = _line(None, "All use cases", total, total.answered_frontier, total.tokens_frontier,
                         total.cost_frontier_usd)  # fmt: skip
    all_open = _line(None, "All use cases", total, total.answered_open, total.tokens_open, total.cost_open_usd)
    context: dict[str, Any] = {
        "calendar": month,
        "month_urls": month_urls("goals", month),
        "frontier": _lines(rows, lambda row: row.answered_frontier, lambda row: row.tokens_frontier,
                           lambda row: row.cost_frontier_usd),
        "open_weights": _lines(rows, lambda row: row.answered_open, lambda row: row.tokens_open,
                               lambda row: row.cost_open_usd),
        "all_frontier": all_frontier,
        "frontier_standing": goal_words.on_frontier(all_frontier.requests_share, organisation),
        "all_open": all_open,
        "open_standing": goal_words.on_open_weights(all_open.requests_share, organisation),
        "may_edit": access.may(request.user, EDIT),
        "form": form,
    }  # fmt: skip
    return render(request, "dashboards/goals.html", context, status=status)


def _lines(
    rows: Sequence[UseCaseShares],
    answered: Callable[[Shares], int],
    tokens: Callable[[Shares], int],
    cost: Callable[[Shares], Decimal],
) -> list[Line]:
    """Return the use cases that answered anything, most of it there first."""
    found = [
        _line(row.use_case_id, row.use_case, row, answered(row), tokens(row), cost(row)) for row in rows if row.answered
    ]
    return sorted(found, key=lambda line: (-line.reached, line.name))


def _line(use_case_id: int | None, name: str, of: Shares, answered: int, tokens: int, cost: Decimal) -> Line:
    return Line(
        use_case_id=use_case_id,
        name=name,
        answered=of.answered,
        reached=answered,
        requests_share=share(answered, of.answered),
        tokens_share=share(tokens, of.tokens),
        cost_share=cost / of.cost_usd if of.cost_usd > 0 else None,
    )
