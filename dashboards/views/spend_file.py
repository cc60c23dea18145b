"""What the spend page shows as a file: every name, every digit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.errors import Invalid
from core.money import plain
from core.sheets import cell as cell
from dashboards import downloads
from dashboards.charts.spending_words import name_of, span_words
from dashboards.downloads import DAY, INSTANT, NUMBER, SHARE, TEXT, USD, Column, Table
from dashboards.selectors import spend as page_of
from dashboards.selectors import spend_measures
from dashboards.selectors.spend import Line
from dashboards.selectors.spend_measures import MEASURES, measured
from dashboards.selectors.spend_question import Question
from dashboards.views.access import page
from dashboards.views.spend_address import question_of, read, title_of
from usage.selectors import freshness
from usage.selectors.spend import Sums, added

_SUMS = ("requests", "input_tokens", "output_tokens", "unpriced_tokens", "uncounted_requests")
_KINDS = {
    spend_measures.USD: USD,
    spend_measures.TOKENS: NUMBER,
    spend_measures.COUNT: NUMBER,
    spend_measures.MS: NUMBER,
    spend_measures.SHARE: SHARE,
}


@page("view")
def download(request: HttpRequest, kind: str) -> Any:  # Django tells answers that stream apart from others
    """Send what the page shows: a row per name, or with `rows=time` per hour (day, week, month) and name."""
    now = timezone.now()
    organisation = request.organisation  # type: ignore[attr-defined]
    query = request.GET.copy()
    rows = query.pop("rows", ["names"])[-1]
    state, problems = read(query, declared=organisation.declared_tags)
    zone = organisation.zone
    question, _ = question_of(state, zone=zone, today=periods.local_day(now, zone))
    if rows not in ("names", "time"):
        problems.append(f"There is no {rows!r} to choose for `rows`: names, time.")
    if not problems:
        try:
            table = _by_time(question) if rows == "time" else _by_name(question)
        except Invalid as error:
            problems = [sentence for _, sentence in error.problems] or [str(error)]
    if problems:
        return downloads.refused(request, problems, page_url=reverse("spend"))
    through = freshness.complete_through(at=now)
    facts = [*table.facts, ("Complete through", through or "no gateway was heard of in the last 24 hours")]
    return downloads.send(
        request, Table(name=table.name, title=table.title, columns=table.columns, rows=table.rows, facts=facts), kind
    )


def _table(q: Question, rows: str, columns: list[Column], lines: Iterator[list[Any]], total: Sums) -> Table:
    parts = "-and-".join(name.replace("_", "-").replace(":", "-") for name in q.dimensions) or "all"
    by = " and ".join(title_of(name).lower() for name in q.dimensions)
    share = total.priced_share
    return Table(
        name=f"spend-by-{parts}{f'-per-{q.per}' if rows == 'time' else ''}-{q.first}-{q.last}",
        title=f"{q.measures.title}{f' by {by}' if by else ''}{f' per {q.per}' if rows == 'time' else ''}",
        columns=columns,
        rows=lines,
        facts=[
            ("Days", f"{q.first} to {q.last}, both included, in {q.zone}"),
            *((title_of(name), ", ".join(values)) for name, values in q.filters.items()),
            *([("Compared with", span_words(*q.before))] if q.compares else []),
            ("Priced share of tokens", "no tokens" if share is None else plain(share)),
        ],
    )


def _measure_columns(q: Question) -> list[Column]:
    """Return the columns of every sum, and that of the measure where it is none of these."""
    own = [] if q.measure in ("cost", *_SUMS) else [Column(q.measure, _KINDS[q.measures.unit])]
    return [Column("cost_usd", USD), Column("priced_share", SHARE), *(Column(name, NUMBER) for name in _SUMS), *own]


def _measures(q: Question, sums: Sums) -> list[Any]:
    own = [] if q.measure in ("cost", *_SUMS) else [_value(q, sums)]
    return [sums.cost_usd, sums.priced_share, *(getattr(sums, name) for name in _SUMS), *own]


def _value(q: Question, sums: Sums) -> Any:
    """Return the measure as a number of its kind: what is counted is whole."""
    value = measured(sums, q.measure)
    whole = MEASURES[q.measure].unit not in (spend_measures.USD, spend_measures.SHARE)
    return int(value) if whole and value is not None else value


def _by_name(q: Question) -> Table:
    lines, total = page_of.by_name(question=q)
    name = "cost_usd" if q.measure == "cost" else q.measure
    kind = _KINDS[q.measures.unit]
    heads = [Column(each, TEXT) for each in q.dimensions] or [
        Column(f"{q.per}_from", INSTANT if q.per == "hour" else DAY), Column(f"{q.per}_to", DAY)
    ]  # fmt: skip
    columns = [
        Column("from", DAY), Column("to", DAY), *heads, *_measure_columns(q),
        Column(f"full_days_{name}", kind), Column(f"before_{name}", kind),
    ]  # fmt: skip

    def values(names: list[Any], line: Line) -> list[Any]:
        return [
            q.first, q.last, *names, *_measures(q, line.sums), _value(q, line.over), _value(q, line.before),
        ]  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for line in lines:
            if line.bucket:
                yield values([line.bucket.hour or line.bucket.first, line.bucket.last], line)
            elif q.then:
                for part in line.parts:
                    yield values([name_of(line.name), name_of(part.name)], part)
            else:
                yield values([name_of(line.name)], line)
        yield values(["TOTAL" if q.dimensions else None, *[None] * (len(heads) - 1)], total)

    return _table(q, "names", columns, rows(), total.sums)


def _by_time(q: Question) -> Table:
    found = page_of.by_time(question=q)
    columns = [
        Column(f"{q.per}_from", INSTANT if q.per == "hour" else DAY),
        *(Column(each, TEXT) for each in q.dimensions),
        *_measure_columns(q),
    ]
    lines = (
        [bucket.hour or bucket.first, *(name_of(name) for name in key), *_measures(q, sums)]
        for bucket, key, sums in found
    )
    return _table(q, "time", columns, lines, added([sums for _, _, sums in found]) if found else Sums())
