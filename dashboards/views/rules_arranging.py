"""The rules of a draft put in order: moved, copied, taken out and put back, taken back to what is in force."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from core.errors import Invalid, NotFound
from dashboards.views.rules_shown import whole
from dashboards.views.rules_step import ID_CHARACTERS, Step
from routing.rules import document
from routing.selectors import versions
from routing.selectors.proposals import ProposalDetail

_REMOVED = "rules-removed"  # in the session: the rule that was taken out of a draft last
_MOST_KEPT = 50_000  # characters of it
Rules = list[dict[str, Any]]


def another_id(taken: str, ids: set[str]) -> str:
    for number in range(1, len(ids) + 2):
        ending = "-copy" if number == 1 else f"-copy-{number}"
        made = taken[: ID_CHARACTERS - len(ending)] + ending
        if made not in ids:
            return made
    raise AssertionError("one of so many is free")


# --- Steps


def _arranged(one: Step, work: Callable[[Rules, int], int]) -> HttpResponse:
    """Work on the list of rules at the place that was sent, and show the place that the work returns."""
    one.seen()
    content: dict[str, Any] = copy.deepcopy(document.unresolved(one.found.content))
    place = whole(one.request.POST.get("place")) or 0
    if not 1 <= place <= len(content["rules"]):
        raise NotFound("There is no such rule.")
    shown = work(content["rules"], place - 1)
    one.save(content)
    return _shown(one, shown + 1)


def _shown(one: Step, place: int) -> HttpResponse:
    url = reverse("rules-draft", args=[one.found.row.environment, one.id])
    return redirect(f"{url}#rule-{place}")


def _move(one: Step) -> HttpResponse:
    def work(rules: Rules, index: int) -> int:
        wanted = one.request.POST.get("to", "").strip()
        number = whole(wanted)
        if number is None and wanted not in ("up", "down", ""):
            raise Invalid(f"Say where to as a number from 1 to {len(rules)}.")
        to = index + (1 if wanted == "down" else -1) if number is None else number - 1
        to = min(max(to, 0), len(rules) - 1)
        rules.insert(to, rules.pop(index))
        return to

    return _arranged(one, work)


def _copy(one: Step) -> HttpResponse:
    def work(rules: Rules, index: int) -> int:
        twin = copy.deepcopy(rules[index])
        twin["id"] = another_id(twin["id"], {rule["id"] for rule in rules})
        rules.insert(index + 1, twin)
        messages.success(one.request, f"The copy is called {twin['id']}. Until it differs it is never reached.")
        return index + 1

    return _arranged(one, work)


def _remove(one: Step) -> HttpResponse:
    taken: Rules = []

    def work(rules: Rules, index: int) -> int:
        taken.append(rules.pop(index))
        return max(index - 1, 0)

    answer = _arranged(one, work)
    place = whole(one.request.POST.get("place")) or 1
    messages.success(one.request, f"Rule {taken[0]['id']} is not in the draft any more.")
    if len(str(taken[0])) <= _MOST_KEPT:
        one.request.session[_REMOVED] = {"draft": one.id, "place": place, "rule": taken[0]}
    return answer


def _put_back(one: Step) -> HttpResponse:
    """Put back what was taken out last, where it was; or a rule that is in force and not in the draft."""
    wanted = one.request.POST.get("rule", "")
    kept = one.request.session.get(_REMOVED)
    live = _live_rules(one.found)
    one.seen()
    content: dict[str, Any] = copy.deepcopy(document.unresolved(one.found.content))
    rules: Rules = content["rules"]
    if any(rule["id"] == wanted for rule in rules):
        messages.info(one.request, f"Rule {wanted} is in the draft.")
        return _shown(one, 1)
    if kept and kept["draft"] == one.id and kept["rule"]["id"] == wanted:
        rule, index = kept["rule"], min(kept["place"] - 1, len(rules))
    else:
        rule = next((one for one in live if one["id"] == wanted), None)
        if rule is None:
            raise NotFound("There is no such rule.")
        index = _after_those_before(rules, live, wanted)
    rules.insert(index, dict(rule))
    one.save(content)
    if kept and kept["rule"]["id"] == wanted:
        del one.request.session[_REMOVED]
    messages.success(one.request, f"Rule {wanted} is back.")
    return _shown(one, index + 1)


def _after_those_before(rules: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]], wanted: str) -> int:
    """Return where a rule belongs: after the last of those that come before it in force."""
    before = set()
    for rule in live:
        if rule["id"] == wanted:
            break
        before.add(rule["id"])
    return max((index + 1 for index, rule in enumerate(rules) if rule["id"] in before), default=0)


def _revert(one: Step) -> HttpResponse:
    """Have a rule, or the default, as it is in force; it stays at its place."""
    wanted = one.request.POST.get("rule", "")
    one.seen()
    content: dict[str, Any] = copy.deepcopy(document.unresolved(one.found.content))
    live = _live(one.found)
    if wanted == "default" and live["default"]["targets"]:
        content["default"] = live["default"]
        one.save(content)
        messages.success(one.request, "The default is as it is in force.")
        return redirect(f"{reverse('rules-draft', args=[one.found.row.environment, one.id])}#rule-default")
    theirs = next((rule for rule in live["rules"] if rule["id"] == wanted), None)
    index = next((index for index, rule in enumerate(content["rules"]) if rule["id"] == wanted), None)
    if theirs is None or index is None:
        raise NotFound("There is no such rule in force.")
    content["rules"][index] = theirs
    one.save(content)
    messages.success(one.request, f"Rule {wanted} is as it is in force.")
    return _shown(one, index + 1)


def _live(found: ProposalDetail) -> Mapping[str, Any]:
    return versions.content_of(environment=found.row.environment, number=found.row.live_version)


def _live_rules(found: ProposalDetail) -> Sequence[Mapping[str, Any]]:
    rules: Sequence[Mapping[str, Any]] = _live(found)["rules"]
    return rules


def arranged_of(request: HttpRequest, found: ProposalDetail) -> dict[str, Any]:
    """Return what a draft's page needs for the ways back: what differs from what is in force, and what is missing.

    At most one query.
    """
    live = _live(found)
    theirs = {rule["id"]: rule for rule in live["rules"]}
    mine = {rule["id"]: rule for rule in found.content["rules"]}
    changed = {name for name, rule in mine.items() if name in theirs and not _same(rule, theirs[name])}
    if live["default"]["targets"] and not _same(live["default"], found.content["default"]):
        changed.add("default")
    kept = request.session.get(_REMOVED)
    removed = kept["rule"]["id"] if kept and kept["draft"] == found.row.id else ""
    missing = [name for name in theirs if name not in mine]
    if removed and removed not in mine and removed not in missing:
        missing.append(removed)
    return {"changed_rules": changed, "missing_rules": missing}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return document.dumps(one) == document.dumps(other)


ARRANGING: dict[str, Callable[[Step], HttpResponse]] = {
    "move": _move,
    "copy": _copy,
    "remove": _remove,
    "put-back": _put_back,
    "revert": _revert,
}
