"""Who runs which rules: the gateways of an environment, and all instances of one."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from dashboards import connecting
from dashboards.downloads import Table, offers
from dashboards.views import files_running
from dashboards.views.access import page
from dashboards.views.fleet_words import STATES, InstanceShown, RulesWords, counted, rules_words, shown
from dashboards.views.links import Link
from routing.rules import document
from routing.selectors import environments
from routing.selectors import fleet as page_of
from routing.selectors.environments import EnvironmentRow
from routing.selectors.fleet import Fleet, Standing

FOLDED = 8  # instances of a gateway on the page of all
PER_PAGE = 100
_MOST_NAME = 128


@dataclass(frozen=True, kw_only=True)
class GatewayShown:
    """A gateway of the fleet. `versions` are what it runs: number (None: it does not say), how many instances."""

    line: RulesWords
    counted: str
    reasons: list[str]  # why instances refuse the version that they refuse
    instances: list[InstanceShown]
    url: str


@dataclass(frozen=True, kw_only=True)
class VersionShown:
    number: int | None  # None: instances that do not say
    instances: int
    width: int  # per cent of those that are heard of
    live: bool


@page("rules.read")
def usual(request: HttpRequest) -> HttpResponse:
    return redirect("rules-fleet", environment=environments.USUAL)


def _table(request: HttpRequest, environment: str) -> Table:
    if all(one.name != environment for one in environments.listed()) and not page_of.standings(
        at=timezone.now(), environment=environment
    ):
        raise Http404("There is no such environment.")
    return files_running.fleet(environment=environment, at=timezone.now())


@page("rules.read")
@offers(_table)
def fleet(request: HttpRequest, environment: str) -> HttpResponse:
    now = timezone.now()
    rows = environments.listed()
    found = page_of.of(environment=environment, at=now, of_each=FOLDED)
    row = next((one for one in rows if one.name == environment), None)
    if row is None and not found.gateways:
        raise Http404("There is no such environment.")
    known = row is not None
    row = row or EnvironmentRow(id=None, name=environment, live_version=None, state_revision=0)
    return render(
        request,
        "dashboards/fleet.html",
        {
            "environment": environment,
            "environments": [
                Link(
                    id=one.name,
                    title=one.name,
                    url=reverse("rules-fleet", args=[one.name]),
                    current=one.name == environment,
                )
                for one in rows
            ],
            "row": row,
            "known": known,  # else a gateway asks for rules where nobody means to have any
            "found": found,
            "gateways": [
                GatewayShown(
                    line=rules_words(one, now),
                    counted=counted(one),
                    reasons=_reasons(one),
                    instances=shown(one.shown, now),
                    url=reverse("rules-fleet-gateway", args=[environment, one.gateway_id]),
                )
                for one in sorted(found.gateways, key=lambda one: page_of.STATES.index(one.state))
            ],
            "not_polling": [rules_words(one, now) for one in found.not_polling],
            "versions": _versions(found),
            "behind": found.of(page_of.BEHIND),
            "refused": found.of(page_of.REFUSED),
            "unheard": found.of(page_of.UNHEARD),
            "gone": found.of(page_of.GONE),
            "poll": _poll(row),
            "may_manage": request.user.has_perm("keys.manage"),
            "may_publish": request.user.has_perm("rules.publish"),
            "now": now,
        },
    )


@page("rules.read")
def gateway(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    now = timezone.now()
    state, after = request.GET.get("state", ""), request.GET.get("after")
    if (state and state not in page_of.STATES) or (after is not None and not _is_name(after)) or pk >= 2**63:
        raise Http404("There is no such page.")
    standing = next(iter(page_of.standings(at=now, environment=environment, gateway_ids=[pk])), None)
    if standing is None or standing.polled_at is None:
        raise Http404("No poll of this gateway is known in this environment.")
    rows = page_of.instances(
        at=now,
        environment=environment,
        gateway_id=pk,
        state=state or None,
        after=None if after is None else (pk, after),
        limit=PER_PAGE + 1,
    )
    url = reverse("rules-fleet-gateway", args=[environment, pk])
    chosen = {"state": state} if state else {}
    following = urlencode(chosen | {"after": rows[PER_PAGE - 1].name}) if len(rows) > PER_PAGE else ""
    kinds = [("", "All", standing.total)]
    kinds += [(one, STATES[one][1].capitalize(), standing.of(one)) for one in page_of.STATES if standing.of(one)]
    return render(
        request,
        "dashboards/fleet_gateway.html",
        {
            "environment": environment,
            "line": rules_words(standing, now),
            "counted": counted(standing),
            "kinds": [
                Link(
                    id=one,
                    title=f"{title} ({count:,})",
                    url=f"{url}?{urlencode({'state': one})}" if one else url,
                    current=one == state,
                )
                for one, title, count in kinds
            ],
            "instances": shown(rows[:PER_PAGE], now),
            "next_url": f"{url}?{following}" if following else "",
            "first_url": f"{url}?{urlencode(chosen)}" if after is not None else "",
            "now": now,
        },
    )


def _versions(found: Fleet) -> list[VersionShown]:
    return [
        VersionShown(
            number=number,
            instances=count,
            width=100 * count // found.heard,
            live=number is not None and number == found.live_version,
        )
        for number, count in found.versions
    ]


def _reasons(one: Standing) -> list[str]:
    """Return why instances refuse, of those that are shown: the worst are."""
    found = (each.refused_reason or "no reason given" for each in one.shown if each.state == page_of.REFUSED)
    return list(dict.fromkeys(found))


def _poll(row: EnvironmentRow) -> str:
    """Return the line with which a gateway asks for its rules and says what it runs."""
    said = {"instance": "pod-1", "client": "own/1.0", "spec": str(document.SPEC)}
    if row.live_version is not None:
        said["active"] = f"{row.live_version}.{row.state_revision}"
    return (
        f"curl -i -G {settings.BASE_URL}/api/v1/rules/{row.name} \\\n"
        f"  {' '.join(f'-d {name}={value}' for name, value in said.items())} \\\n"
        f'  -H "Authorization: Bearer {connecting.YOUR_KEY}"'
    )


def _is_name(text: str) -> bool:
    return len(text) <= _MOST_NAME and "\x00" not in text
