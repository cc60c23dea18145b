"""The page of exports, and a month as FOCUS over it and the API."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core import access, large_files
from dashboards.views import exports
from tests.dashboards.seeing import signed_in
from tests.factories import make_key
from tests.usage import making
from tests.usage.making import NOON
from usage.models import DroppedPartition

pytestmark = pytest.mark.django_db

COST = Decimal("0.008")  # of one call of `making`


@pytest.fixture
def booked() -> None:
    making.make_priced_offering()
    making.send(making.make_event(team="support"), making.make_event())


def read(answer) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_page_offers_each_month_whole_or_a_team_s_and_says_what_a_column_means(client, booked):
    signed_in(client, access.FINANCE)

    page = client.get("/exports/").content.decode()
    teams = client.get("/exports/?team=support").content.decode()

    assert '/exports/focus/2026-06/csv.gz/"' in page
    assert "June 2026" in page
    assert "<code>SkuPriceDetails</code>" in page
    assert "/exports/focus/2026-06/jsonl/?team=support" in teams
    assert client.get("/exports/?team=suport").status_code == 400
    assert client.get("/exports/?upto=yesterday").status_code == 404


def test_an_empty_house_says_what_to_do_next_and_the_page_has_few_queries(client):
    signed_in(client, access.ADMIN)
    client.get("/exports/")

    with CaptureQueriesContext(connection) as queries:
        page = client.get("/exports/").content.decode()

    assert "There is nothing to export yet" in page
    assert len(queries) <= 12


def test_every_page_that_the_list_names_gives_its_file_at_the_address_that_is_copied(client, booked):
    signed_in(client, access.VIEWER)

    addresses = re.findall(
        r'<code id="file-[a-z-]+">http://testserver([^<]+)</code>', client.get("/exports/").content.decode()
    )

    assert len(addresses) == len(exports.FILES)
    for address in addresses:
        answer = client.get(address.replace("&amp;", "&"))
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8"), address
        read(answer)


def test_every_file_adds_up_and_a_team_s_holds_its_own(client, booked):
    signed_in(client, access.VIEWER)

    as_csv = read(client.get("/exports/focus/2026-06/csv/"))
    packed = read(client.get("/exports/focus/2026-06/csv.gz/"))
    objects = read(client.get("/exports/focus/2026-06/jsonl/?team=support")).splitlines()

    assert gzip.decompress(packed) == as_csv
    rows = list(csv.DictReader(io.StringIO(as_csv.decode())))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == 2 * COST
    assert sum(Decimal(json.loads(line)["BilledCost"]) for line in objects) == COST


def test_what_cannot_be_given_is_refused_in_a_sentence(client, booked):
    signed_in(client, access.VIEWER)
    DroppedPartition.objects.create(
        table="ledger", month=NOON.date().replace(day=1), dropped_at=NOON, rows=1, by="x", keep_ledger_months=12
    )

    dropped = client.get("/exports/focus/2026-06/csv/")

    assert (dropped.status_code, b"does not keep" in dropped.content) == (409, True)
    assert b"does not keep it any more" in client.get("/exports/").content
    assert client.get("/exports/focus/2199-01/csv/").status_code == 400
    assert client.get("/exports/focus/2026-05/csv/?team=nobody").status_code == 400
    assert client.get("/exports/focus/2026-05/pdf/").status_code == 404


def test_strangers_are_sent_to_sign_in(booked):
    assert Client().get("/exports/focus/2026-06/csv/").status_code == 302
    assert Client().get("/exports/").status_code == 302


def test_the_api_streams_it_to_a_key_that_may_read_packed_for_who_takes_that(client, booked):
    asked = {"month": "2026-06"}
    reads = {"Authorization": f"Bearer {make_key('read')}"}

    plain = client.get("/api/v1/exports/focus", asked, headers=reads)
    packed = client.get("/api/v1/exports/focus", asked, headers={**reads, "Accept-Encoding": "gzip, br"})
    objects = client.get("/api/v1/exports/focus", {**asked, "as": "jsonl"}, headers=reads)

    assert plain["Content-Disposition"] == 'attachment; filename="focus-2026-06.csv"'
    assert packed["Content-Encoding"] == "gzip"
    content = read(plain)
    assert gzip.decompress(read(packed)) == content
    assert len(read(objects).splitlines()) == len(content.splitlines()) - 1 == 6
    assert client.get("/api/v1/exports/focus", asked).status_code == 401
    sends = {"Authorization": f"Bearer {make_key('usage:write')}"}
    assert client.get("/api/v1/exports/focus", asked, headers=sends).status_code == 403
    assert client.get("/api/v1/exports/focus", {"month": "June"}, headers=reads).status_code == 404
    assert client.get("/api/v1/exports/focus", headers=reads).status_code == 400
    assert client.get("/api/v1/exports/focus", {**asked, "as": "xml"}, headers=reads).status_code == 400


def test_a_large_export_is_put_off_over_the_api_and_on_the_page_while_others_are_made(client, booked, monkeypatch):
    signed_in(client, access.FINANCE)
    reads = {"Authorization": f"Bearer {make_key('read')}"}
    monkeypatch.setattr(large_files, "FEW", 2)
    made = [large_files.Lines(range(2)) for _ in range(large_files.AT_ONCE)]

    refused = client.get("/api/v1/exports/focus", {"month": "2026-06"}, headers=reads)
    on_the_page = client.get("/exports/focus/2026-06/csv/", headers={"Accept": "text/html"})
    for each in made:
        each.close()

    for answer in (refused, on_the_page):
        assert (answer.status_code, answer["Retry-After"]) == (429, str(large_files.RETRY_SECONDS))
    assert refused.json()["type"] == "urn:tollkeeper:problem:limit-reached"
    assert b'href="/exports/focus/2026-06/csv/"' in on_the_page.content
    assert read(client.get("/api/v1/exports/focus", {"month": "2026-06"}, headers=reads))
