"""When the rules in force are to be looked at again: what is overdue, what is due soon, and all others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from routing.models import Environment, Version
from routing.rules import document

AHEAD_DAYS = 14
OVERDUE, DUE, LATER, NEVER = "overdue", "due", "later", "never"
STATES = (OVERDUE, DUE, LATER, NEVER)


@dataclass(frozen=True, kw_only=True)
class Review:
    """A rule in force with the day by which somebody looks at it again. That day itself is not overdue yet."""

    environment_id: int
    environment: str
    version: int
    place: int  # among the rules, from 1 on
    rule: str  # its id
    title: str
    owner: str
    rationale: str
    review_by: date | None
    days_left: int | None  # below 0 where it is overdue; None without a day

    @property
    def state(self) -> str:
        if self.days_left is None:
            return NEVER
        if self.days_left < 0:
            return OVERDUE
        return DUE if self.days_left <= AHEAD_DAYS else LATER


def listed(*, today: date, environment: str | None = None) -> list[Review]:
    """Return the rules in force, of one environment or of all, by day, those without one last; `today` is the
    organisation's.

    Two queries.
    """
    found = Environment.objects.filter(live_version__isnull=False)
    if environment is not None:
        found = found.filter(name=environment)
    live = {one.pk: one for one in found}
    versions = Version.objects.filter(environment_id__in=live).only("environment_id", "number", "canonical")
    # An environment has one version in force and may have had thousands.
    numbers = {one.live_version for one in live.values() if one.live_version is not None}
    rows = [
        row
        for version in versions.filter(number__in=numbers)
        if version.number == live[version.environment_id].live_version
        for row in _of(live[version.environment_id], version, today)
    ]
    return sorted(rows, key=lambda row: (row.review_by or date.max, row.environment, row.place))


def _of(environment: Environment, version: Version, today: date) -> list[Review]:
    rules = document.parse(bytes(version.canonical))["rules"]
    return [
        Review(
            environment_id=environment.pk,
            environment=environment.name,
            version=version.number,
            place=place,
            rule=rule["id"],
            title=rule.get("title") or "",
            owner=rule.get("owner") or "",
            rationale=rule.get("rationale") or "",
            review_by=day,
            days_left=None if day is None else (day - today).days,
        )
        for place, rule in enumerate(rules, 1)
        for day in (_day(rule.get("review_by")),)
    ]


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
