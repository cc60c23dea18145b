"""The spend page: what was spent on what. Everything that it shows is in its address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.errors import Invalid
from core.models import Organisation
from dashboards.charts import spending as charts
from dashboards.charts.parts import NONE_GIVEN, day_of
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import BUCKETS, DIMENSIONS, Breakdown, Line, Question, measured
from dashboards.templatetags.figures import exact, percent, tokens, usd, usd_short
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.catalog import offering_url
from dashboards.views.links import Link
from dashboards.views.overview import Stat
from dashboards.views.spend_address import TITLES, State, question_of, read

PLURALS = {
    "use_case": "use cases",
    "model": "models",
    "team": "teams",
    "provider": "providers",
    "tier": "tiers",
    "gateway": "gateways",
}
# What one asks next of a use case, a model, ...
_NEXT = {
    "team": ("use_case", "model"),
    "use_case": ("model", "tier"),
    "model": ("use_case", "provider"),
    "provider": ("model", "use_case"),
    "tier": ("model", "use_case"),
    "gateway": ("use_case", "model"),
}
_LEAST_CHANGE = Decimal("0.0005")  # what rounds to 0.0 % is no change


@page("view")
def spend(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    alone = bool(request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"))
    state, problems = read(request.GET)
    question, note = question_of(state, zone=organisation.zone, today=periods.local_day(now, organisation.zone))
    shown = None
    if not problems:
        try:
            shown = page_of.breakdown(question=question, at=now)
        except Invalid as error:
            problems = [sentence for _, sentence in error.problems] or [str(error)]
    if problems and alone:
        # htmx swaps in no answer of 400: the whole page says what is wrong.
        return HttpResponse(status=400, headers={"HX-Redirect": request.get_full_path()})

    full = replace(state, first=question.first, last=question.last) if state != State() else state
    context = {
        "problems": problems,
        "note": note,
        "question": question,
        "state": full,
        **_controls(full, question),
        "names": _offered(full),
        "shown": shown,
        **(_numbers(shown, full) if shown else {}),
    }
    response = render(
        request,
        "dashboards/_spend.html" if alone else "dashboards/spend.html",
        context,
        status=400 if problems else 200,
    )
    if alone:
        response["HX-Push-Url"] = full.url()  # a form sends what was left empty, too
    return response


def _controls(state: State, question: Question) -> dict[str, Any]:
    """Return the links and chips around the numbers; a link changes one thing and keeps the rest."""
    kept = replace(state, first=question.first, last=question.last)
    fits = [per for per in BUCKETS if question.days <= page_of.MOST_DAYS[per]]
    return {
        "presets": _presets(state, question),
        "by_links": [
            Link(id=f"by-{key}", title=TITLES[key], url=kept.url(by=key), current=key == question.by)
            for key in DIMENSIONS
        ],
        "per_links": [
            Link(id=f"per-{key}", title=key.capitalize(), url=kept.url(per=key), current=key == question.per)
            for key in fits
        ],
        "measure_links": [
            Link(id=f"measure-{key}", title=title, url=kept.url(measure=key), current=key == question.measure)
            for key, title in charts.MEASURES.items()
        ],
        "chips": [
            {"dimension": TITLES[name], "value": value, "url": state.url(filters=state.without(name, value))}
            for name, values in state.filters.items()
            for value in values
        ],
        "clear_url": state.url(filters={}),
        "earlier_url": kept.url(**_moved(question, -1)),
        "later_url": kept.url(**_moved(question, 1)) if question.last < question.today else "",
        "range_words": days.range_words(question.first, question.last),
    }


def _presets(state: State, question: Question) -> list[Link]:
    return [
        Link(
            id=f"range-{number}",
            title=title,
            url=state.url(first=first, last=last, per=""),
            current=(question.first, question.last) == (first, last),
        )
        for number, (title, (first, last)) in enumerate(days.presets(question.today).items())
    ]


def _moved(question: Question, steps: int) -> dict[str, date]:
    """Return the range before or after; whole months go to whole months."""
    if question.first.day == 1 and question.until.day == 1:
        months = (question.until.year - question.first.year) * 12 + question.until.month - question.first.month
        first = periods.add_months(question.first, steps * months)
        return {"first": first, "last": periods.add_months(first, months) - page_of.ONE_DAY}
    step = timedelta(days=question.days * steps)
    return {"first": question.first + step, "last": question.last + step}


def _offered(state: State) -> list[tuple[str, str, list[str]]]:
    """Return what can be filtered by: (parameter, title, names that are not filtered by yet)."""
    return [
        (name, TITLES[name], [each for each in known if each not in state.filters.get(name, ())])
        for name, known in page_of.names().items()
    ]


# --- the numbers ---


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line as the table shows it; `bar` is per cent of the largest one's width."""

    name: str
    url: str
    sums: Any
    share: Decimal | None
    bar: str
    change: str
    per_1000_usd: Decimal | None
    priced_share: Decimal | None
    unpriced: bool  # some of it has no price
    without_price: bool  # none of it has one


def _numbers(shown: Breakdown, state: State) -> dict[str, Any]:
    question = shown.question
    largest = max((measured(line.sums, question.measure) for line in shown.lines), default=Decimal(0))
    among: dict[str, Any] = {
        "total": measured(shown.total.sums, question.measure),
        "largest": largest,
        "compared": not shown.total.before.empty,
    }
    csv_query = replace(state, first=question.first, last=question.last, by=question.by, per=question.per).query()
    return {
        "stats": _stats(shown),
        "chart": charts.over_time(shown),
        "rows": [_row(line, question, state, **among) for line in shown.lines],
        "total": _row(shown.total, question, state, **among),
        "plural": PLURALS[question.by],
        "by_title": TITLES[question.by],
        "share_title": f"Of {charts.MEASURES[question.measure].lower()}",
        "compared": _compared(question, shown.total),
        "corrected_usd": sum((one.sums.cost_usd for one in shown.corrections), Decimal(0)),
        "csv_url": f"{reverse('spend-csv')}?{csv_query}",
        "csv_time_url": f"{reverse('spend-csv')}?{csv_query}&rows=time",
        "api_query": _api_query(question),
        **_prices(question),
    }


def _prices(question: Question) -> dict[str, str]:
    """Return where the prices behind the numbers are, once these are of one model: at one provider, or at any."""
    models, providers = (question.filters.get(name, ()) for name in ("model", "provider"))
    if len(models) != 1:
        return {}
    (model,) = models
    if len(providers) == 1:
        name = f"{model}@{providers[0]}"
        if url := offering_url(name):
            return {"prices_of": name, "prices_url": url}
    return {"prices_of": model, "prices_url": f"{reverse('catalog')}?{urlencode({'q': model})}"}


def _row(line: Line, question: Question, state: State, *, total: Decimal, largest: Decimal, compared: bool) -> Row:
    value = measured(line.sums, question.measure)
    return Row(
        name=f"{line.rest} others" if line.rest else line.name or NONE_GIVEN,
        url=_drill(line.name, question, state) if line.name else "",
        sums=line.sums,
        share=value / total if total > 0 else None,
        bar=f"{max(value, Decimal(0)) / largest * 100:.2f}" if largest > 0 else "0",
        change=_change_words(line, question, compared),
        per_1000_usd=_per_1000(line.sums.cost_usd, line.sums.requests),
        priced_share=line.sums.priced_share,
        unpriced=bool(line.sums.unpriced_tokens),
        without_price=_without_price(line.sums),
    )


def _without_price(sums: Any) -> bool:
    """Say whether nothing of it has a price, so that an amount of zero would be wrong."""
    return sums.cost_usd == 0 and 0 < sums.requests <= sums.unpriced_requests


def _drill(name: str, question: Question, state: State) -> str:
    """Return the address of one name, broken down by what is not settled yet."""
    filters = state.with_filter(question.by, name)
    by = next((each for each in _NEXT[question.by] if len(filters.get(each, ())) != 1), question.by)
    return state.url(first=question.first, last=question.last, by=by, filters=filters)


def _change_words(line: Line, question: Question, compared: bool) -> str:
    now, before = measured(line.over, question.measure), measured(line.before, question.measure)
    if before <= 0:
        return "new" if now > 0 and compared else "\N{EN DASH}"
    change = (now - before) / before
    if abs(change) < _LEAST_CHANGE:
        return percent(Decimal(0))
    return f"{'+' if change > 0 else ''}{percent(change)}"


def _per_1000(cost_usd: Decimal, requests: int) -> Decimal | None:
    return cost_usd * 1000 / requests if requests else None


def _compared(question: Question, total: Line) -> str:
    """Say what a change compares, with its days."""
    if question.before == question.first:
        return "Changes are shown once a day of the range is over."
    change = f"Change in {charts.MEASURES[question.measure].lower()}"
    days = (question.first - question.before).days
    before = question.first - page_of.ONE_DAY
    span = day_of(before) if days == 1 else f"{day_of(question.before)} to {day_of(before)}"
    if total.before.empty:
        return f"There is nothing to compare with: none of it was used on the days before, {span}."
    if question.over_until < question.until:
        return f"{change} is of the {days:,} full day{'s' if days > 1 else ''} so far against as many before, {span}."
    return f"{change} is against {'the day' if days == 1 else f'the {days:,} days'} before, {span}."


def _stats(shown: Breakdown) -> list[Stat]:
    total, over, before = shown.total.sums, shown.total.over, shown.total.before
    question = shown.question
    than = "than before" if question.before < question.first else ""

    def stat(
        label: str,
        value: str,
        in_full: str,
        now: Decimal | None,
        then: Decimal | None,
        note: str,
        *,
        good: bool = False,
    ) -> Stat:
        words, direction = _changed(now, then, than)
        rises = "neutral" if good else "bad"
        return Stat(
            label=label, value=value, exact=in_full, change=words, direction=direction, note=note,
            tone={"up": rises, "down": "neutral" if good else "good"}.get(direction, "neutral"),
        )  # fmt: skip

    per_1000 = None if _without_price(total) else _per_1000(total.cost_usd, total.requests)
    spent = usd_short(total.cost_usd) if abs(total.cost_usd) >= 1_000_000 else usd(total.cost_usd)
    return [
        stat(
            "Spend", "no price" if _without_price(total) else spent, f"${exact(total.cost_usd)}",
             over.cost_usd, before.cost_usd, _priced_words(total),
        ),
        stat(
            "Cost per 1,000 requests", usd(per_1000), "" if per_1000 is None else f"${exact(per_1000)}",
            _per_1000(over.cost_usd, over.requests), _per_1000(before.cost_usd, before.requests), _priced_words(total),
        ),
        stat(
            "Tokens", tokens(total.tokens), exact(total.tokens), Decimal(over.tokens), Decimal(before.tokens),
            f"{tokens(total.input_tokens)} in, {tokens(total.output_tokens)} out", good=True,
        ),
        stat(
            "Requests", exact(total.requests), exact(total.requests), Decimal(over.requests), Decimal(before.requests),
            f"{exact(total.uncounted_requests)} without token counts" if total.uncounted_requests else "", good=True,
        ),
    ]  # fmt: skip


def _priced_words(sums: Any) -> str:
    if sums.priced_share is None:
        return "no tokens to price"
    if sums.unpriced_tokens:
        return f"{percent(sums.priced_share)} of tokens priced"
    return "every token is priced"


def _changed(now: Decimal | None, then: Decimal | None, than: str) -> tuple[str, str]:
    """Return a change in words, and its direction."""
    if not than or now is None or not then or then <= 0:
        return "", "flat"
    change = (now - then) / then
    if abs(change) < _LEAST_CHANGE:
        return "the same as before", "flat"
    return f"{percent(abs(change))} {'more' if change > 0 else 'less'} {than}", "up" if change > 0 else "down"


def _api_query(question: Question) -> str:
    """Return the same question to the API, whose ranges end before their last instant."""
    group_by = question.by if question.per == "week" else f"{question.by},{question.per}"
    pairs = [("from", question.first.isoformat()), ("to", question.until.isoformat()), ("group_by", group_by)]
    pairs += [(name, value) for name, values in question.filters.items() for value in values]
    return f"{reverse('api-spend')}?{urlencode(pairs, safe=',')}"
