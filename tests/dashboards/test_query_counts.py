"""How many queries every page of the console takes, and that it takes no more in a larger house.

The house is the one whose pages `manage.py bench` times, small: the demo's company, and then its branches' year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets.models import Counter, CounterState
from controlplane import seed
from controlplane.bench import addresses, year
from core.models import User
from tests.drawing import FULL
from tests.usage import checks
from usage.models import LedgerEntry, Month, Receipt
from usage.services import ledger
from usage.services.raw import raw_cursor

pytestmark = [pytest.mark.soak, pytest.mark.django_db]
# The most queries that each page takes, those of session, person and organisation among them. A page may take fewer:
# what there is to tell differs from day to day, and some of it is in memory.
QUERIES = {
    "": 37,
    "changes/": 5,
    "savings/": 8,
    "goals/": 4,
    "spend/": 15,
    "spend/table.csv": 9,
    "spend/table.xlsx": 9,
    "spend/views/": 4,
    "search/": 3,
    "entries/": 10,
    "events/": 4,
    "events/<int:source>/<digest:digest>/": 19,
    "me/": 3,
    "budgets/": 10,
    "budgets/new/": 9,
    "budgets/file/": 3,
    "budgets/file/budgets.csv": 6,
    "budgets/requests/": 11,
    "budgets/requests/<int:pk>/": 9,
    "budgets/<int:pk>/": 22,
    "budgets/<int:pk>/edit/": 8,
    "budgets/<int:pk>/plan/": 8,
    "budgets/<int:pk>/ask/": 8,
    "alerts/": 11,
    "alerts/deliveries/": 6,
    "alerts/<int:pk>/": 14,
    "alerts/<int:pk>/acknowledge/": 8,
    "channels/": 13,
    "channels/new/": 3,
    "channels/preview/": 5,
    "channels/<int:pk>/": 13,
    "channels/<int:pk>/edit/": 8,
    "channels/<int:pk>/retire/": 4,
    "attention/": 13,
    "attention/reported/": 5,
    "attention/reported/<offering:name>/": 6,
    "attention/use-cases/<int:pk>/assign/": 6,
    "attention/use-cases/<int:pk>/claim/": 5,
    "attention/teams/<int:pk>/assign/": 6,
    "attention/teams/<int:pk>/claim/": 4,
    "use-cases/": 16,
    "use-cases/<int:pk>/": 35,
    "use-cases/<int:pk>/edit/": 6,
    "teams/": 13,
    "teams/<int:pk>/": 22,
    "models/<offering:name>/": 30,
    "routing/": 20,
    "duties/": 4,
    "rules/<environment:environment>/": 15,
    "rules/<environment:environment>/history/": 6,
    "rules/<environment:environment>/versions/<int:number>/": 8,
    "rules/<environment:environment>/versions/<int:number>/json/": 5,
    "rules/<environment:environment>/versions/<int:number>/rules.<str:form>": 4,
    "rules/<environment:environment>/versions/<int:number>/back/": 12,
    "rules/<environment:environment>/forms/": 11,
    "rules/<environment:environment>/forms/<str:form>/": 10,
    "rules/<environment:environment>/hits/": 9,
    "rules/<environment:environment>/fleet/": 7,
    "rules/<environment:environment>/compare/": 9,
    "rules/<environment:environment>/try/": 8,
    "rules/<environment:environment>/try/documents/": 12,
    "rules/<environment:environment>/reviews/": 7,
    "rules/<environment:environment>/switches/": 12,
    "rules/<environment:environment>/switches/off/": 10,
    "rules/<environment:environment>/switches/table.csv": 6,
    "rules/<environment:environment>/drafts/new/": 5,
    "rules/<environment:environment>/drafts/<int:pk>/": 15,
    "rules/<environment:environment>/drafts/<int:pk>/rebase/": 10,
    "rules/<environment:environment>/drafts/<int:pk>/try/": 14,
    "rules/<environment:environment>/drafts/<int:pk>/try/documents/": 21,  # three of them where a budget is passed
    "rules/<environment:environment>/drafts/<int:pk>/labels/": 11,
    "rules/<environment:environment>/drafts/<int:pk>/text/": 11,
    "rules/<environment:environment>/drafts/<int:pk>/rules.<str:form>": 11,
    "rules/<environment:environment>/drafts/<int:pk>/rules/copy/": 17,
    "rules/<environment:environment>/drafts/<int:pk>/default/": 15,
    "rules/<environment:environment>/drafts/<int:pk>/rules/new/": 15,
    "rules/<environment:environment>/drafts/<int:pk>/rules/<int:place>/": 15,
    "catalog/": 8,
    "catalog/new/": 4,
    "catalog/<offering:name>/tier/": 5,
    "catalog/<offering:name>/name/": 4,
    "catalog/<offering:name>/assign/": 6,
    "catalog/<offering:name>/facts/": 4,
    "catalog/<offering:name>/retire/": 4,
    "catalog/<offering:name>/": 12,
    "restatements/": 5,
    "restatements/<restatement:key>/": 12,
    "months/": 16,
    "months/<month:label>/": 17,
    "months/<month:label>/close/": 12,
    "exports/": 12,
    "exports/focus/<month:month>/<str:form>/": 17,
    "statements/": 9,
    "statements/<month:label>/": 12,
    "statements/<month:label>/team/<int:team_id>/": 12,
    "statements/<month:label>/use-case/<int:use_case_id>/": 11,
    "statements/<month:label>/table.csv": 6,
    "statements/<month:label>/team/<int:team_id>/table.csv": 7,
    "statements/<month:label>/use-case/<int:use_case_id>/table.csv": 7,
    "reconciliation/": 17,
    "reconciliation/table.csv": 16,
    "reconciliation/sums/": 8,
    "reconciliation/retention/": 4,
    "reconciliation/files/": 6,
    "prices/": 9,
    "prices/new/": 9,
    "prices/contracts/": 6,
    "prices/contracts/new/": 6,
    "prices/contracts/<int:pk>/": 6,
    "prices/contracts/<int:pk>/change/": 6,
    "prices/contracts/<int:pk>/end/": 6,
    "prices/hours/": 5,
    "prices/import/": 7,
    "prices/import/sample.csv": 3,
    "intake/": 7,
    "intake/<int:pk>/": 6,
    "intake/held/": 7,
    "gateways/": 11,
    "gateways/new/": 3,
    "gateways/imports/": 5,
    "gateways/<int:pk>/": 14,
    "gateways/<int:pk>/connect/": 14,
    "gateways/<int:pk>/settings/": 5,
    "gateways/<int:pk>/retire/": 4,
    "gateways/keys/<int:pk>/rotate/": 5,
    "gateways/keys/<int:pk>/revoke/": 5,
}
# What these sum grows with every event; `make soak` opens all pages of the larger house.
SUMMED = {
    "", "spend/", "savings/", "routing/", "use-cases/", "teams/", "entries/", "budgets/", "months/", "statements/",
    "attention/", "catalog/", "gateways/", "use-cases/<int:pk>/", "budgets/<int:pk>/",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a route answered: status of its first address that opens, else of the last one, and the queries of it."""

    address: str
    status: int
    queries: int


@dataclass(frozen=True, kw_only=True)
class House:
    small: dict[str, Opened]
    large: dict[str, Opened]
    written: int
    before: int


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker) -> Iterator[House]:
    """Open every address in a small house, and the same ones once it has five times the use cases, and a year."""
    with django_db_blocker.unblock():
        try:
            now = timezone.now()
            year.found(at=now, told=600)
            before = LedgerEntry.objects.count()
            client = Client()
            client.force_login(User.objects.get(email=seed.sign_in()[0]))
            small = {route: opened(client, addresses.filled(route)) for route, _ in addresses.routes()}
            written = year.fill(entries=4_000, at=now)
            cache.clear()
            large = {
                route: opened_again(client, one)
                for route, one in small.items()
                if one.status == 200 and (FULL or route in SUMMED)
            }
            yield House(small=small, large=large, written=written, before=before)
        finally:
            call_command("flush", interactive=False, verbosity=0)


def opened(client: Client, candidates: Iterator[str]) -> Opened:
    found = Opened(address="", status=404, queries=0)
    for address in candidates:
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(address)
            if answer.streaming:
                answer.getvalue()
        found = Opened(address=address, status=answer.status_code, queries=len(caught))
        if found.status in (200, 405):
            break
    return found


def opened_again(client: Client, before: Opened) -> Opened:
    """Open a page; once more where it took more queries, which may have been to read anew what processes remember."""
    found = opened(client, iter([before.address]))
    return found if found.queries <= before.queries else opened(client, iter([before.address]))


def test_no_page_takes_more_queries_than_are_written_here(house):
    pages = {route: one.queries for route, one in house.small.items() if one.status == 200}

    assert {
        route: (count, QUERIES.get(route)) for route, count in pages.items() if count > QUERIES.get(route, -1)
    } == {}
    assert {route: house.small[route].status for route in QUERIES.keys() - pages.keys() if route in house.small} == {}


def test_no_page_takes_more_queries_where_there_is_more(house):
    grew = {
        one.address: (house.small[route].queries, one.queries, one.status)
        for route, one in house.large.items()
        if one.queries > max(house.small[route].queries, QUERIES[route]) or one.status != 200
    }

    assert len(house.large) > 10
    assert grew == {}


def test_the_year_has_no_gaps_and_its_sums_and_counters_are_those_of_the_ledger(house):
    told = LedgerEntry.objects.filter(source__kind="live")
    times = list(told.order_by("booked_at").values_list("booked_at", flat=True))

    checks.assert_rollups_equal_ledger()
    checks.assert_counters_equal_ledger()
    assert not Counter.objects.exclude(state=CounterState.LIVE).exists()
    assert house.written == told.count() == LedgerEntry.objects.count() - house.before
    assert house.written == pytest.approx(4_000, rel=0.05)
    assert times[-1] - times[0] > timedelta(days=363)
    assert len({at.date() for at in times}) > 360
    assert told.values("use_case").distinct().count() > 20
    assert not told.exclude(receipt_id__in=Receipt.objects.values("pk")).exists()
    assert Month.objects.count() >= 10
    with raw_cursor() as cursor:
        assert ledger.take_ids(cursor, 1)[0] > LedgerEntry.objects.order_by("-id")[0].id
