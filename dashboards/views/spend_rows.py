"""The numbers of the spend page as its cards and its table show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils.safestring import SafeString

from dashboards.change_words import direction as direction_of
from dashboards.change_words import relative, signed, told
from dashboards.charts.spending import before_name
from dashboards.charts.spending_words import bucket_name, cell, in_full, name_of, places_of, span_words, written
from dashboards.selectors.spend import Breakdown, Line
from dashboards.selectors.spend_measures import measured as measured_of
from dashboards.selectors.spend_measures import per_1000_usd, weight, without_price
from dashboards.selectors.spend_question import BEFORE, MONTH, Question
from dashboards.templatetags.figures import ABSENT, exact, percent, tokens, usd, usd_tile
from dashboards.templatetags.links import label_url
from dashboards.views.spend_address import State, plural_of, title_of
from dashboards.views.spend_links import Names, days_url, drill_url, entries_url
from dashboards.views.stats import Stat
from usage.selectors.spend import Sums

IN_TABLE = ("cost", "tokens", "requests", "per_1000")  # measures that have a column in any case


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line as the table shows it; `bar` is per cent of the largest one's width, `level` 1 that of a part."""

    name: str
    url: str
    entries_url: str
    page_url: str  # of the use case, team, model or offering that it is named for
    sums: Sums
    value: str | SafeString
    before: str | SafeString
    share: Decimal | None
    bar: str
    change: str
    per_1000_usd: Decimal | None
    priced_share: Decimal | None
    unpriced: bool  # some of it is
    without_price: bool  # none of it has one
    level: int = 0
    within: str = ""  # the first name of a part
    parts: list[Row] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Around:
    """What a row is compared with: the page's total and its largest line."""

    question: Question
    state: State
    total: Decimal
    largest: Decimal
    compared: bool
    places: int | None  # decimals of the measure, where it is dollars


def table(shown: Breakdown, state: State) -> dict[str, Any]:
    """Return what the table shows: rows, their sum, heads and what its changes are of."""
    q = shown.question
    around = _Around(
        question=q,
        state=state,
        total=weight(shown.total.sums, q.measure),
        largest=max((weight(line.sums, q.measure) for line in shown.lines), default=Decimal(0)),
        compared=not shown.total.before.empty,
        places=places_of((measured_of(line.sums, q.measure) for line in shown.lines), q.measure),
    )
    first = title_of(q.by) if q.dimensions else q.per.capitalize()
    return {
        "rows": [_row(line, around) for line in shown.lines],
        "total": _row(shown.total, around, in_all=True),
        "plural": plural_of(q.by) if q.dimensions else f"{q.per}s",
        "by_title": " and ".join([first, title_of(q.then).lower()] if q.then else [first]),
        "share_title": f"Of {q.measures.title.lower()}" if q.measures.adds else "Of requests",
        "value_title": "" if q.measure in IN_TABLE else q.measures.title,
        "before_title": before_name(q).capitalize() if q.compares else "",
        "compared": _compared(q, shown.total),
    }


def _row(line: Line, around: _Around, *, names: Names | None = None, in_all: bool = False) -> Row:
    q, page = around.question, ""
    if in_all:
        name, url, entries, names = "", "", entries_url(q, {}), {}
    elif line.bucket:
        name, names = bucket_name(line.bucket, q), {}
        first, last = line.bucket.first, line.bucket.last
        url = days_url(around.state, first, last) if q.days > 1 else ""
        entries = entries_url(q, {}, first=first, last=last)
    elif line.rest:
        name, url, entries, names = f"{line.rest:,} others", "", "", {}
    else:
        dimension = q.then if names else q.by
        names = {**(names or {}), dimension: line.name}
        page = label_url(dimension, line.name or "")
        name = name_of(line.name)
        url, entries = drill_url(around.state, q, names), entries_url(q, names)
    value, size, places = measured_of(line.sums, q.measure), weight(line.sums, q.measure), around.places
    return Row(
        name=name,
        url=url,
        entries_url="" if line.sums.empty else entries,
        page_url=page,
        sums=line.sums,
        value=cell(value, q.measure, places),
        before=cell(measured_of(line.before, q.measure), q.measure, places) if q.compares else "",
        share=size / around.total if around.total > 0 else None,
        bar=f"{max(size, Decimal(0)) / around.largest * 100:.2f}" if around.largest > 0 else "0",
        change=_change_words(line, around),
        per_1000_usd=per_1000_usd(line.sums),
        priced_share=line.sums.priced_share,
        unpriced=bool(line.sums.unpriced_tokens),
        without_price=without_price(line.sums),
        parts=[_part(part, around, names) for part in line.parts],
    )


def _part(line: Line, around: _Around, names: Names) -> Row:
    return _row(line, around, names=names)


def _change_words(line: Line, around: _Around) -> str:
    measure = around.question.measure
    now, before = measured_of(line.over, measure), measured_of(line.before, measure)
    if not before or before < 0:
        return "new" if now and now > 0 and around.compared and line.before.empty else ABSENT
    if now is None:
        return ABSENT
    return signed(now, before)


def _compared(q: Question, total: Line) -> str:
    """Say what a change compares, with its days."""
    if not q.compares:
        return "" if q.against == "none" else "Changes are shown once a day of the range is over."
    change = f"Change in {q.measures.title.lower()}"
    first, until = q.before
    span = span_words(first, until)
    days, others = (q.over_until - q.first).days, (until - first).days
    if total.before.empty:
        return f"There is nothing to compare with: none of it was used on the days before, {span}."
    if q.against != BEFORE:
        which = "a month before" if q.against == MONTH else "a year before"
        than = f"the same days {which}, {span}" + (f" ({days:,} days against {others:,})" if days != others else "")
        of = f"of the {days:,} full day{'s' if days > 1 else ''} so far" if q.over_until < q.until else ""
        return f"{change} is {of}{' ' if of else ''}against {than}."
    if q.over_until < q.until:
        return f"{change} is of the {days:,} full day{'s' if days > 1 else ''} so far against as many before, {span}."
    return f"{change} is against {'the day' if days == 1 else f'the {days:,} days'} before, {span}."


# --- cards ---


def stats(shown: Breakdown) -> list[Stat]:
    """Return the cards: spend, its mean, tokens, requests, and the measure where it is none of these."""
    total, over, before = shown.total.sums, shown.total.over, shown.total.before
    q = shown.question
    than = before_name(q) if q.compares and q.against != BEFORE else "before"
    found = [
        _stat(
            "Spend", _spent(total), in_full(total.cost_usd, "cost"), over.cost_usd, before.cost_usd,
            _priced_words(total), than,
        ),
        _stat(
            "Cost per 1,000 requests", usd(per_1000_usd(total)), in_full(per_1000_usd(total), "cost"),
            per_1000_usd(over), per_1000_usd(before), _priced_words(total), than,
        ),
        _stat(
            "Tokens", tokens(total.tokens), exact(total.tokens), Decimal(over.tokens), Decimal(before.tokens),
            f"{tokens(total.input_tokens)} in, {tokens(total.output_tokens)} out", than, good=True,
        ),
        _stat(
            "Requests", exact(total.requests), exact(total.requests), Decimal(over.requests), Decimal(before.requests),
            f"{exact(total.uncounted_requests)} without token counts" if total.uncounted_requests else "", than,
            good=True,
        ),
    ]  # fmt: skip
    if q.measure in IN_TABLE:
        return found
    value = measured_of(total, q.measure)
    own = _stat(
        q.measures.title, written(value, q.measure), in_full(value, q.measure), measured_of(over, q.measure),
        measured_of(before, q.measure), q.measures.note, than, good=q.measures.unit == "tokens",
    )  # fmt: skip
    return [own, *found]


def _spent(total: Sums) -> str:
    if without_price(total):
        return "unpriced"
    return usd_tile(total.cost_usd)


def _stat(
    label: str,
    value: str,
    in_words: str,
    now: Decimal | None,
    then: Decimal | None,
    note: str,
    than: str,
    *,
    good: bool = False,
) -> Stat:
    change = relative(now, then)
    direction = direction_of(change)
    tones: Mapping[str, str] = {"up": "neutral" if good else "bad", "down": "neutral" if good else "good"}
    return Stat(
        label=label,
        value=value,
        exact="" if in_words == ABSENT else in_words,
        change=told(change, than),
        direction=direction,
        note=note,
        tone=tones.get(direction, "neutral"),
    )


def _priced_words(sums: Sums) -> str:
    if sums.priced_share is None:
        return "no tokens to price"
    if sums.unpriced_tokens:
        return f"{percent(sums.priced_share)} of tokens priced"
    return "every token is priced"
