"""Every page that shows a table gives it as CSV and XLSX: the page's filters, all of its lines, to who may see it."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.test import Client
from django.utils import timezone

from alerts.models import Alert, Severity
from budgets.services import requests
from core import access
from dashboards.selectors import prices as book
from dashboards.views import alerts as alerts_view
from dashboards.views import files_intake, files_running
from tests.alerts.making import make_alert
from tests.dashboards.seeing import book as book_events
from tests.dashboards.seeing import call, signed_in
from tests.factories import make_budget
from tests.routing.making_fleet import make_poll
from tests.usage import making
from usage.models import HeldEvent, Receipt
from usage.selectors import held as held_rows
from usage.selectors import receipts

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MONTH = f"{NOW:%Y-%m}"
# An address of each page, with the columns that its file begins with.
PAGES = (
    ("/budgets/", "id,budget,scope,unit"),
    ("/budgets/requests/", "id,budget,unit,amount"),
    ("/use-cases/?q=support", "id,use_case,title"),
    ("/teams/", "id,team,use_cases"),
    ("/intake/?show=done", "id,received_at,gateway"),
    ("/intake/held/?reason=conflict", "id,reason,gateway"),
    ("/gateways/imports/", "id,gateway,environment,format"),
    ("/rules/production/fleet/", "gateway,instance,state"),
    ("/prices/contracts/", "id,contract,kind"),
    ("/prices/import/", "id,source,version"),
    ("/alerts/?state=all", "id,raised_at,severity,kind"),
    ("/alerts/deliveries/", "id,alert,title"),
    ("/attention/", "list,name"),
    ("/attention/?list=unpriced", "list,name"),
    ("/catalog/", "offering,model,lab"),
    ("/prices/?dated=all", "id,offering,provider,meter"),
    ("/months/", "month,state"),
    ("/statements/", "month,state"),
    (f"/statements/{MONTH}/", "booked_in,team,use_case"),
    ("/restatements/", "key,kind,summary"),
    ("/reconciliation/", "from,to,provider,model"),
    ("/gateways/", "id,gateway,kind"),
    ("/rules/production/history/", "version,base,title"),
    ("/rules/production/switches/", "id,kind,name,turned"),
)


def rows_of(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.fixture
def house() -> None:
    making.make_priced_offering()
    making.make_offering("mystery@openai", tier=None)
    book_events(call(at=NOW, usd=5), call(at=NOW, model="mystery"), at=NOW)
    make_budget(name="=frontier", unit="usd", amount=Decimal("0.1"), scope={"use_case": ["support-routing"]})
    make_alert()


def test_every_page_gives_its_table_in_both_forms(client, house):
    signed_in(client, access.ADMIN)

    for address, head in PAGES:
        also = "&" if "?" in address else "?"
        as_csv = client.get(f"{address}{also}as=csv")
        as_xlsx = client.get(f"{address}{also}as=xlsx")

        lines = list(csv.reader(io.StringIO(b"".join(as_csv.streaming_content).decode())))
        assert ",".join(lines[0]).startswith(head), address
        assert as_csv["Content-Disposition"].startswith("attachment; filename="), address
        sheet = openpyxl.load_workbook(io.BytesIO(b"".join(as_xlsx.streaming_content)))
        in_sheet = [[cell.value for cell in row] for row in sheet["Lines"].iter_rows()]
        assert in_sheet[0][: len(lines[0])] == lines[0], address
        assert len(in_sheet) == len(lines), address
        about = {row[0].value: row[1].value for row in sheet["About"].iter_rows()}
        assert about["Zone"].startswith("UTC"), address
        assert about["From"].endswith(address), address


def test_pages_link_their_files_with_their_filters_and_without_the_place_in_a_list(client, house):
    signed_in(client, access.ADMIN)

    page = client.get("/prices/?dated=all&page=1").content.decode()

    assert '"/prices/?dated=all&amp;as=csv"' in page
    assert '"/prices/?dated=all&amp;as=xlsx"' in page


def test_a_file_has_the_page_s_filters_and_what_stands_on_its_later_pages(client, house, monkeypatch):
    signed_in(client, access.VIEWER)
    monkeypatch.setattr(book, "PER_PAGE", 2)
    monkeypatch.setattr(alerts_view, "_IN_A_FILE", 1)
    make_alert(severity=Severity.CRITICAL, dedupe_key="another")

    prices = rows_of(client.get("/prices/?page=2&as=csv"))
    output = rows_of(client.get("/prices/?meter=output&as=csv"))
    alerts = rows_of(client.get("/alerts/?state=all&as=csv"))

    assert len(prices) == 3
    assert [(row["meter"], row["price_usd"]) for row in output] == [("output", "30")]
    assert [int(row["id"]) for row in alerts] == list(Alert.objects.order_by("-id").values_list("id", flat=True))


def test_names_that_a_spreadsheet_would_run_are_text_and_amounts_have_every_digit(client, house):
    signed_in(client, access.VIEWER)

    (row,) = rows_of(client.get("/budgets/?as=csv"))

    assert (row["budget"], row["scope"], row["used"]) == ("'=frontier", "use_case=support-routing", row["used"])
    assert Decimal(row["limit"]) == Decimal("0.1")


def test_what_means_nothing_is_refused_as_the_page_refuses_it(client, house):
    signed_in(client, access.VIEWER)

    for address, status in (
        ("/budgets/?as=pdf", 400), ("/budgets/?state=odd&as=csv", 404), ("/prices/?dated=odd&as=csv", 404),
        ("/reconciliation/?from=odd&as=xlsx", 400), ("/attention/?list=odd&as=csv", 404),
    ):  # fmt: skip
        assert client.get(address).status_code == status, address


def test_who_may_not_see_a_page_gets_no_file_of_it(client, house):
    assert Client().get("/budgets/?as=csv").status_code == 302
    signed_in(client)

    for address, _ in PAGES:
        also = "&" if "?" in address else "?"
        assert client.get(f"{address}{also}as=csv").status_code == client.get(address).status_code == 403, address


def test_lists_of_what_is_kept_and_asked_for_tell_it_line_by_line(client, house, monkeypatch):
    signed_in(client, access.VIEWER)
    monkeypatch.setattr(files_intake, "_AT_ONCE", 1)
    monkeypatch.setattr(files_running, "_AT_ONCE", 1)
    budget = make_budget(name="asked", unit="tokens", amount=Decimal(10))
    for amount in (20, 30):
        request = requests.ask(
            budget=budget, amount=Decimal(amount), reason="launch", by="user:a@example.com", at=NOW,
            starts_at=None, ends_at=None,
        )  # fmt: skip
        requests.refuse(request_id=request.pk, by="user:b@example.com", at=NOW, note="no")
    for instance in ("pod-1", "pod-2"):
        make_poll(None, instance=instance, at=NOW)
    for usd in (1, 2, 3):  # the first counts, the others say something else under its id
        book_events(call(at=NOW, usd=usd, event_id="said-thrice"), at=NOW)

    asked = rows_of(client.get("/budgets/requests/?as=csv"))
    fleet = rows_of(client.get("/rules/production/fleet/?as=csv"))
    bodies = rows_of(client.get("/intake/?as=csv"))
    held = rows_of(client.get("/intake/held/?as=csv"))
    (use_case,) = rows_of(client.get("/use-cases/?q=support&as=csv"))

    assert [(row["amount"], row["state"], row["note"]) for row in asked] == [
        ("30", "refused", "no"),
        ("20", "refused", "no"),
    ]
    assert [row["instance"] for row in fleet] == ["pod-1", "pod-2"]
    assert [(row["events"], row["counted"], row["conflicts"]) for row in bodies] == [
        ("1", "0", "1"), ("1", "0", "1"), ("1", "1", "0"), ("2", "2", "0")
    ]  # fmt: skip
    assert [(row["event_id"], row["reason"]) for row in held] == [("said-thrice", "conflict")] * 2
    assert [row["later"] for row in held] != [row["counted"] for row in held]
    assert use_case["spend_usd"] == "6"
    assert client.get("/rules/nowhere/fleet/?as=csv").status_code == 404


def test_a_list_of_bodies_or_held_events_knows_whether_it_is_longer_than_a_file_may_be(house):
    bodies, held = Receipt.objects.count(), HeldEvent.objects.count()

    assert receipts.longer_than(bodies - 1)
    assert not receipts.longer_than(bodies)
    assert not held_rows.longer_than(held)
