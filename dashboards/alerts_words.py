"""Words of the pages of alerts: kinds, deliveries and what became of them. Whatever has no words here keeps its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from alerts.selectors.alerts import DeliveryRow

KINDS: dict[str, tuple[str, str]] = {
    "budget_crossing": ("Budget threshold", "A threshold of a budget was passed, or will be at this pace."),
    "limit_requested": ("Limit asked for", "Somebody asks for another limit and waits for an answer."),
    "spend_unusual": ("Unusual spend", "A day costs far more than days of its kind did."),
    "frontier_drift": ("Frontier drift", "A use case goes to frontier models more often than before."),
    "unpriced_share": ("Unpriced usage", "More of a day's tokens are unpriced than should be."),
    "gateway_silent": ("Silent gateway", "Nothing came from a gateway for longer than its settings say."),
    "second_format": ("Second format", "A gateway sends the same calls in a second format; it is kept aside."),
    "rules_refused": ("Rules refused", "A gateway says that it cannot run a version of the rules."),
    "schedule_suspended": ("Publication held back", "What was scheduled to be published could not be."),
    "review_due": ("Review due", "A rule is to be looked at again."),
    "sums_differ": ("Sums differ", "A recount of the ledger came to other sums than the pages show."),
    "check_failed": ("Check not made", "The nightly recount of the ledger was given up."),
    "partitions_short": ("Storage not prepared", "The ledger has no room prepared for the months to come."),
    "digest_daily": ("Daily digest", "A summary of the day before."),
    "digest_weekly": ("Weekly digest", "A summary of the week before."),
    "canary": ("Daily check", "Shows once a day that alerts still go out."),
}
SEVERITY_TONES = {30: "danger", 20: "warning"}
STATE_TONES = {"open": "warning", "acknowledged": "info", "resolved": "neutral"}
DELIVERY_STATES = {
    "delivered": ("ok", "delivered"),
    "failed": ("danger", "failed"),
    "not_sent": ("neutral", "not sent"),
    "waiting": ("info", "waiting"),
    "sending": ("info", "being sent"),
}
_FEW = 3
_REASON_CHARACTERS = 60


def kind_words(kind: str) -> str:
    return KINDS[kind][0] if kind in KINDS else kind.replace("_", " ").capitalize()


def severity_tone(severity: int) -> str:
    return SEVERITY_TONES.get(severity, "info")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Deliveries of an alert that came to the same, in a few words."""

    tone: str  # "" for what went well
    words: str


def told(deliveries: Sequence[DeliveryRow]) -> list[Part]:
    """Say what was told to whom: what failed first, since it is what somebody has to see."""
    if any(one.channel_id is None and one.state == "failed" for one in deliveries):
        return [Part(tone="danger", words="told nobody: no channel wants it")]
    parts = [
        Part(tone="danger", words=f"failed: {one.channel} ({short(said(one))})")
        for one in deliveries
        if one.state == "failed"
    ][:_FEW]
    for state, tone, words in (
        ("waiting", "warning", "trying again"),
        ("waiting", "", "on its way to"),
        ("sending", "", "on its way to"),
        ("delivered", "", "delivered to"),
    ):
        tried = state == "waiting" and tone == "warning"
        names = [
            one.channel
            for one in deliveries
            if one.state == state and (state != "waiting" or bool(one.attempts) == tried)
        ]
        if names:
            parts.append(Part(tone=tone, words=f"{words} {listed(names)}"))
    if unsent := [one for one in deliveries if one.state == "not_sent"]:
        parts.append(Part(tone="", words=unsent[0].reason or "not sent"))
    return parts


def listed(names: Collection[str]) -> str:
    """Return a few names and how many others there are."""
    few = list(dict.fromkeys(names))
    if len(few) > _FEW:
        return f"{', '.join(few[:_FEW])} and {len(few) - _FEW} more"
    return ", ".join(few)


def said(one: DeliveryRow) -> str:
    """Return why a message went nowhere, for beside its state."""
    if one.reason == "no-channel":
        return "no channel is there for alerts like this one"
    return one.reason.removeprefix("not sent: ")


def answer(one: DeliveryRow) -> str:
    """Return what the far side said; nothing where the reason says it already."""
    return "" if one.answer in said(one) else one.answer


def short(text: str) -> str:
    return text if len(text) <= _REASON_CHARACTERS else f"{text[: _REASON_CHARACTERS - 1]}…"


def took(duration: timedelta | None) -> str:
    """Return how long a message took: `1.2 s`, `4 min 10 s`, `3 h 12 min`; nothing where it did not arrive."""
    if duration is None:
        return ""
    seconds = max(duration.total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
