"""One figure, wherever it is read: page, API, CSV, XLSX, FOCUS and entries say what plain SQL says of the ledger.

Random books (prices with odd digits, a contract, caches, calls without a price, corrections, a closed month), random
zones and random filters, to the last decimal.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal, localcontext
from random import Random
from typing import Any

import openpyxl
import pytest
from django.db import connection
from django.test import Client

from core import access, periods
from tests.dashboards.seeing import signed_in
from tests.drawing import rounds
from tests.usage.books_made import JULY, JUNE, NOW, make_books, taken_back
from usage.selectors import focus

pytestmark = pytest.mark.django_db

ZONES = (
    "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "UTC", "Australia/Lord_Howe",
    "America/Los_Angeles",
)  # fmt: skip
TOKENS = (
    "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens + "
    "audio_input_tokens + audio_output_tokens + image_input_tokens + image_output_tokens"
)
# What a filter is called in an address, in SQL, and in which column of FOCUS.
FILTERS = {
    "use_case": ("u.name", "x_UseCase"),
    "team": ("t.name", "SubAccountName"),
    "model": ("m.name", "x_Model"),
    "provider": ("p.name", "ProviderName"),
    "gateway": ("g.name", "x_Gateway"),
    "tier": ("CASE l.tier WHEN 1 THEN 'frontier' WHEN 2 THEN 'middle' ELSE 'unclassified' END", "x_Tier"),
    "rule": ("l.rule", "x_Rule"),
}
JOINED = (
    "ledger l JOIN catalog_usecase u ON u.id = l.use_case_id JOIN catalog_team t ON t.id = l.team_id "
    "JOIN catalog_offering o ON o.id = l.offering_id JOIN catalog_model m ON m.id = o.model_id "
    "JOIN catalog_provider p ON p.id = o.provider_id JOIN catalog_gateway g ON g.id = l.gateway_id"
)

Figures = dict[str, Decimal]


@pytest.mark.soak
def test_every_way_to_read_a_total_gives_the_ledgers(client, api):
    signed_in(client, access.FINANCE)
    keys = api("read")

    for turn in rounds(1, 60):
        seed = Random().randrange(10**6)
        with taken_back():
            chance = Random(seed)
            zone = chance.choice(ZONES)
            make_books(seed=seed, calls=25, zone=zone)
            for month in (JUNE, JULY):
                lines = list(focus.export(month=month, at=NOW).lines)
                for filters in ({}, *(_some_filters(chance) for _ in range(2))):
                    said = (turn, seed, zone, month, filters)
                    booked = by_sql(month, zone, filters)
                    asked = Asked(month=month, zone=zone, filters=filters)
                    for name, found in {
                        "the API": by_api(keys, asked, chance.choice(ZONES)),
                        "the page": by_page(client, asked),
                        "its CSV": by_csv(client, asked),
                        "its workbook": by_xlsx(client, asked),
                        "the entries": by_entries(client, asked),
                        "FOCUS": by_focus(lines, filters),
                    }.items():
                        assert found == {key: booked[key] for key in found}, (name, said)
                assert by_sql(month, zone, {})["cost_usd"] > 0, said


class Asked:
    """A month of the organisation and the filters, as each way takes them."""

    def __init__(self, *, month: date, zone: str, filters: Mapping[str, str]) -> None:
        self.filters = dict(filters)
        self.until = periods.add_months(month, 1)
        self.days = {"from": month.isoformat(), "to": (self.until - timedelta(days=1)).isoformat(), **filters}
        whole = periods.month(month, zone)
        self.instants = {"from": whole.starts_at.isoformat(), "to": whole.ends_at.isoformat(), **filters}


def _some_filters(chance: Random) -> dict[str, str]:
    values = {
        "use_case": ["support-routing", "=code-review", "Übersetzung", "unassigned"],
        "team": ["support", "platform", "unassigned"],
        "model": ["gpt-5.5", "claude-sonnet-4.6", "deepseek-v4-flash", "mystery"],
        "provider": ["openai", "anthropic"],
        "gateway": ["edge", "batch"],
        "tier": ["frontier", "middle", "unclassified"],
        "rule": ["code-high"],
    }
    return {name: chance.choice(values[name]) for name in chance.sample(list(values), chance.randrange(1, 3))}


def exactly(values: Any) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        return sum(values, Decimal(0))


def by_sql(month: date, zone: str, filters: Mapping[str, str]) -> Figures:
    """Return what the ledger holds, with nothing of ours between; PostgreSQL knows the zones itself."""
    where = [f"{FILTERS[name][0]} = %s" for name in filters]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT sum(cost_usd), sum(list_cost_usd), sum(requests), sum({TOKENS}), "
            f"sum(CASE WHEN cost_usd IS NULL THEN {TOKENS} END) FROM {JOINED} "
            "WHERE booked_at AT TIME ZONE %s >= %s AND booked_at AT TIME ZONE %s < %s"
            + "".join(f" AND {condition}" for condition in where),
            [zone, month, zone, periods.add_months(month, 1), *filters.values()],
        )
        names = ("cost_usd", "list_cost_usd", "requests", "tokens", "unpriced_tokens")
        return {name: Decimal(value or 0) for name, value in zip(names, cursor.fetchone(), strict=True)}


def by_api(keys: Any, asked: Asked, zone: str) -> Figures:
    answer = keys.get("spend", {**asked.instants, "zone": zone, "group_by": "day,use_case"})
    assert answer.status_code == 200, answer.content
    total, rows = answer.json()["total"], answer.json()["rows"]
    assert exactly(Decimal(row["cost_usd"]) for row in rows) == Decimal(total["cost_usd"])
    return {
        "cost_usd": Decimal(total["cost_usd"]),
        "list_cost_usd": Decimal(total["list_cost_usd"]),
        "requests": Decimal(total["requests"]),
        "tokens": Decimal(total["input_tokens"] + total["output_tokens"]),
        "unpriced_tokens": Decimal(total["unpriced_tokens"]),
    }


def by_page(client: Client, asked: Asked) -> Figures:
    page = client.get("/spend/", asked.days).content.decode()
    foot = re.search(r"<tfoot>(.*?)</tfoot>", page, re.DOTALL)
    if foot is None:
        return {}  # nothing was used: the page says so
    spend = re.search(r'data-label="Spend">.*?title="-?\$([^"]*)"', foot[1], re.DOTALL)
    requests = re.search(r'data-label="Requests">(.*?)</td>', foot[1], re.DOTALL)
    tokens = re.search(r'data-label="Tokens">.*?title="([^"]*)"', foot[1], re.DOTALL)
    assert requests, foot[1]
    assert tokens, foot[1]
    number: Callable[[str], Decimal] = lambda text: Decimal(re.sub(r"<[^>]*>|,", "", text).strip())  # noqa: E731
    found = {"requests": number(requests[1]), "tokens": number(tokens[1])}
    return found | ({"cost_usd": number(spend[1])} if spend and 'title="In no amount' not in foot[1] else {})


def by_csv(client: Client, asked: Asked) -> Figures:
    answer = client.get("/spend/table.csv", {**asked.days, "by": "team"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    return _of_rows([{name: Decimal(row[name]) for name in _COLUMNS} for row in rows])


def by_xlsx(client: Client, asked: Asked) -> Figures:
    answer = client.get("/spend/table.xlsx", {**asked.days, "by": "model"})
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)), read_only=True)["Lines"]
    head, *rows = (list(row) for row in sheet.iter_rows(values_only=True))
    places = {name: head.index("cost_usd_exact" if name == "cost_usd" else name) for name in _COLUMNS}
    assert all(abs(Decimal(row[head.index("cost_usd")]) - Decimal(row[places["cost_usd"]])) < 1 for row in rows)
    return _of_rows([{name: Decimal(row[place]) for name, place in places.items()} for row in rows])


_COLUMNS = ("cost_usd", "requests", "input_tokens", "output_tokens", "unpriced_tokens")


def _of_rows(rows: list[dict[str, Decimal]]) -> Figures:
    *parts, total = rows
    for name in _COLUMNS:
        assert exactly(row[name] for row in parts) == total[name], name
    return {
        "cost_usd": total["cost_usd"],
        "requests": total["requests"],
        "tokens": total["input_tokens"] + total["output_tokens"],
        "unpriced_tokens": total["unpriced_tokens"],
    }


def by_entries(client: Client, asked: Asked) -> Figures:
    answer = client.get("/entries/", {**asked.days, "as": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    return {
        "cost_usd": exactly(Decimal(row["cost_usd"] or 0) for row in rows),
        "requests": exactly(Decimal(row["requests"]) for row in rows),
        "tokens": exactly(Decimal(row["input_tokens"]) + Decimal(row["output_tokens"]) for row in rows),
    }


def by_focus(lines: list[dict[str, Any]], filters: Mapping[str, str]) -> Figures:
    columns = {FILTERS[name][1]: None if value == "unassigned" and name == "team" else value
               for name, value in filters.items()}  # fmt: skip
    some = [line for line in lines if all(line[column] == value for column, value in columns.items())]
    return {
        "cost_usd": exactly(line["BilledCost"] for line in some),
        "list_cost_usd": exactly(line["ListCost"] for line in some),
        "requests": exactly(line["ConsumedQuantity"] for line in some if line["ConsumedUnit"] == "Requests"),
        "tokens": exactly(line["ConsumedQuantity"] for line in some if line["ConsumedUnit"] == "Tokens"),
        "unpriced_tokens": exactly(line["x_UnpricedTokens"] for line in some),
    }
