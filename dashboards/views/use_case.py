"""The page of one use case, and the form that changes what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from catalog.models import UNASSIGNED_ID, Offering, Team, UseCase
from catalog.services import use_cases
from core import access, periods
from core.models import Organisation
from dashboards.charts import about as charts
from dashboards.forms_use_cases import UseCaseForm
from dashboards.selectors import about as shared
from dashboards.selectors import attention as attention_of
from dashboards.selectors import use_case as page_of
from dashboards.selectors.numbers import numbers
from dashboards.selectors.use_case import UseCasePage
from dashboards.templatetags.figures import exact, percent, usd, usd_tile
from dashboards.templatetags.links import model_url, offering_url
from dashboards.views import about
from dashboards.views.access import page, zone_of
from dashboards.views.catalog_changes import Change, answer, ready
from dashboards.views.links import Link
from dashboards.views.rules_shown import RuleShown, default_of, rules_of
from usage.selectors import freshness


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    rule: RuleShown
    url: str
    requests: str
    share: str


@dataclass(frozen=True, kw_only=True)
class RulesShown:
    """What is in force in an environment for the use case, and the ways to the rules and to trying a request."""

    environment: str
    url: str
    try_url: str
    version: int
    decided: int
    others: int
    lines: Sequence[RuleLine]


def _found(pk: int) -> UseCase:
    found = page_of.found(pk)
    if found is None:
        raise Http404("There is no such use case.")
    return found


@page("view")
def use_case(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    found = _found(pk)
    may_read = access.may(request.user, "rules.read")
    shown = page_of.one(use_case=found, organisation=organisation, at=now, with_rules=may_read)
    models = {one.id: one.model for one in shown.named.values()}
    month = shown.days.today.replace(day=1)
    may_edit = access.may(request.user, "catalog.edit") and pk != UNASSIGNED_ID
    context = {
        "page": shown,
        "use_case": found,
        "team": shown.team(now),
        "unassigned": pk == UNASSIGNED_ID,
        "edit_url": reverse("use-case-edit", args=[pk]) if may_edit and found.state != "merged" else "",
        "may_edit": may_edit,
        "ways": about.ways_on(shown.days, use_case=found.name),
        "statement_url": reverse("statement-use-case", args=[month, pk]),
        "statement_month": month,
        "month_stats": about.month_stats(shown.month, use_case=found.name),
        "stats": _stats(shown, organisation),
        "spend_chart": charts.spend_per_day(
            shared.parts(shown.rows, models), id="spend-figure", what="model", numbers=numbers("model"), days=shown.days
        ),
        "per_1000_chart": charts.cost_per_1000(shown.weeks),
        "shares_chart": charts.shares(shown.weeks, organisation),
        "offerings": [about.part_of(one, offering_url(one.name)) for one in shown.offerings],
        "tables": _tables(shown),
        "models": [(name, model_url(name)) for name in sorted({one.model for one in shown.named.values()})],
        "rules": _rules(shown) if may_read else [],
        "may_read": may_read,
        "budgets": about.budget_lines(shown.budgets),
        "alerts": about.alerts_of(shown.alerts),
        "savings_url": about.page_url("savings", use_case=found.name),
        "tags": shown.tags,
        "entries": [(one, about.page_url("event", one.source_id, one.digest)) for one in shown.entries],
        "entries_url": dict(about.ways_on(shown.days, use_case=found.name)).get("Entries", ""),
        "steps": about.steps(shown.trail, _names(shown)),
        "days": shared.DAYS_LISTED,
        "complete_through": freshness.complete_through(at=now),
        "priced_share": shown.listed.priced_share,
    }
    return render(request, "dashboards/use_case.html", context)


def _stats(shown: UseCasePage, organisation: Organisation) -> list[dict[str, str]]:
    """Return the cards of the listed days."""
    sums = shown.listed
    return [
        about.stat("Cost per 1,000 requests", usd(sums.per_1000_usd), f"{exact(sums.requests)} requests"),
        about.frontier_stat(sums, organisation),
        about.open_stat(shown.open_share, organisation),
        about.tokens_stat(sums),
        about.failed_stat(sums),
        about.latency_stat(sums),
        *_saved_stat(shown),
    ]


def _saved_stat(shown: UseCasePage) -> list[dict[str, str]]:
    """Return the card of what was saved; without a baseline there is none, and with nothing compared it says so."""
    saved = shown.saved
    if saved is None:
        return []
    compared = saved.requests > 0
    return [
        about.stat(
            "Saved" if not compared or saved.net_usd >= 0 else "Cost more by",
            usd_tile(abs(saved.net_usd)) if compared else "\N{EN DASH}",
            f"{percent(abs(saved.share))} of what {shown.use_case.baseline} would have cost"
            if compared and saved.share is not None
            else "nothing can be compared with the baseline",
            exact=f"${exact(saved.net_usd)}" if compared else "",
            url=about.page_url("savings", use_case=shown.use_case.name),
        )
    ]


def _tables(shown: UseCasePage) -> list[tuple[str, str, str, list[about.PartShown]]]:
    """Return the smaller tables as (id, title, head of the first column, rows); empty ones are left out."""
    gateways = {name: reverse("gateway", args=[pk]) for name, pk in shown.gateway_ids.items()}
    found = [
        ("tasks", "Tasks", "Task", [about.part_of(one) for one in shown.tasks if one.name or len(shown.tasks) > 1]),
        ("requested", "Asked for", "Model asked for", [about.part_of(one) for one in shown.requested]),
        ("fallbacks", "Why fallbacks answered", "Reason", [about.part_of(one) for one in shown.fallbacks]),
        (
            "gateways",
            "Gateways",
            "Gateway",
            [about.part_of(one, gateways.get(one.name, "")) for one in shown.gateways],
        ),
    ]
    return [each for each in found if each[3]]


def _rules(shown: UseCasePage) -> list[RulesShown]:
    found = []
    for one in shown.rules:
        in_order = {rule.place: rule for rule in rules_of(one.content, today=shown.days.today)}
        in_order[0] = default_of(one.content, today=shown.days.today)
        url = reverse("rules-environment", args=[one.environment])
        found.append(
            RulesShown(
                environment=one.environment,
                url=url,
                try_url=about.page_url("rules-try", one.environment, use_case=shown.use_case.name),
                version=one.version,
                decided=one.decided,
                others=one.others,
                lines=[
                    RuleLine(
                        rule=in_order[each.place],
                        url=f"{url}#rule-{each.place or 'default'}",
                        requests=exact(each.requests),
                        share=percent(each.share),
                    )
                    for each in one.applies
                ],
            )
        )
    return found


def _names(shown: UseCasePage) -> Mapping[str, Mapping[str, str]]:
    """Return the names that the trail gives as numbers. One query, none where no baseline was ever chosen."""
    columns = [one for line in shown.trail for one in line.differences if one.column == "baseline id"]
    ids = {text for one in columns for text in (one.before, one.after) if text.isdecimal()}
    baselines = Offering.objects.filter(pk__in=ids).values_list("pk", "name") if ids else ()
    return {
        "team id": {str(one.team_id): one.name for one in shown.teams},
        "baseline id": {str(pk): name for pk, name in baselines},
    }


@page("catalog.edit", "GET", "HEAD", "POST")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what is said of a use case, and which team answers for it from a day on."""
    found = _found(pk)
    if pk == UNASSIGNED_ID or found.state == "merged":
        raise Http404("Nothing of it can be changed.")
    zone, by, now = zone_of(request), access.label(request.user), timezone.now()
    known = attention_of.known_teams()
    held = found.teams.filter(valid__contains=now).select_related("team").first()
    initial = {
        "title": found.title, "owner": found.owner, "data_class": found.data_class,
        "team": held.team.name if held else "", "since": periods.local_day(now, zone),
    }  # fmt: skip
    form = UseCaseForm(request.POST or None, teams=[*known, *({held.team.name} - known.keys() if held else ())],
                       initial=initial)  # fmt: skip
    go = ready(request, form)

    def make(at: datetime) -> None:
        given = form.cleaned_data
        if given["team"] and given["team"] in known:
            use_cases.assign_team(
                use_case=found, team=Team.objects.get(pk=known[given["team"]]), since_at=form.since_at(zone), by=by,
                reason=given["reason"], at=at,
            )  # fmt: skip
        use_cases.change(
            use_case=found, title=given["title"], owner=given["owner"], data_class=given["data_class"], by=by,
            reason=given["reason"],
        )  # fmt: skip

    return answer(
        request, form=form, make=make, ready=go, done=reverse("use-case", args=[pk]),
        told=f"{found.name} is changed.",
        change=Change(
            title=f"Change {found.name}", action="Change it",
            above=Link(id="above", title="Use cases", url=reverse("use-cases")),
            back=Link(id="back", title=found.name, url=reverse("use-case", args=[pk])),
            intro="Title, owner and data class hold at once. Another team answers for it from the day that is chosen: "
            "calls since then that named no team, or the team before, move to it. Months that are closed stay as they "
            "are.",
        ),
    )  # fmt: skip
