"""The chart of the spend page: one measure of a few names over days, weeks or months."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
from django.utils.safestring import SafeString

from dashboards.charts.parts import OTHERS, REST, TIERS, Chart, colour_of, colour_of_tier, day_of, figure, number
from dashboards.selectors.spend import Breakdown, Question, Series, plus
from dashboards.templatetags.figures import exact, percent, tokens, usd

ID = "spending-figure"
MOST_MONTHS_NAMED, MOST_WEEKS_NAMED = 13, 9
MEASURES = {"cost": "Spend", "tokens": "Tokens", "requests": "Requests"}
BY_WORDS = {
    "use_case": "use case",
    "model": "model",
    "team": "team",
    "provider": "provider",
    "tier": "tier",
    "gateway": "gateway",
}
_HOVER = {"cost": "$%{y:,.2f}", "tokens": "%{y:,}", "requests": "%{y:,}"}
_UNITS = {"cost": "USD", "tokens": "Tokens, input and output", "requests": "Requests"}


def over_time(shown: Breakdown) -> Chart:
    """Stack what the largest few names come to per bucket, and the others as one."""
    question, series = shown.question, shown.series
    title = f"{MEASURES[question.measure]} per {question.per} by {BY_WORDS[question.by]}"
    if not any(series.totals.values()):
        return Chart(
            id=ID,
            title=title,
            empty_title="Nothing to draw",
            empty_text="Nothing that has a price was used in these days."
            if question.measure == "cost" and shown.total.sums.tokens
            else "Nothing was booked in these days.",
        )
    columns = _columns(question, series)
    total = plus(list(series.totals.values()))
    most = max(series.buckets, key=lambda bucket: series.totals[bucket])
    share = shown.total.sums.priced_share
    priced = f"; {percent(share)} of tokens priced" if question.measure == "cost" and share is not None else ""
    return Chart(
        id=ID,
        title=title,
        subtitle=_UNITS[question.measure] + _partial(question),
        summary=f"Stacked bars of {title[0].lower()}{title[1:]}: {_written(total, question.measure)} in all{priced}, "
        f"most {_at(most, question)}.",
        figure=figure(
            [
                go.Bar(
                    name=name,
                    x=[_x(bucket, question) for bucket in series.buckets],
                    y=[number(value) or None for value in values],
                    marker_color=colour,
                    hovertemplate=_HOVER[question.measure],
                )
                for name, colour, values in columns
            ],
            barmode="stack",
            bargap=0.15,
            yaxis={"tickprefix": "$" if question.measure == "cost" else ""},
            xaxis=_axis(question, series),
        ),
        columns=[question.per.capitalize(), *(name for name, _, _ in columns), "Total"],
        rows=[
            [
                _row_name(bucket, question),
                *(_cell(values[at], question.measure) for _, _, values in columns),
                _cell(series.totals[bucket], question.measure),
            ]
            for at, bucket in reversed(list(enumerate(series.buckets)))
        ],
        size="large",
    )


def _columns(question: Question, series: Series) -> list[tuple[str, str, list[Decimal]]]:
    """Return name, colour and values of what is stacked; tiers in their own order, others by size."""
    names = list(series.names)
    if question.by == "tier":
        names.sort(key=lambda name: TIERS.index(name) if name in TIERS else len(TIERS))
    columns = [
        (
            name,
            colour_of_tier(name) if question.by == "tier" else colour_of(position),
            [series.values[name, bucket] for bucket in series.buckets],
        )
        for position, name in enumerate(names)
    ]
    if series.has_others:
        columns.append((OTHERS, REST, [series.others(bucket) for bucket in series.buckets]))
    return columns


def _x(bucket: date, question: Question) -> str:
    """Return where a bar stands: a week on its Monday, also where the range cuts it, so that all are as wide."""
    if question.per == "week":
        bucket -= timedelta(days=bucket.weekday())
    return f"{bucket:%b %Y}" if question.per == "month" else bucket.isoformat()


def _axis(question: Question, series: Series) -> dict[str, Any]:
    if question.per == "month":  # of unequal lengths, so on an axis of dates their bars would be too
        every = -(-len(series.buckets) // MOST_MONTHS_NAMED)
        return {"type": "category", "tickvals": [_x(bucket, question) for bucket in series.buckets[::every]]}
    ticks = "%-d %b" if question.days <= 366 else "%b %Y"
    axis = {"type": "date", "tickformat": ticks, "hoverformat": "%a %-d %b %Y"}
    if question.per == "week":
        every = -(-len(series.buckets) // MOST_WEEKS_NAMED)
        milliseconds = timedelta(weeks=every) // timedelta(milliseconds=1)
        return axis | {
            "tick0": _x(series.buckets[0], question), "dtick": milliseconds, "hoverformat": "week from %-d %b %Y"
        }  # fmt: skip
    return axis


def _partial(question: Question) -> str:
    return f"; {day_of(question.today)} is not over" if question.first <= question.today < question.until else ""


def _at(bucket: date, question: Question) -> str:
    if question.per == "day":
        return f"on {day_of(bucket)}"
    return f"in {bucket:%B %Y}" if question.per == "month" else f"in the week from {day_of(bucket)}"


def _row_name(bucket: date, question: Question) -> str:
    """Name a bucket, and its last day where the range cuts it."""
    if question.per == "day":
        return day_of(bucket)
    last = _last_of(bucket, question.per)
    if question.per == "month":
        whole = bucket.day == 1 and last <= question.last
        return f"{bucket:%b %Y}" if whole else f"{day_of(bucket)} to {day_of(min(last, question.last))}"
    return f"{day_of(bucket)} to {day_of(min(last, question.last))}"


def _last_of(bucket: date, per: str) -> date:
    if per == "week":
        return bucket + timedelta(days=6 - bucket.weekday())
    return (bucket.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _written(value: Decimal, measure: str) -> str:
    return usd(value) if measure == "cost" else exact(value)


def _cell(value: Decimal, measure: str) -> str | SafeString:
    """Write a number for the eye; what that rounds shows every digit when pointed at."""
    if measure == "requests" or value == 0:
        return _written(value, measure)
    if measure == "tokens":
        return SafeString(f'<span title="{exact(value)}">{tokens(value)}</span>')  # digits and letters of ours alone
    return SafeString(f'<span title="${exact(value)}">{usd(value)}</span>')
