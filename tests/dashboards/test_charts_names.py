"""Names in charts come from outside: whatever somebody calls a use case, a chart shows it, and adds up."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from dashboards.charts import about, looks, routing_flow, spend, spending
from dashboards.charts.parts import Chart, axis_labels
from dashboards.selectors.about import Days
from dashboards.selectors.routing import Asked
from dashboards.selectors.spend import Breakdown, Line, Series
from dashboards.selectors.spend_question import Question
from dashboards.views.spend_address import TITLES
from usage.selectors.overview import Part
from usage.selectors.routing_flows import Pair
from usage.selectors.spend import Sums

DAY, TOMORROW = date(2026, 11, 20), date(2026, 11, 21)
LINK = '<a href="https://elsewhere.example">& more</a>'
SHOWN = "&lt;a href=&quot;https://elsewhere.example&quot;&gt;&amp; more&lt;/a&gt;".replace("&quot;", '"')


def breakdown(*names: str, **asked: Any) -> Breakdown:
    question = Question(**{
        "first": DAY, "last": DAY, "today": TOMORROW, "zone": "UTC", "by": "use_case", "per": "day", **asked,
    })  # fmt: skip
    one = Sums(requests=1, cost_usd=Decimal(1))
    parts = [Line(name=LINK, sums=one, over=one, before=Sums())]
    lines = [Line(name=name, sums=one, over=one, before=Sums(), parts=parts) for name in names]
    label = question.buckets[0].label
    return Breakdown(
        question=question,
        lines=lines,
        total=Line(name=None, sums=one, over=one, before=Sums()),
        series=Series(
            buckets=question.buckets, names=[(name,) for name in names], totals={label: one}, before={},
            sums={((name,), label): one for name in names},
        ),
        corrections=[],
        complete_through=None,
        anything=True,
    )  # fmt: skip


def asked_for(*names: str) -> list[Asked]:
    facts = {
        "answered": 1,
        "by_fallback": 0,
        "tokens": 0,
        "cost_usd": Decimal(0),
        "offering": "gpt-5.5@openai",
        "model": "gpt-5.5",
    }
    return [Asked(requested=name, model="", pairs=[Pair(requested=name, **facts)]) for name in names]


def day(name: str, cost: int) -> Part:
    return Part(name=name, day=DAY, cost_usd=Decimal(cost))


def daily(*parts: Part) -> Chart:
    return spend.daily_spend(parts, by="use_case", first=DAY, until=TOMORROW, today=DAY, shown=looks.looks({}))


def per_day(costs: dict[str, int]) -> Chart:
    return about.spend_per_day(
        {(name, DAY): Decimal(cost) for name, cost in costs.items()}, id="a", what="use case", numbers={},
        days=Days(first=DAY, listed=DAY, today=DAY),
    )  # fmt: skip


@pytest.mark.parametrize(
    "chart",
    [
        lambda: spending.draw(breakdown(LINK), titles=TITLES, numbers={}).chart,
        lambda: spending.draw(breakdown(LINK, chart="area"), titles=TITLES, numbers={}).chart,
        lambda: spending.draw(breakdown(LINK, chart="treemap"), titles=TITLES, numbers={}).chart,
        lambda: spending.draw(breakdown("a", then="team"), titles=TITLES, numbers={}).chart,
        lambda: spending.draw(breakdown(LINK, then="team"), titles=TITLES, numbers={}).chart,
        lambda: daily(day(LINK, 1)),
        lambda: per_day({LINK: 1}),
    ],
)
def test_a_name_that_looks_like_markup_is_no_link_in_a_chart(chart):
    drawn = json.dumps(chart().figure, ensure_ascii=False).replace('\\"', '"')

    assert "<a" not in drawn
    assert SHOWN[:40] in drawn


def test_long_names_that_begin_alike_keep_a_bar_and_a_row_each():
    long = [
        "anthropic/claude-sonnet-4-5-for-summaries-in-the-east",
        "anthropic/claude-sonnet-4-5-for-summaries-in-the-west",
    ]

    bars = spending.draw(breakdown(*long, then="team"), titles=TITLES, numbers={}).chart.figure["data"][0]
    rows = routing_flow.requested(asked_for(*long)).figure["data"][0]

    assert len(set(bars["x"])) == len(set(rows["y"])) == 2
    assert axis_labels(["abcdef", "abcdeg", "abcdeh", "a"], 5) == ["abcd…", "abcd… (2)", "abcd… (3)", "a"]


def test_a_use_case_called_others_is_counted_once():
    costs = {"others": 7, **{f"use-case-{number}": 10 + number for number in range(5)}, "small": 1}
    whole = sum(costs.values())

    charts = [daily(*(day(name, cost) for name, cost in costs.items())), per_day(costs)]

    for chart in charts:
        assert sum(value or 0 for bar in chart.figure["data"] for value in bar["y"]) == whole
        assert f"${whole}" in chart.summary
