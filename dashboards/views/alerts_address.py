"""What an address of the page of alerts says: which of them are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, QueryDict
from django.urls import reverse

from alerts.models import Severity
from dashboards.views.links import number

STATES = {
    "open": "Open",
    "snoozed": "Snoozed",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
    "all": "All",
}
SEVERITIES = {str(severity.label): int(severity) for severity in reversed(Severity)}
_KIND_CHARACTERS = 32


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which alerts are asked for; empty and None mean all, and notices only where `notices` says so."""

    state: str = "open"
    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    team: int | None = None
    budget: int | None = None
    notices: bool = False
    before: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the address, and hidden fields of a form that comes back to it."""
        found = [("state", self.state)] if self.state != "open" else []
        found += [("kind", kind) for kind in self.kinds]
        found += [("severity", severity) for severity in self.severities]
        found += [("team", str(self.team))] if self.team is not None else []
        found += [("budget", str(self.budget))] if self.budget is not None else []
        found += [("notices", "yes")] if self.notices else []
        found += [("before", self.before)] if self.before else []
        return found

    @property
    def narrowed(self) -> bool:
        return bool(self.kinds or self.severities or self.team or self.budget)

    @property
    def seen(self) -> tuple[datetime, int] | None:
        """The last alert of the page before this one."""
        return _seen(self.before)

    def url(self, **changes: Any) -> str:
        """Return the address with changes; another selection begins with its first page."""
        query = urlencode(replace(self, **{"before": "", **changes}).pairs)
        return f"{reverse('alerts')}{'?' if query else ''}{query}"

    def after(self, created_at: datetime, alert_id: int) -> str:
        return self.url(before=f"{created_at.isoformat()}~{alert_id}")


def read(given: QueryDict) -> Asked:
    """Return what an address, or a form of its page, asks for.

    Raises:
        Http404: it means nothing.
    """
    asked = Asked(
        state=given.get("state") or "open",
        kinds=tuple(dict.fromkeys(kind for kind in given.getlist("kind") if kind)),
        severities=tuple(dict.fromkeys(name for name in given.getlist("severity") if name)),
        team=number(given, "team"),
        budget=number(given, "budget"),
        notices=given.get("notices", "") == "yes",
        before=given.get("before", ""),
    )
    if asked.state not in STATES or not set(asked.severities) <= SEVERITIES.keys():
        raise Http404("There is no such selection.")
    if any(len(kind) > _KIND_CHARACTERS or not kind.isprintable() for kind in asked.kinds):
        raise Http404("There is no such kind of alert.")
    _seen(asked.before)
    return asked


def _seen(text: str) -> tuple[datetime, int] | None:
    if not text:
        return None
    instant, _, pk = text.partition("~")
    try:
        created_at = datetime.fromisoformat(instant)
        if created_at.tzinfo is None:
            raise ValueError("an instant has an offset")
        return created_at, int(pk)
    except ValueError as error:
        raise Http404("There is no such page.") from error
