"""Any two sets of rules of an environment side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from dashboards.views.access import page
from dashboards.views.rules_shown import STATES, found_environment
from routing.rules.differences import PartChange
from routing.selectors import comparing, proposals, versions
from routing.selectors.comparing import Compared, draft_name
from routing.selectors.versions import VersionRow

MOST_VERSIONS, MOST_DRAFTS = 100, 50
_TONES = {"added": "ok", "removed": "danger", "changed": "info", "moved": "neutral"}


@dataclass(frozen=True, kw_only=True)
class SideShown:
    """One side in words; `url` leads to its own page."""

    side: Compared
    name: str
    url: str
    tone: str
    state: str


@dataclass(frozen=True, kw_only=True)
class PartShown:
    part: PartChange
    title: str  # what people call the rule, if it has a title
    tone: str
    places: str  # where a rule stands, and stood


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parts that follow each other: one that differs, or all up to the next that does."""

    same: bool
    parts: Sequence[PartShown]


@page("rules.read")
def compare(request: HttpRequest, environment: str) -> HttpResponse:
    row = found_environment(environment)
    listed = versions.newest(environment=environment, limit=MOST_VERSIONS)
    drafts = proposals.newest(environment=environment, states=proposals.OPEN, limit=MOST_DRAFTS)
    live = str(row.live_version or "")
    after = request.GET.get("after") or live
    before = request.GET.get("before") or (_base_of(live, listed) if after == live else live)
    found = comparing.one(environment=environment, before=before, after=after) if before and after else None
    asked = bool(request.GET.get("before") or request.GET.get("after"))
    options = [
        ("Drafts", [(draft_name(one.id), f"Draft: {one.title}") for one in drafts]),
        ("Versions", [(str(one.number), _version_label(one.number, one.title, live=one.live)) for one in listed]),
    ]
    groups = _groups(found.parts) if found else []
    url = reverse("rules-compare", args=[environment])
    return render(
        request,
        "dashboards/rules_compare.html",
        {
            "environment": environment,
            "choosers": [
                ("before", "Before", _with(options, found.before if found else None), before),
                ("after", "After", _with(options, found.after if found else None), after),
            ],
            "sides": [_side(environment, side) for side in (found.before, found.after)] if found else [],
            "found": found,
            "rules": [one for one in groups if one.parts[0].part.kind == "rule"],
            "others": [one for one in groups if one.parts[0].part.kind != "rule"],
            "lines": len(found.lines) if found else 0,
            "swapped_url": f"{url}?before={found.after.name}&after={found.before.name}" if found else "",
            "wrong": "Choose two versions or drafts that there are." if asked and not found else "",
            "enough": len(listed) + len(drafts) > 1,
        },
        status=400 if asked and not found else 200,
    )


def _base_of(live: str, listed: Iterable[VersionRow]) -> str:
    return next((str(one.base or "") for one in listed if str(one.number) == live), "")


def _version_label(number: int | None, title: str, *, live: bool) -> str:
    return f"{number}: {title}{' (in force)' if live else ''}"


def _with(
    options: list[tuple[str, list[tuple[str, str]]]], side: Compared | None
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Offer what is shown as well, where it is older than what is listed, or a draft that is settled."""
    if side is None or any(name == side.name for _, of_group in options for name, _ in of_group):
        return options
    label = f"Draft: {side.title}" if side.draft else _version_label(side.version, side.title, live=False)
    return [("Shown now", [(side.name, label)]), *options]


def _side(environment: str, side: Compared) -> SideShown:
    if side.draft:
        tone, state = STATES[side.state]
        url = reverse("rules-draft", args=[environment, side.draft])
        return SideShown(side=side, name=f"Draft {side.draft}", url=url, tone=tone, state=state)
    tone, state = ("ok", "in force") if side.state == "in_force" else ("neutral", "")
    url = reverse("rules-version", args=[environment, side.version])
    return SideShown(side=side, name=f"Version {side.version}", url=url, tone=tone, state=state)


def _groups(parts: Iterable[PartChange]) -> list[Group]:
    # Apart by kind as well: rules stand in a card of their own.
    made: list[Group] = []
    for (same, _), run in groupby(parts, key=lambda part: (part.state == "same", part.kind == "rule")):
        shown = [_part(part) for part in run]
        made += [Group(same=True, parts=shown)] if same else [Group(same=False, parts=[one]) for one in shown]
    return made


def _part(part: PartChange) -> PartShown:
    there = part.after or part.before
    places = ""
    if part.kind == "rule" and part.state != "same":
        was, now = part.place_before, part.place_after
        places = f"stands {part.stands}" if part.state == "added" else f"stood at place {was}" if not now else ""
        if part.moved:
            places = f"moved from place {was} to {now}, {part.stands}"
    title = there.get("title", "") if part.kind == "rule" else ""
    return PartShown(part=part, title=title, tone=_TONES.get(part.state, "neutral"), places=places)
