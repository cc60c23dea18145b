"""What the spend page shows as a file: every name, every digit."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from core import money, periods
from core.errors import Invalid
from dashboards.charts.parts import NONE_GIVEN
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import Question
from dashboards.views.access import page
from dashboards.views.spend_address import question_of, read


class _Echo:
    """What `csv` takes for a file."""

    def write(self, text: str) -> str:
        return text


@page("view")
def download(request: HttpRequest) -> Any:  # Django tells answers that stream apart from others
    """Send what the page shows as CSV: a row per name, or with `rows=time` per day (week, month) and name."""
    now = timezone.now()
    zone = request.organisation.zone  # type: ignore[attr-defined]
    query = request.GET.copy()
    rows = query.pop("rows", ["names"])[-1]
    state, problems = read(query)
    question, _ = question_of(state, zone=zone, today=periods.local_day(now, zone))
    if rows not in ("names", "time"):
        problems.append(f"There is no {rows!r} to choose for `rows`: names, time.")
    if not problems:
        try:
            table = _by_time(question) if rows == "time" else _by_name(question)
        except Invalid as error:
            problems = [sentence for _, sentence in error.problems] or [str(error)]
    if problems:
        return HttpResponse(" ".join(problems), status=400, content_type="text/plain; charset=utf-8")
    writer = csv.writer(_Echo())
    name = f"spend-by-{question.by.replace('_', '-')}-{question.first}-{question.last}.csv"
    return StreamingHttpResponse(
        (writer.writerow([cell(value) for value in row]) for row in table),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


_SUMS = ("requests", "input_tokens", "output_tokens", "unpriced_tokens", "uncounted_requests")


def _by_name(question: Question) -> Iterator[list[Any]]:
    lines, total = page_of.by_name(question=question)
    head = ["from", "to", question.by, "cost_usd", "priced_share", *_SUMS, "full_days_cost_usd", "before_cost_usd"]

    def table() -> Iterator[list[Any]]:
        yield head
        for name, line in [*((line.name or NONE_GIVEN, line) for line in lines), ("TOTAL", total)]:
            yield [
                question.first, question.last, name, line.sums.cost_usd, line.sums.priced_share,
                *(getattr(line.sums, each) for each in _SUMS), line.over.cost_usd, line.before.cost_usd,
            ]  # fmt: skip

    return table()


def _by_time(question: Question) -> Iterator[list[Any]]:
    found = page_of.by_time(question=question)

    def table() -> Iterator[list[Any]]:
        yield [f"{question.per}_from", question.by, "cost_usd", "priced_share", *_SUMS]
        for bucket, name, sums in found:
            yield [
                bucket, name or NONE_GIVEN, sums.cost_usd, sums.priced_share, *(getattr(sums, each) for each in _SUMS)
            ]  # fmt: skip

    return table()


def cell(value: Any) -> str:
    """Write a value; a name that a spreadsheet would take for a formula is made text by an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return money.plain(value)
    if isinstance(value, date | int):
        return str(value)
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
