"""How numbers, names and buckets of the spend page are written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString

from dashboards.charts.parts import NONE_GIVEN, OTHERS, day_of
from dashboards.selectors.spend import REST, Key
from dashboards.selectors.spend_measures import COUNT, MEASURES, MS, SHARE, TOKENS, USD
from dashboards.selectors.spend_question import Bucket, Question
from dashboards.templatetags.figures import ABSENT, exact, milliseconds, percent, tokens, usd, usd_in, usd_places
from usage.selectors.spend import Sums

UNITS = {USD: "USD", TOKENS: "Tokens", COUNT: "Number", MS: "Milliseconds", SHARE: "Share"}


def name_of(name: str | None) -> str:
    return name or NONE_GIVEN


def key_name(key: Key) -> str:
    """Return what a series is called: its name, or its two names."""
    return OTHERS if key == REST else " · ".join(name_of(name) for name in key)


def written(value: Decimal | None, measure: str, places: int | None = None) -> str:
    """Write a value for the eye; dollars of a column with its decimals (`places`)."""
    unit = MEASURES[measure].unit
    if value is None:
        return ABSENT
    if unit == USD:
        return usd(value) if places is None else usd_in(value, places)
    if unit == MS:
        return milliseconds(int(value))
    if unit == SHARE:
        return percent(value, 2)
    return tokens(value) if unit == TOKENS else exact(value)


def in_full(value: Decimal | None, measure: str) -> str:
    """Write every digit that there is; of a quotient as many as mean anything."""
    unit = MEASURES[measure].unit
    if value is None:
        return ABSENT
    if not MEASURES[measure].adds and unit in (USD, SHARE):
        value = value.quantize(Decimal("1e-9"))
    if unit == USD:
        return f"-${exact(-value)}" if value < 0 else f"${exact(value)}"
    if unit == MS:
        return f"{exact(value)} ms"
    if unit == SHARE:
        return f"{exact(value * 100)} %"
    return exact(value)


def places_of(values: Iterable[Decimal | None], measure: str) -> int | None:
    """Return the decimals that the values of a measure have in one column; None where they are no dollars."""
    return usd_places(values) if MEASURES[measure].unit == USD else None


def cell(value: Decimal | None, measure: str, places: int | None = None) -> str | SafeString:
    """Write a value for a table; what that rounds shows every digit when pointed at."""
    short, full = written(value, measure, places), in_full(value, measure)
    if short == full or not value:
        return short
    if short[0] in "<>":  # nearly nothing; all else is digits, signs and letters of ours
        short = escape(short)
    return SafeString(f'<span title="{full}">{short}</span>')


def bucket_name(bucket: Bucket, question: Question) -> str:
    """Name a bucket, and its last day where the range cuts it."""
    if bucket.hour:
        return f"{day_of(bucket.first)}, {bucket.hour:%H:%M}{which_of_two(bucket)}"
    if question.per == "day":
        return day_of(bucket.first)
    if question.per == "month" and bucket.first.day == 1 and (bucket.last + timedelta(days=1)).day == 1:
        return f"{bucket.first:%b %Y}"
    return f"{day_of(bucket.first)} to {day_of(bucket.last)}"


def which_of_two(bucket: Bucket) -> str:
    """Say which of two hours is meant that a clock shows twice; empty for all others."""
    if bucket.hour is None:
        return ""
    other = bucket.hour.replace(fold=1 - bucket.hour.fold)
    return f" {bucket.hour:%Z}" if other.utcoffset() != bucket.hour.utcoffset() else ""


def at_words(bucket: Bucket, question: Question) -> str:
    if bucket.hour:
        return f"at {bucket.hour:%H:%M}{which_of_two(bucket)} on {day_of(bucket.first)}"
    if question.per == "day":
        return f"on {day_of(bucket.first)}"
    return f"in {bucket.first:%B %Y}" if question.per == "month" else f"in the week from {day_of(bucket.first)}"


def span_words(first: date, until: date) -> str:
    """Name the days of [first, until)."""
    last = until - timedelta(days=1)
    return day_of(first) if first == last else f"{day_of(first)} to {day_of(last)}"


def hover(question: Question, axis: str = "y") -> str:
    """Return how a value is written where one points at it."""
    unit, adds = question.measures.unit, question.measures.adds
    forms = {USD: "$%{{{0}:,.2f}}" if adds else "$%{{{0}:,.4f}}", MS: "%{{{0}:,.0f}} ms", SHARE: "%{{{0}:.2%}}"}
    return forms.get(unit, "%{{{0}:,}}").format(axis)


def axis(question: Question) -> dict[str, Any]:
    """Return the axis of the measure."""
    return {
        USD: {"tickprefix": "$", "tickformat": ","},
        COUNT: {"tickformat": ","},
        SHARE: {"tickformat": ".3~%"},
        MS: {"ticksuffix": " ms", "tickformat": ","},
    }.get(question.measures.unit, {})


def subtitle(question: Question) -> str:
    """Return the unit of the measure and what to know about it."""
    measure = question.measures
    words = UNITS[measure.unit] + (f", {measure.note}" if measure.note else "")
    today = question.first <= question.today < question.until
    return f"{words}; {day_of(question.today)} is not over" if today else words


def nothing(question: Question, total: Sums) -> str:
    """Say why there is nothing to draw."""
    if question.by_tag and set(question.measures.needs) - {"unpriced_requests"}:
        return "Sums by tags keep cost, tokens, requests and failed requests alone. Choose one of these."
    if question.measure == "cost" and total.tokens:
        return "Nothing that has a price was used in these days."
    return "Nothing of it was booked in these days."
