"""The routing page: where traffic goes, and what the rules changed about it. Everything it shows is in its address."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from core import access, periods
from core.models import Organisation
from dashboards.charts import routing as charts
from dashboards.charts import routing_flow
from dashboards.selectors import routing as page_of
from dashboards.selectors.routing import Question
from dashboards.selectors.routing_rules import MOST_MOVES
from dashboards.views import days
from dashboards.views import routing_rows as rows
from dashboards.views.access import page
from dashboards.views.links import Link
from dashboards.views.routing_address import FILTERS, State, elsewhere, question_of, read
from routing.selectors import environments, switches
from usage.selectors import failing


@page("view")
def routing(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    alone = bool(request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"))
    state, problems = read(request.GET)
    question, more = question_of(state, zone=organisation.zone, today=periods.local_day(now, organisation.zone))
    problems += more
    if alone and problems:
        # htmx swaps in no answer of 400: the whole page says what is wrong.
        return HttpResponse(status=400, headers={"HX-Redirect": request.get_full_path()})
    if alone:
        shares = page_of.shares(question)
        return render(request, "dashboards/_routing_alone.html", _share_context(shares, state))

    switched = switches.in_force(at=now)
    here = request.get_full_path()
    failing_rows = rows.failing_rows(failing.lately(at=now), switched, here)
    context: dict[str, Any] = {
        "switched": switched,
        "switch_environment": environments.USUAL,
        "failing_rows": failing_rows,
        "may_switch": access.may(request.user, "switches.turn"),
        "here": here,
        "problems": problems,
        "question": question,
        "state": state,
        "choices": page_of.choices(),
        "presets": _presets(state, question),
        "range_words": days.range_words(question.first, question.last),
        "chips": [
            (title, value, state.url(**{name: ""}))
            for name, title in FILTERS.items()
            if (value := getattr(state, name))
        ],
        "clear_url": state.url(environment="", use_case="", team=""),
        "now": now,
    }
    if not problems:
        shown = page_of.page(question=question, at=now)
        context |= {
            "shown": shown,
            **_share_context(shown.shares, state),
            "stats": rows.stats(shown),
            "detour_chart": charts.detours(shown),
            "requested_chart": routing_flow.requested(shown.asked),
            "version_rows": [rows.version_row(line, shown) for line in shown.versions],
            "use_case_rows": [rows.use_case_row(one, question) for one in shown.use_cases],
            "move_rows": [rows.move_row(move, shown) for move in shown.moves[:MOST_MOVES]],
            "moves_left": shown.moves[MOST_MOVES:],
            "reason_rows": [rows.reason_row(line, shown) for line in shown.reasons],
            "rule_rows": [rows.rule_row(line, shown) for line in shown.rules],
            "idle_rows": [rows.idle_row(one, at=now) for one in shown.idle.rules] if shown.idle else [],
            "may_edit": access.may(request.user, "rules.edit"),
            "offering_rows": [rows.offering_row(one, failing_rows, question) for one in shown.offerings],
            "ways_on": _ways_on(question),
            "daily": page_of.MOST_DAILY,
            "complete_through": shown.complete_through,
            "priced_share": shown.priced_share,
        }
    return render(request, "dashboards/routing.html", context, status=400 if problems else 200)


def _share_context(shares: page_of.Shares, state: State) -> dict[str, Any]:
    return {
        "measure_links": [
            Link(id=f"measure-{key}", title=title, url=state.url(measure=key), current=key == state.measure)
            for key, title in charts.MEASURES.items()
        ],
        "source_links": [
            Link(id=f"source-{key}", title=title, url=state.url(source=key), current=key == state.source)
            for key, title in routing_flow.SOURCES.items()
        ],
        "flow_chart": routing_flow.flow(shares),
        "tier_chart": charts.share_by_tier(shares),
        "model_chart": charts.share_by_model(shares),
        "flow_links": _links("flow", shares.question, shares.question.source),
        "tier_links": _links("tier", shares.question, "tier"),
        "model_links": _links("model", shares.question, "model"),
    }


def _links(figure: str, question: Question, by: str, **filters: str) -> list[Link]:
    """Return where the numbers of a figure are explained."""
    return [
        Link(id=f"{figure}-spend", title="In the explorer", url=elsewhere("spend", question, by=by, **filters)),
        Link(id=f"{figure}-entries", title="Entries", url=elsewhere("entries", question, **filters)),
    ]


def _ways_on(question: Question) -> dict[str, list[Link]]:
    return {
        "detours": _links("detours", question, "reason"),
        "requested": _links("requested", question, "requested_model"),
        "rules": _links("rules", question, "rule"),
        "offerings": _links("offerings", question, "offering"),
    }


def _presets(state: State, question: Question) -> list[Link]:
    return [
        Link(
            id=f"range-{number}",
            title=title,
            url=state.url(first=first, last=last),
            current=(question.first, question.last) == (first, last),
        )
        for number, (title, (first, last)) in enumerate(days.presets(question.today).items())
    ]
