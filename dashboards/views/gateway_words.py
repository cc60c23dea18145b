"""What the pages of gateways say in words: how they stand with the rules, how their keys and streams are doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse

from dashboards.forms_gateways import KINDS
from dashboards.selectors.gateways import GatewayRow, KeyRow
from dashboards.templatetags.figures import exact
from dashboards.views.fleet_words import RulesWords, rules_words
from usage.selectors.freshness import Lag

_SOON = timedelta(days=14)
_LAGS = timedelta(minutes=2)  # a body that waits longer than this is not just on its way


@dataclass(frozen=True, kw_only=True)
class KeyLine:
    """A key as tables show it."""

    row: KeyRow
    tone: str
    state: str
    may_rotate: bool


def key_line(row: KeyRow, *, now: datetime, grantable: Sequence[str]) -> KeyLine:
    tone, state = "ok", "works"
    if row.revoked_at is not None:
        tone, state = "neutral", "revoked"
    elif row.expires_at is not None and row.expires_at <= now:
        tone, state = "neutral", "expired"
    elif row.expires_at is not None and row.expires_at <= now + _SOON:
        tone, state = "warning", "expires soon"
    rotates = row.revoked_at is None and row.gateway_id is not None and set(row.scopes) <= set(grantable)
    return KeyLine(row=row, tone=tone, state=state, may_rotate=rotates)


@dataclass(frozen=True, kw_only=True)
class NotCounted:
    """Events of a day that are in no total, of one kind; `wrong` where somebody should look."""

    count: int
    words: str
    wrong: bool
    url: str


@dataclass(frozen=True, kw_only=True)
class GatewayLine:
    """A gateway as the list shows it."""

    row: GatewayRow
    kind: str
    lags: bool
    rules: Sequence[RulesWords]

    not_counted: Sequence[NotCounted]

    @property
    def rates(self) -> Sequence[str]:
        """Events a minute over the last 15 minutes, hour and day, in words."""
        one = self.row.received
        return [rate_words(n) for n in (one.per_minute_15min, one.per_minute_hour, one.per_minute_day)] if one else []

    @property
    def lag(self) -> Sequence[str]:
        """How late its calls come in, median and 95th percentile, in words."""
        return lag_words(self.row.received.lag) if self.row.received else []

    @property
    def booking(self) -> Sequence[str]:
        return lag_words(self.row.received.booking) if self.row.received else []

    @property
    def wrong(self) -> int:
        return sum(one.count for one in self.not_counted if one.wrong)


def not_counted(row: GatewayRow) -> list[NotCounted]:
    """Return what came in within 24 hours and is in no total."""
    if row.received is None:
        return []
    errors, of = row.received.errors, f"gateway={row.id}"
    bodies, held = f"{reverse('intake')}?show=in_part&{of}", f"{reverse('held')}?{of}"
    kinds = (
        ("rejected", "refused", True, bodies),
        ("conflicts", "in conflict", True, f"{held}&reason=conflict"),
        ("quarantined", "too old", True, f"{held}&reason=too_old"),
        ("shadowed", "kept aside", False, bodies),
        ("superseded", "superseded", False, bodies),
    )
    return [
        NotCounted(count=count, words=words, wrong=wrong, url=url)
        for name, words, wrong, url in kinds
        if (count := getattr(errors, name))
    ]


def rate_words(per_minute: float) -> str:
    """Say how many events come a minute, as closely as anybody wants to know."""
    if per_minute == 0:
        return "0"
    if per_minute < 0.1:
        return "< 0.1"
    return f"{per_minute:.1f}" if per_minute < 9.95 else exact(round(per_minute))


def lag_words(lag: Lag | None) -> list[str]:
    return [seconds_words(lag.median_s), seconds_words(lag.p95_s)] if lag else []


def seconds_words(seconds: float) -> str:
    """Say how long something took."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def line_of(row: GatewayRow, now: datetime) -> GatewayLine:
    waiting = row.received.oldest_waiting_at if row.received else None
    return GatewayLine(
        row=row,
        kind=kind_words(row.kind),
        lags=waiting is not None and waiting < now - _LAGS,
        rules=[rules_words(one, now) for one in row.rules],
        not_counted=not_counted(row),
    )


def silence_words(minutes: int) -> str:
    """Say when its silence is told; see Note [What counts as silence] in `usage.selectors.silences`."""
    if not minutes:
        return "Never told."
    return (
        f"Told when nothing came for longer than {minutes:,} minute{'s' if minutes != 1 else ''}, unless it was just "
        "as quiet at this time a week before; in its first week, the day before."
    )


def kind_words(kind: str) -> str:
    return "Own" if kind == "native" else KINDS.get(kind, kind)
