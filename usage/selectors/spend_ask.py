"""What can be asked about spend: dimensions, filters, measures, and how much at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.models import Tier
from core.errors import Invalid
from usage.models import Status
from usage.selectors.spend_sums import USUAL

QUARTER_HOUR = timedelta(minutes=15)
LONGEST = timedelta(days=3700)
LONGEST_BY_HOUR = timedelta(days=93)
LONGEST_IN_LEDGER = timedelta(days=31)
MOST_GROUPS = 6
OTHERS = "\0others"  # a key that stands for every name that is not told apart; no name has a NUL


class NeedsLedger(Invalid):
    """No rollup can tell; the ledger can, in the background. The message says why."""


@dataclass(frozen=True, kw_only=True)
class SpendAsk:
    """Sums over [starts_at, ends_at), one row per combination of `group_by`, of what passes every filter.

    A filter passes whatever has one of its values; the empty text stands for "none". Days, weeks, months and hours are
    those of `zone`. `measures` names the sums that are wanted (of `spend_sums.MEASURES`): each costs time, and what was
    not asked is None; those of `spend_sums.ALWAYS` are there, unless `bare` says that nobody reads them: then they are
    0.
    Of a dimension in `apart` only the values given are told apart: all others are one row, whose key is `OTHERS`.
    """

    starts_at: datetime
    ends_at: datetime
    zone: str
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: tuple[str, ...] = USUAL
    bare: bool = False
    apart: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A column of rollups and ledger, and how its values become names: by a join (`label`) or as they are."""

    column: str
    label: str = ""
    joins: tuple[str, ...] = ()
    in_tags: bool = False  # whether `rollup_day_tag` has it


_OFFERING = "LEFT JOIN catalog_offering offering ON offering.id = p.offering_id"
TIERS: dict[int, str] = {number: str(label) for number, label in Tier.choices}
STATUSES: dict[int, str] = {number: str(label) for number, label in Status.choices}

DIMENSIONS_KEPT: dict[str, Dimension] = {
    "use_case": Dimension(
        column="use_case_id",
        label="use_case.name",
        joins=("LEFT JOIN catalog_usecase use_case ON use_case.id = p.use_case_id",),
        in_tags=True,
    ),
    "team": Dimension(
        column="team_id",
        label="team.name",
        joins=("LEFT JOIN catalog_team team ON team.id = p.team_id",),
        in_tags=True,
    ),
    "model": Dimension(
        column="offering_id",
        label="model.name",
        joins=(_OFFERING, "LEFT JOIN catalog_model model ON model.id = offering.model_id"),
        in_tags=True,
    ),
    "provider": Dimension(
        column="offering_id",
        label="provider.name",
        joins=(_OFFERING, "LEFT JOIN catalog_provider provider ON provider.id = offering.provider_id"),
        in_tags=True,
    ),
    "offering": Dimension(column="offering_id", label="offering.name", joins=(_OFFERING,), in_tags=True),
    "gateway": Dimension(
        column="gateway_id",
        label="gateway.name",
        joins=("LEFT JOIN catalog_gateway gateway ON gateway.id = p.gateway_id",),
        in_tags=True,
    ),
    "tier": Dimension(column="tier", in_tags=True),
    "status": Dimension(column="status", in_tags=True),
    "rule": Dimension(column="rule"),
    "reason": Dimension(column="reason"),
    "environment": Dimension(column="environment"),
    "task": Dimension(column="task"),
    "requested_model": Dimension(column="requested_model"),
    "rules_version": Dimension(column="rules_version"),
    "correction_of": Dimension(column="correction_of"),
}
UNKEPT = Dimension(column="")
CALENDAR = ("day", "week", "month")
TIMES = ("hour", *CALENDAR)
DIMENSIONS = (*DIMENSIONS_KEPT, *TIMES)  # and tag:NAME
TAG = "tag:"


def tag_name(dimension: str) -> str:
    """Return the tag that a dimension such as `tag:env` means; empty where it is no tag."""
    return dimension[len(TAG) :] if dimension.startswith(TAG) else ""


def tags_of(ask: SpendAsk) -> list[str]:
    """Return the tags that are asked by, each once and in order."""
    return sorted({tag for tag in map(tag_name, (*ask.group_by, *ask.filters)) if tag})


def check(*, ask: SpendAsk) -> None:
    """Look at everything that can be seen without the database.

    Raises:
        Invalid: with all that is wrong.
    """
    problems: list[tuple[str, str]] = []
    if ask.ends_at <= ask.starts_at:
        problems.append(("to", "The range is empty: `to` has to come after `from`."))
    elif ask.ends_at - ask.starts_at > LONGEST:
        problems.append(("to", f"A range has {LONGEST.days} days at most."))
    elif "hour" in ask.group_by and ask.ends_at - ask.starts_at > LONGEST_BY_HOUR:
        problems.append(("group_by", f"By hour a range has {LONGEST_BY_HOUR.days} days at most."))
    if len(ask.group_by) > MOST_GROUPS:
        problems.append(("group_by", f"Group by {MOST_GROUPS} dimensions at most."))
    if len(set(ask.group_by)) < len(ask.group_by):
        problems.append(("group_by", "Name each dimension once."))
    for name in ask.group_by:
        if name not in DIMENSIONS and not tag_name(name):
            problems.append(("group_by", f"There is no dimension {name!r}: {', '.join(DIMENSIONS)}, tag:NAME."))
    for name in ask.filters:
        if name not in DIMENSIONS_KEPT and not tag_name(name):
            problems.append((name, f"There is no filter {name!r}: {', '.join(DIMENSIONS_KEPT)}, tag:NAME."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


def check_for_ledger(*, ask: SpendAsk) -> None:
    """Look at everything that can be seen without the database.

    Raises:
        Invalid: as `check`; the range is longer than 31 days.
    """
    check(ask=ask)
    if ask.ends_at - ask.starts_at > LONGEST_IN_LEDGER + timedelta(hours=2):  # a month may gain an hour or two
        raise Invalid(
            "This has to be read from the ledger, which answers for 31 days at most: ask for fewer days, or for whole "
            "days and declared tags.",
            [("to", "more than 31 days after `from`")],
        )


def written_instant(at: datetime) -> str:
    """Return an instant as JSON carries it: RFC 3339 in UTC, with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
