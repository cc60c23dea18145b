"""What the tests of the pages of rules share: what a person sends who fills in the editor, and where she sends it."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client
from django.utils import timezone

from core.models import User
from routing.models import Proposal, Version
from tests.dashboards.seeing import signed_in
from tests.factories import make_use_case
from tests.routing import making
from tests.routing.making import CHEAP, LEAD, MIDDLE, OPUS, make_draft, stock

ROLES = ("viewer", "finance", "engineer", "approver", "platform", "admin")
PRODUCTION = "/rules/production/"


def furnish() -> None:
    """Have a catalogue and the use case that `make_rule` names."""
    stock()
    make_use_case("code-review")


def draft_of(content: Any = None, **given: Any) -> Proposal:
    return make_draft(content, **{"at": timezone.now(), **given})


def version_of(content: Any = None, **given: Any) -> Version:
    return making.make_version(content, **{"at": timezone.now(), **given})


def at(draft: Proposal, rest: str = "") -> str:
    return f"{PRODUCTION}drafts/{draft.pk}/{rest}"


def typed(**overrides: Any) -> dict[str, Any]:
    """Return what is sent for a new rule that works: name a field None to leave it out, `_` stands for `-` in rows."""
    given: dict[str, Any] = {
        "saves": "0",
        "id": "hard",
        "title": "Hard code work",
        "use_cases": ["code-review"],
        "more_use_cases": "",
        "match": "all",
        "condition-0-field": "complexity",
        "condition-0-op": "gte",
        "condition-0-value": "0.75",
        "choose": "weight",
        "target-0-offering": OPUS,
        "target-0-weight": "90",
        "target-1-offering": MIDDLE,
        "target-1-weight": "10",
        "sticky_by": "session",
        "fallback-0-offering": CHEAP,
        "use_default": "on",
        "over_choose": "weight",
        "over-0-offering": CHEAP,
        "over-0-weight": "100",
        "rationale": "the best at hard code",
        "owner": "platform",
        "review_by": "2027-02-20",
    }
    given |= overrides
    return {name: value for name, value in given.items() if value is not None}


def form_of(page: str, form_id: str = "rule-form") -> dict[str, Any]:
    """Return what a browser would send for a form of a page as it is, untouched."""
    body = re.search(rf'<form[^>]*id="{form_id}".*?</form>', page, re.S)
    assert body is not None
    sent: dict[str, Any] = {}

    def put(name: str, value: str) -> None:
        sent.setdefault(name, []).append(html.unescape(value))

    for tag in re.findall(r"<input[^>]*>", body[0]):
        named = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        if named.get("type") == "checkbox" and not re.search(r"\bchecked\b", tag):
            continue
        if named.get("name") and named["name"] != "csrfmiddlewaretoken":
            put(named["name"], named.get("value", "on" if named.get("type") == "checkbox" else ""))
    for name, options in re.findall(r'<select[^>]*name="([^"]*)".*?>(.*?)</select>', body[0], re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options)
        first = re.search(r'<option value="([^"]*)"', options)
        found = chosen or first
        assert found is not None
        put(name, found[1])
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', body[0], re.S):
        put(name, text)
    return sent


def lead_signed_in(client: Client) -> User:
    """Sign the lead in who writes the drafts of these tests."""
    person = signed_in(client, "engineer")
    assert person.email != LEAD
    return person
