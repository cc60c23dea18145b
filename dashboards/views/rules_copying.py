"""A rule from another version or environment, to be copied into a draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from dashboards.views.access import page
from dashboards.views.rules_shown import found_environment, rules_of, today, whole
from dashboards.views.rules_step import found_proposal
from routing.selectors import environments, versions
from routing.selectors.proposals import ProposalDetail


@page("rules.edit")
def choose(request: HttpRequest, environment: str, pk: int) -> HttpResponse:
    """Show the rules of a version of any environment, each with a way to copy it into the draft."""
    found = found_proposal(environment, pk)
    source = request.GET.get("from", "") or environment
    row = found_environment(source) if "\x00" not in source else None
    if row is None:
        raise Http404("There is no such environment.")
    asked = request.GET.get("version", "").strip()
    number = whole(asked) if asked else row.live_version
    version = versions.one(environment=source, number=number) if number else None
    url = reverse("rules-rule-new", args=[environment, pk])
    rules = rules_of(version.content, today=today(request)) if version else []
    return render(
        request,
        "dashboards/rules_copying.html",
        {
            "environment": environment,
            "row": found.row,
            "source": source,
            "asked": asked[:10] or (number or ""),
            "known": [one.name for one in environments.listed()],
            "version": version.row if version else None,
            "rules": [
                (rule, f"{url}?{urlencode({'from': source, 'version': str(number), 'rule': rule.id})}")
                for rule in rules
            ],
            "wrong": f"There is no version {asked[:10]} of {source}." if asked and version is None else "",
        },
    )


def rule_to_copy(request: HttpRequest, found: ProposalDetail) -> Mapping[str, Any] | None:
    """Return the rule that an address names: of this draft, or of a version of any environment; None for none.

    Raises:
        Http404: it names one that there is not.
    """
    name = request.GET.get("rule")
    if name is None:
        return None
    source, number = request.GET.get("from", ""), whole(request.GET.get("version"))
    if "\x00" in source + name:
        raise Http404("There is no such rule.")
    if source:
        rules = versions.content_of(environment=source, number=number)["rules"]
    else:
        rules = found.content["rules"]
    for rule in rules:
        if rule["id"] == name:
            copied: Mapping[str, Any] = rule
            return copied
    raise Http404("There is no such rule.")
